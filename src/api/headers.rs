//! Headers that every answer carries, and what is counted of every request.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::clock::Clock;

/// Say to browsers what these pages never do (so that nobody can make them), and keep answers out of caches.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let policy = content_policy(request.headers().get(header::HOST));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    put(header::CONTENT_SECURITY_POLICY, policy);
    put(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    put(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    put(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    put(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), autoplay=(self), geolocation=()",
        ),
    );
    put(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Chromium before version 100 doesn't count a websocket to the own host as `'self'`, so it is named.
fn content_policy(host: Option<&HeaderValue>) -> HeaderValue {
    let plain = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    let host = host.and_then(|host| host.to_str().ok()).filter(plain).unwrap_or_default();
    let sockets = if host.is_empty() { String::new() } else { format!(" ws://{host} wss://{host}") };
    let policy = format!(
        "default-src 'self'; connect-src 'self'{sockets}; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'self'"))
}

/// Count requests and their time by route, never by address: routes are few.
pub(super) async fn measure(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let began = clock.instant();
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("web", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let seconds = clock.instant().saturating_duration_since(began).as_secs_f64();
    metrics::histogram!("mingshi_http_request_duration_seconds", "route" => route.clone()).record(seconds);
    metrics::counter!("mingshi_http_requests_total", "route" => route, "method" => method, "status" => status)
        .increment(1);
    response
}
