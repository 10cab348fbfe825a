//! Checks of the headers of a request: no web page, a local host name on this machine, and a token.

use http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN};
use http::{HeaderMap, Request, StatusCode};
use minerva_runtime::admin::is_local_host;
use tonic::Code;

use super::error::HttpError;
use crate::access::{Access, Caller, Origin};

/// Refuses requests of web pages.
///
/// A browser sends `Origin` with every request of a page to another origin that is not a plain GET. A page may also resolve
/// its own name to 127.0.0.1; so a connection from this machine needs an IP address or `localhost` as the host.
pub(super) fn check_origin<B>(request: &Request<B>) -> Result<(), HttpError> {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(HttpError::new(
            StatusCode::FORBIDDEN,
            Code::PermissionDenied,
            "ORIGIN_REFUSED",
            "requests of web pages are refused: send the request from a server, without the header Origin",
        ));
    }
    let is_remote = request.extensions().get() == Some(&Origin::Remote);
    match is_remote || host(request).is_some_and(|host| is_local_host(&host)) {
        true => Ok(()),
        false => Err(HttpError::new(
            StatusCode::FORBIDDEN,
            Code::PermissionDenied,
            "HOST_REFUSED",
            "on this machine the host must be an IP address or `localhost`: use http://127.0.0.1:7400, or let the proxy \
             set the header Host",
        )),
    }
}

/// The header `Host`, or the authority of HTTP/2.
fn host<B>(request: &Request<B>) -> Option<HeaderValue> {
    let authority = || HeaderValue::from_str(request.uri().authority()?.as_str()).ok();
    request.headers().get(HOST).cloned().or_else(authority)
}

/// The caller of the request; a request without a token is refused, whatever the origin and the options.
pub(super) fn identify<B>(access: &Access, request: &Request<B>) -> Result<Caller, HttpError> {
    let authorization = single(request.headers())?;
    let caller = access.caller(Some(authorization.as_bytes()), request.extensions());
    caller.map_err(|error| HttpError::of_status(error.into()))
}

fn single(headers: &HeaderMap) -> Result<&HeaderValue, HttpError> {
    headers.get(AUTHORIZATION).ok_or_else(|| {
        HttpError::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthenticated,
            "TOKEN_MISSING",
            "a token is needed: send `Authorization: Bearer TOKEN`; `minerva-core token create --service NAME --can \
             send,read` makes a token",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(origin: Origin, headers: &[(&str, &str)]) -> Option<StatusCode> {
        let mut request = Request::builder().uri("/v1/send");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(origin);
        check_origin(&request).err().map(|error| error.status())
    }

    #[test]
    fn web_pages_are_refused() {
        let host = ("host", "127.0.0.1:7400");
        for origin in [Origin::Loopback, Origin::Remote] {
            for header in
                [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "none")]
            {
                assert_eq!(refused(origin, &[host, header]), Some(StatusCode::FORBIDDEN));
            }
            assert_eq!(refused(origin, &[host]), None);
        }
    }

    #[test]
    fn a_local_connection_needs_a_local_host_name() {
        for (host, ok) in [
            ("127.0.0.1:7400", true),
            ("localhost:7400", true),
            ("[::1]:7400", true),
            ("evil.example:7400", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(refused(Origin::Loopback, &[("host", host)]).is_none(), ok, "{host}");
            assert_eq!(refused(Origin::Remote, &[("host", host)]), None);
        }
        assert!(refused(Origin::Loopback, &[]).is_some());
        let request = Request::builder().uri("http://localhost:7400/v1/send").body(()).unwrap();
        assert!(check_origin(&request).is_ok(), "the authority of HTTP/2");
    }
}
