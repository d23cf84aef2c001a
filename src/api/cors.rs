//! Cross-origin use (WHIP and WHEP clients are pages of others) and `OPTIONS` everywhere.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

const EXPOSED: &str = "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, If-Match";

/// Let pages of any origin in: nothing here is let in by a cookie, only by a token.
///
/// `OPTIONS` of an address that has no answer of its own says what is allowed there.
pub(super) async fn cross_origin(request: Request, next: Next) -> Response {
    if !super::is_for_others(request.uri().path()) {
        return next.run(request).await;
    }
    let asks = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if asks && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        allow.map(|allow| response.headers_mut().insert(header::ALLOW, allow));
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if asks {
        allow.map(|allow| headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }
    response
}
