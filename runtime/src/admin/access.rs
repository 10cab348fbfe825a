//! Access to `/metrics` on the admin port: loopback callers, holders of a token, or everyone by option.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use clap::builder::BoolishValueParser;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN};
use hyper::{HeaderMap, StatusCode};

/// Checks the value of the header `authorization`.
type Authorize = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Options of the admin port, common to all programs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct AdminConfig {
    /// Serve /metrics to every caller of --admin. Without this option callers on other machines need a token of
    /// `minerva-core token create --can metrics`, which only a core can check.
    #[arg(long, env = "MINERVA_OPEN_METRICS", value_parser = BoolishValueParser::new())]
    pub open_metrics: bool,
}

/// The rules of `/metrics`; clones share the check of tokens.
#[derive(Clone, Default)]
pub struct AdminAccess {
    open_metrics: bool,
    authorize: Arc<OnceLock<Box<Authorize>>>,
}

impl AdminAccess {
    /// The rules of these options, without a check of tokens.
    pub fn new(config: AdminConfig) -> Self {
        Self { open_metrics: config.open_metrics, authorize: Arc::default() }
    }

    /// Sets the check of the header `authorization`, once; until then every token is refused.
    pub fn set_authorize(&self, authorize: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        let _ = self.authorize.set(Box::new(authorize));
    }

    /// Decides about a request for `/metrics`.
    pub(super) fn check(
        &self,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<(), (StatusCode, &'static str)> {
        if headers.contains_key(ORIGIN) {
            return Err((StatusCode::FORBIDDEN, "requests of web pages are refused\n"));
        }
        if self.open_metrics {
            return Ok(());
        }
        if let Some(value) = headers.get(AUTHORIZATION) {
            let authorize = self.authorize.get();
            return match authorize.is_some_and(|authorize| authorize(value.as_bytes())) {
                true => Ok(()),
                false => Err((
                    StatusCode::UNAUTHORIZED,
                    "the token is invalid or has not the right `metrics`\n",
                )),
            };
        }
        if !peer.ip().to_canonical().is_loopback() {
            let text = "send `Authorization: Bearer TOKEN` with a token of `minerva-core token create --can metrics`, or start \
                        with --open-metrics\n";
            return Err((StatusCode::UNAUTHORIZED, text));
        }
        // A page may resolve its own name to 127.0.0.1 and read the response as its own.
        match headers.get(HOST).is_some_and(is_local_host) {
            true => Ok(()),
            false => {
                Err((StatusCode::FORBIDDEN, "use an IP address or `localhost` as the host name\n"))
            }
        }
    }
}

impl fmt::Debug for AdminAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminAccess")
            .field("open_metrics", &self.open_metrics)
            .finish_non_exhaustive()
    }
}

/// Whether a `Host` is an IP address or `localhost`, which no page can claim by DNS.
pub fn is_local_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || literal.is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:5";
    const REMOTE: &str = "192.0.2.1:5";

    /// The status of a request with these headers; 200 if the request is allowed.
    fn status(access: &AdminAccess, peer: &str, headers: &[(&'static str, &str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let checked = access.check(peer.parse().unwrap(), &headers);
        checked.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn loopback_callers_read_metrics_under_a_local_host_name() {
        let access = AdminAccess::default();
        for (host, expected) in [
            ("127.0.0.1:7401", 200),
            ("127.0.0.1", 200),
            ("[::1]:7401", 200),
            ("[::1]", 200),
            ("localhost:7401", 200),
            ("LOCALHOST", 200),
            ("evil.example", 403),
            ("localhost.evil.example:7401", 403),
            ("", 403),
        ] {
            assert_eq!(status(&access, LOOPBACK, &[("host", host)]), expected, "{host}");
            assert_eq!(status(&access, "[::ffff:127.0.0.1]:5", &[("host", host)]), expected);
        }
        assert_eq!(status(&access, LOOPBACK, &[]), 403);
    }

    #[test]
    fn other_callers_need_a_token() {
        let access = AdminAccess::default();
        let host = ("host", "127.0.0.1");
        assert_eq!(status(&access, REMOTE, &[host]), 401);
        let token = ("authorization", "Bearer right");
        assert_eq!(status(&access, REMOTE, &[host, token]), 401, "not ready to check tokens");
        access.set_authorize(|value| value == b"Bearer right");
        assert_eq!(status(&access.clone(), REMOTE, &[("host", "core"), token]), 200);
        for peer in [LOOPBACK, REMOTE] {
            assert_eq!(status(&access, peer, &[host, ("authorization", "Bearer wrong")]), 401);
        }
    }

    #[test]
    fn open_metrics_are_for_everyone_but_web_pages() {
        let access = AdminAccess::new(AdminConfig { open_metrics: true });
        assert_eq!(status(&access, REMOTE, &[("host", "core:7401")]), 200);
        for access in [access, AdminAccess::default()] {
            let origin = ("origin", "http://evil.example");
            assert_eq!(status(&access, LOOPBACK, &[("host", "127.0.0.1"), origin]), 403);
        }
    }
}
