//! The web client: files built into the binary.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::{Kind, Problem};

#[derive(RustEmbed)]
#[folder = "web-client/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";

/// Shown where the web client was not built before the server was.
const NOT_BUILT: &str = "<!doctype html><html lang=zh-CN><meta charset=utf-8><title>名师在线课堂</title>\
    <h1>网页端尚未构建</h1><p>先在 <code>web-client</code> 目录执行 <code>npm ci &amp;&amp; npm run build</code>，再重新编译服务器。</p>\
    <h1>The web client has not been built</h1><p>Run <code>npm ci &amp;&amp; npm run build</code> in <code>web-client</code>, \
    then build the server again.</p></html>";

/// Whether the web client was built into this binary.
#[must_use]
pub fn has_web_client() -> bool {
    Files::get(INDEX).is_some()
}

/// A file of the web client, or its page.
pub(super) fn serve(request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let allow = HeaderValue::from_static("GET, HEAD");
        return Problem::plain(Kind::MethodNotAllowed).with(header::ALLOW, allow).into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.is_empty() { INDEX } else { path };
    match file(path, request.headers()) {
        Some(response) => response,
        // A page's address has no dot in its last part; a file that is missing stays missing.
        None if path.rsplit('/').next().is_some_and(|last| last.contains('.')) => {
            if path == INDEX {
                not_built()
            } else {
                Problem::plain(Kind::NotFound).into_response()
            }
        }
        None => file(INDEX, request.headers()).unwrap_or_else(not_built),
    }
}

fn not_built() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::OK, headers, NOT_BUILT).into_response()
}

/// A file, compressed where the build left a compressed copy beside it and the browser takes it.
fn file(path: &str, asked: &HeaderMap) -> Option<Response> {
    let plain = Files::get(path)?;
    let (file, encoding) = compressed(path, asked).map_or((plain, None), |(file, encoding)| (file, Some(encoding)));
    let tag = entity_tag(&file);
    let unchanged = asked.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mime = mime_guess::from_path(path).first_or_octet_stream();
        // Everything of ours that is text is UTF-8; a browser that guesses may guess GBK.
        let charset = if mime.type_() == "text" { "; charset=utf-8" } else { "" };
        ([(header::CONTENT_TYPE, format!("{mime}{charset}"))], file.data).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching(path)));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    encoding.map(|encoding| headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding)));
    HeaderValue::from_str(&tag).ok().map(|tag| headers.insert(header::ETAG, tag));
    Some(response)
}

fn compressed(path: &str, asked: &HeaderMap) -> Option<(EmbeddedFile, &'static str)> {
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes =
        |encoding: &str| accepted.split(',').any(|word| word.split(';').next().unwrap_or_default().trim() == encoding);
    [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(encoding, _)| takes(encoding))
        .find_map(|(encoding, ending)| Files::get(&format!("{path}.{ending}")).map(|file| (file, encoding)))
}

/// Files under `assets/` carry a hash of their content in their name: they never change.
fn caching(path: &str) -> &'static str {
    if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
}

fn entity_tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let short: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{short}\"")
}
