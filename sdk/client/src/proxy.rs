//! HTTP proxies of the client's network: the choice of the proxy for an address, explicit or by environment variables.
//! Called by `connection.rs`; `tunnel` has the request to the proxy.

mod exclusions;
mod tunnel;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exclusions::{is_excluded, is_loopback};
use hyper::Uri;
use hyper::http::uri::Authority;
pub(crate) use tunnel::ProxyError;

use crate::connection::host_and_port;

/// Proxy of all connections; the value of [`crate::Config::proxy`].
///
/// Every transport uses a tunnel of the proxy (`CONNECT`), with and without TLS. The proxy resolves the name of the
/// server. An environment variable may be written in lower case.
///
/// ```
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use minerva_client::{Config, ProxyChoice, TransportKind};
///
/// let mut config = Config::new("example.com:443", TransportKind::WebSocket);
/// config.proxy = ProxyChoice::Use("http://user:password@proxy.example:3128".parse()?);
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxyChoice {
    /// The proxy in `HTTPS_PROXY`, or else in `ALL_PROXY`, except for the hosts in `NO_PROXY` and for loopback
    /// addresses. An empty variable counts as missing.
    #[default]
    Environment,
    /// No proxy.
    Direct,
    /// This proxy for every address.
    Use(Proxy),
}

/// An HTTP proxy: `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`, parsed from text. See [`ProxyChoice`] for an
/// example.
///
/// The port is 80 if missing; user and password may be percent-encoded. The debug output omits the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// Value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// Error of parsing a [`Proxy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyParseError {
    /// The text is not a proxy address.
    #[error("write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")]
    Address,
    /// The proxy has another protocol than HTTP.
    #[error("the scheme {scheme} is not supported: use an HTTP proxy, http://HOST:PORT")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
}

/// Reads an environment variable; `None` if missing or not Unicode.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl ProxyChoice {
    /// The proxy for a server.
    pub(crate) fn of(
        &self,
        host: &str,
        port: u16,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Proxy>, EnvironmentError> {
        match self {
            Self::Direct => Ok(None),
            Self::Use(proxy) => Ok(Some(proxy.clone())),
            Self::Environment if is_loopback(host) => Ok(None),
            Self::Environment => from_environment(host, port, environment),
        }
    }
}

/// A proxy variable of the environment is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} names no usable proxy: {error}")]
pub struct EnvironmentError {
    /// The variable.
    pub variable: String,
    /// The reason.
    pub error: ProxyParseError,
}

fn from_environment(
    host: &str,
    port: u16,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, EnvironmentError> {
    let read = |name: &str| {
        let names = [name.to_owned(), name.to_lowercase()];
        let value = |name: String| Some((environment(&name)?, name));
        names.into_iter().filter_map(value).find(|(value, _)| !value.trim().is_empty())
    };
    let Some((text, variable)) = read("HTTPS_PROXY").or_else(|| read("ALL_PROXY")) else {
        return Ok(None);
    };
    if read("NO_PROXY").is_some_and(|(list, _)| is_excluded(host, port, &list)) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| EnvironmentError { variable, error })
}

impl std::str::FromStr for Proxy {
    type Err = ProxyParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = text.parse().map_err(|_| ProxyParseError::Address)?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if scheme != "http" {
            return Err(ProxyParseError::Scheme { scheme: scheme.to_owned() });
        }
        let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        let authority = uri.authority().filter(|_| !has_path).ok_or(ProxyParseError::Address)?;
        let (host, port) = host_and_port(authority, 80).ok_or(ProxyParseError::Address)?;
        Ok(Self { host, port, authorization: authorization(authority) })
    }
}

/// Basic authentication with the credentials in front of the host (RFC 7617).
fn authorization(authority: &Authority) -> Option<String> {
    let (credentials, _) = authority.as_str().rsplit_once('@')?;
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let plain = [percent_decode(user), vec![b':'], percent_decode(password)].concat();
    Some(format!("Basic {}", STANDARD.encode(plain)))
}

