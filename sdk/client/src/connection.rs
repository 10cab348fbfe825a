//! Opens the connection of a transport: TCP to the server or to the proxy, the tunnel of the proxy, TLS. Used by the
//! TCP and WebSocket transports and by the connection pool of the HTTP transports.

use hyper::http::uri::Authority;
use minerva_runtime::dial;

use crate::clock::ATTEMPT_TIMEOUT;
use crate::config::Config;
use crate::error::ConnectError;
use crate::proxy::{Proxy, environment};
use crate::tls::{Socket, Tls};
use crate::transport::TransportError;

/// One address of the server and the path to it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    tls: Option<Tls>,
    proxy: Option<Proxy>,
}

impl Endpoint {
    /// Parses `HOST:PORT` and chooses the proxy. Without a port, 443 with TLS and 80 otherwise.
    pub(crate) fn new(config: &Config, address: &str) -> Result<Self, ConnectError> {
        // Credentials in front of the host stay out of the error.
        let shown = address.rsplit_once('@').map_or(address, |(_, host)| host);
        let invalid = || ConnectError::Address { address: shown.to_owned() };
        let authority: Authority = address.parse().map_err(|_| invalid())?;
        let default = if config.tls.is_some() { 443 } else { 80 };
        let (host, port) = host_and_port(&authority, default).ok_or_else(invalid)?;
        if authority.as_str().contains('@') {
            return Err(invalid());
        }
        let proxy = config.proxy.of(&host, port, environment)?;
        Ok(Self { host, port, tls: config.tls.clone(), proxy })
    }

    /// Connects, with TLS if configured, and offers `protocols` by ALPN.
    pub(crate) async fn connect(&self, protocols: &[&str]) -> Result<Socket, TransportError> {
        let socket = match &self.proxy {
            Some(proxy) => proxy.connect(&self.host, self.port).await?,
            None => dial::connect(&self.host, self.port, ATTEMPT_TIMEOUT).await?,
        };
        socket.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => tls.wrap(socket, &self.host, protocols).await,
            None => Ok(Socket::Left(socket)),
        }
    }
}

/// Host, without the brackets of an IPv6 address, and port. `None` if the host is empty or the port is no number.
pub(crate) fn host_and_port(authority: &Authority, default: u16) -> Option<(String, u16)> {
    let host = authority.host();
    let (_, behind_host) = authority.as_str().rsplit_once(host).filter(|_| !host.is_empty())?;
    let port = match behind_host.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None => default,
    };
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TransportKind;
    use crate::proxy::ProxyChoice;

    fn endpoint(address: &str, tls: Option<Tls>) -> Result<Endpoint, ConnectError> {
        let mut config = Config::new(address, TransportKind::Tcp);
        (config.tls, config.proxy) = (tls, ProxyChoice::Direct);
        Endpoint::new(&config, address)
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (address, host, port) in [
            ("a.example:443", "a.example", 443),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:8443", "::1", 8443),
            ("a", "a", 80),
        ] {
            let endpoint = endpoint(address, None).unwrap();
            assert_eq!((&*endpoint.host, endpoint.port), (host, port));
        }
        let with_tls = endpoint("a", Some(Tls::without_roots().unwrap())).unwrap();
        assert_eq!(with_tls.port, 443);
    }

    #[test]
    fn an_address_is_no_url() {
        for (address, shown) in [
            ("", ""),
            (":80", ":80"),
            ("http://a:80", "http://a:80"),
            ("a:80/path", "a:80/path"),
            ("a:70000", "a:70000"),
            ("a b:80", "a b:80"),
            // Credentials are not shown.
            ("user@a:80", "a:80"),
            ("user:p@ss@a:80", "a:80"),
            ("http://user:pass@a:80/", "a:80/"),
        ] {
            let expected = ConnectError::Address { address: shown.to_owned() };
            assert_eq!(endpoint(address, None).err(), Some(expected));
        }
    }
}
