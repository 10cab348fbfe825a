//! Heads of responses.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Response, StatusCode};

use super::body::Body;

/// No cache may keep a transport's bytes, nor give a client those of another.
const NO_STORE: &str = "no-cache, no-store, max-age=0, must-revalidate";

/// How long browsers may remember that a cross-origin request is allowed.
const PREFLIGHT_SECONDS: &str = "86400";

/// The answer that carries a transport.
pub(super) fn transport(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    no_store(response.headers_mut());
    set(response.headers_mut(), CONTENT_TYPE, "text/plain");
    // Asks nginx not to gather what a client waits for.
    set(response.headers_mut(), HeaderName::from_static("x-accel-buffering"), "no");
    response
}

/// A short answer in words.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text.into()));
    *response.status_mut() = status;
    no_store(response.headers_mut());
    set(response.headers_mut(), CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = status;
    response
}

/// The client shall come again.
pub(super) fn unavailable(reason: &str, retry_after: Duration) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
    if !retry_after.is_zero() {
        let seconds = retry_after.as_millis().div_ceil(1000);
        set(response.headers_mut(), RETRY_AFTER, &seconds.to_string());
    }
    response
}

/// `allowed`: the methods that there are.
pub(super) fn wrong_method(allowed: &str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}\n"));
    set(response.headers_mut(), ALLOW, allowed);
    response
}

/// The answer to OPTIONS.
pub(super) fn options(allowed: &str) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    set(response.headers_mut(), ALLOW, allowed);
    response
}

/// The answer to OPTIONS that tells browsers, which ask before they send, that `method` may be used.
pub(super) fn preflight(method: &Method, allowed: &str) -> Response<Body> {
    let mut response = options(allowed);
    let headers = response.headers_mut();
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, method.as_str());
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
    set(headers, ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    response
}

/// Sets a header; a value that cannot be one is left out.
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