/// Replaces `%XX` by the byte; other bytes, incomplete sequences among them, are kept.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes();
    let mut decoded = Vec::new();
    while let [first, rest @ ..] = bytes {
        let digits = rest.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                bytes = rest.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                bytes = rest;
            }
        }
    }
    decoded
}

impl fmt::Display for Proxy {
    /// Host and port, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", HostPort(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &format_args!("{self}"))
            .field("has_credentials", &self.authorization.is_some())
            .finish()
    }
}

/// `HOST:PORT`, with brackets around an IPv6 address.
struct HostPort<'a>(&'a str, u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Proxy {
        text.parse().unwrap()
    }

    #[test]
    fn a_proxy_is_parsed_with_defaults() {
        for (text, shown, authorization) in [
            ("http://proxy.example:3128", "proxy.example:3128", None),
            ("proxy.example", "proxy.example:80", None),
            (" 10.0.0.1:8080 ", "10.0.0.1:8080", None),
            ("http://[::1]:3128/", "[::1]:3128", None),
            ("http://user:pass@p:1", "p:1", Some("Basic dXNlcjpwYXNz")),
            ("http://us%65r:p%40ss@p:1", "p:1", Some("Basic dXNlcjpwQHNz")),
            ("http://user@p:1", "p:1", Some("Basic dXNlcjo=")),
        ] {
            let proxy = proxy(text);
            assert_eq!(
                (&*proxy.to_string(), proxy.authorization.as_deref()),
                (shown, authorization)
            );
        }
        let shown = format!("{:?}", proxy("http://user:secret@p:1"));
        assert_eq!(shown, "Proxy { address: p:1, has_credentials: true }");
    }

    #[test]
    fn other_proxies_are_refused_with_a_reason() {
        for text in ["", "http://", "http://p:1/path", "http://p:70000", "http://p:1?a"] {
            assert_eq!(text.parse::<Proxy>(), Err(ProxyParseError::Address), "{text}");
        }
        for scheme in ["socks5", "socks5h", "https"] {
            let error = format!("{scheme}://p:1").parse::<Proxy>().unwrap_err();
            assert_eq!(error, ProxyParseError::Scheme { scheme: scheme.to_owned() });
        }
    }

    #[test]
    fn the_environment_names_the_proxy() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", "h:1"), ("ALL_PROXY", "a:1")], Some("h:1")),
            (&[("https_proxy", "l:1"), ("ALL_PROXY", "a:1")], Some("l:1")),
            (&[("HTTPS_PROXY", " "), ("all_proxy", "a:1")], Some("a:1")),
            (&[("HTTP_PROXY", "p:1")], None),
            (&[("HTTPS_PROXY", "h:1"), ("NO_PROXY", "example.com")], None),
            (&[("HTTPS_PROXY", "h:1"), ("no_proxy", "*")], None),
            (&[("HTTPS_PROXY", "h:1"), ("NO_PROXY", "example.org")], Some("h:1")),
        ] {
            let read = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let of = |choice: ProxyChoice, host| choice.of(host, 443, read).unwrap();
            let chosen = of(ProxyChoice::Environment, "www.example.com");
            assert_eq!(chosen, expected.map(proxy), "{variables:?}");
            assert_eq!(of(ProxyChoice::Environment, "localhost"), None);
            assert_eq!(of(ProxyChoice::Environment, "127.0.0.1"), None);
            assert_eq!(of(ProxyChoice::Direct, "www.example.com"), None);
            let own = proxy("own:1");
            assert_eq!(of(ProxyChoice::Use(own.clone()), "localhost"), Some(own));
        }
    }

    #[test]
    fn an_invalid_variable_is_named() {
        let read = |name: &str| (name == "ALL_PROXY").then(|| "socks5://p:1".to_owned());
        let error = ProxyChoice::Environment.of("a.example", 80, read).unwrap_err();
        assert_eq!(error.variable, "ALL_PROXY");
        assert!(error.to_string().contains("socks5"), "{error}");
    }
}
