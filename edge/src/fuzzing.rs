//! Parsers of the edge for the fuzz targets (`fuzz/`). No program contains this module.

use std::net::IpAddr;

use http::HeaderMap;
use minerva_proto::{ServiceName, ServiceNameError};

use crate::access::origin::Verdict;
use crate::access::{ForwardedHeader, Origins, TrustedProxies};
use crate::http::route::Route;
use crate::listener::sniff::{Decision, classify};
use crate::socket::proxy_line::{self, Source};

/// Parses a line of the PROXY protocol. `Some(None)` is a valid line without a client address.
pub fn proxy_line(line: &[u8]) -> Option<Option<IpAddr>> {
    proxy_line::parse(line).map(|source| match source {
        Source::Client(address) => Some(address),
        Source::Unknown => None,
    })
}

/// The service of a transport's path; `None` for the path of a page.
///
/// # Errors
/// If the path has an invalid service name.
pub fn service_of_path(path: &str) -> Option<Result<ServiceName, ServiceNameError>> {
    match Route::of(path, &ServiceName::default()) {
        Route::Transport(_, service) => Some(Ok(service)),
        Route::InvalidService(error) => Some(Err(error)),
        Route::Other => None,
    }
}

/// Whether a request may proceed; `None` if the allow-list is invalid.
pub fn origin_is_accepted(allowed: &[String], headers: &HeaderMap) -> Option<bool> {
    let origins = Origins::new(allowed, false).ok()?;
    Some(origins.check(headers, false) != Verdict::Foreign)
}

/// The client's address behind trusted proxies; `None` if the list of networks is invalid.
pub fn client_address(trusted: &[String], peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let proxies = TrustedProxies::new(trusted, ForwardedHeader::XForwardedFor).ok()?;
    Some(proxies.client(peer, headers))
}

/// The same with the header `Forwarded`.
pub fn forwarded_client(trusted: &[String], peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let proxies = TrustedProxies::new(trusted, ForwardedHeader::Forwarded).ok()?;
    Some(proxies.client(peer, headers))
}

/// The protocol that the first bytes of a connection select; `None` if more bytes are required.
pub fn protocol(first: &[u8]) -> Option<&'static str> {
    match classify(first) {
        Decision::Socket => Some("tcp"),
        Decision::Policy => Some("policy"),
        Decision::Http => Some("http"),
        Decision::Garbage => Some("unknown"),
        Decision::More => None,
    }
}
