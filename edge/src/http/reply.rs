//! Constructors of HTTP responses and their common headers. Used by `http.rs`, its drivers and `websocket.rs`.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Response, StatusCode};
use minerva_proto::v3::Refusal;

use super::body::Body;

/// Forbids caching: a cache must not deliver a transport's bytes twice or to another client.
const NO_STORE: &str = "no-cache, no-store, max-age=0, must-revalidate";

/// Lifetime of a preflight result in browsers.
const PREFLIGHT_SECONDS: &str = "600";

/// Policy of HTML pages: scripts and styles of this server only, connections to any edge, and no frames of other pages
/// around them.
const PAGE_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss: http: https:; img-src 'self' data:; \
    object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Content type of frames of version 3.
const OCTET_STREAM: &str = "application/octet-stream";

/// Whether the body of a request may have frames of version 3.
pub(super) fn is_octet_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(OCTET_STREAM))
}

/// Response that carries a transport.
pub(super) fn transport(body: Body, is_version_3: bool) -> Response<Body> {
    let mut response = Response::new(body);
    no_store(response.headers_mut());
    if is_version_3 {
        set(response.headers_mut(), CACHE_CONTROL, "no-store, no-transform");
        set(response.headers_mut(), CONTENT_TYPE, OCTET_STREAM);
    } else {
        set(response.headers_mut(), CONTENT_TYPE, "text/plain");
    }
    // Disables response buffering in nginx.
    set(response.headers_mut(), HeaderName::from_static("x-accel-buffering"), "no");
    response
}

/// Response with a short plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text.into()));
    *response.status_mut() = status;
    no_store(response.headers_mut());
    set(response.headers_mut(), CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

/// Response with a refusal, as a problem of RFC 9457.
pub(super) fn problem(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(Body::whole(refusal.to_json()));
    // Each code of the table has a valid status.
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    no_store(response.headers_mut());
    set(response.headers_mut(), CONTENT_TYPE, "application/problem+json");
    response.extensions_mut().insert(refusal.clone());
    let is_temporary = matches!(
        response.status(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    if let Some(after) = refusal.after.or(is_temporary.then_some(Duration::ZERO)) {
        set_retry_after(response.headers_mut(), after);
    }
    response
}

/// As [`text`]; the connection closes behind the response.
pub(super) fn closing(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = self::text(status, text);
    set(response.headers_mut(), CONNECTION, "close");
    response
}

/// Sets the headers that restrict a page in browsers. A script has no content policy of its own: in a worker the policy
/// of the script would replace that of the page.
pub(super) fn secure_page(headers: &mut HeaderMap, content_type: &str) {
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, REFERRER_POLICY, "same-origin");
    if content_type.starts_with("text/html") {
        set(headers, CONTENT_SECURITY_POLICY, PAGE_POLICY);
    }
    if content_type.starts_with("text/javascript") {
        // The web client in a page of another origin imports its modules.
        set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    }
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = status;
    response
}

/// 503 with a reason and `Retry-After`.
pub(super) fn unavailable(reason: &str, retry_after: Duration) -> Response<Body> {
    retry_later(StatusCode::SERVICE_UNAVAILABLE, reason, retry_after)
}

/// 429 with the exceeded limit and `Retry-After`.
pub(super) fn limited(reason: &str, retry_after: Duration) -> Response<Body> {
    retry_later(StatusCode::TOO_MANY_REQUESTS, reason, retry_after)
}

fn retry_later(status: StatusCode, reason: &str, retry_after: Duration) -> Response<Body> {
    let mut response = text(status, format!("{reason}\n"));
    set_retry_after(response.headers_mut(), retry_after);
    response
}

/// Sets `Retry-After` in whole seconds; 0: at once.
fn set_retry_after(headers: &mut HeaderMap, after: Duration) {
    set(headers, RETRY_AFTER, &after.as_millis().div_ceil(1000).to_string());
}

/// 405; `allowed` lists the methods of the resource.
pub(super) fn wrong_method(allowed: &str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}\n"));
    set(response.headers_mut(), ALLOW, allowed);
    response
}

/// Response to OPTIONS.
pub(super) fn options(allowed: &str) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    set(response.headers_mut(), ALLOW, allowed);
    response
}

/// Response to a CORS preflight that allows `method`.
pub(super) fn preflight(method: &Method, allowed: &str) -> Response<Body> {
    let mut response = options(allowed);
    let headers = response.headers_mut();
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, method.as_str());
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
    set(headers, ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    response
}

/// Sets a header; an invalid value is skipped.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn no_store(headers: &mut HeaderMap) {
    set(headers, CACHE_CONTROL, NO_STORE);
    set(headers, http::header::PRAGMA, "no-cache");
    set(headers, http::header::EXPIRES, "0");
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
}

#[cfg(test)]
mod tests {
    use minerva_proto::v3::RefusalCode;

    use super::*;

    fn seconds(response: &Response<Body>) -> Option<&str> {
        response.headers().get(RETRY_AFTER)?.to_str().ok()
    }

    #[test]
    fn each_temporary_refusal_has_a_time() {
        for (after, expected) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
            let after = Duration::from_millis(after);
            assert_eq!(seconds(&unavailable("later", after)), Some(expected));
            assert_eq!(seconds(&limited("too much", after)), Some(expected));
            let mut refusal = Refusal::from(RefusalCode::Gone);
            refusal.after = Some(after);
            assert_eq!(seconds(&problem(&refusal)), Some(expected));
        }
        for code in RefusalCode::ALL {
            let expected = matches!(code.status(), 429 | 503).then_some("0");
            assert_eq!(seconds(&problem(&code.into())), expected, "{code}");
        }
    }
}
