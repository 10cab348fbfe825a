//! The client's address behind proxies: `X-Forwarded-For` or `Forwarded` (RFC 7239) is followed as far as trusted
//! proxies wrote the header. Pure; called by `http/connection.rs` and `listener.rs`.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use http::HeaderMap;
use minerva_runtime::network::Network;

/// Header in which trusted proxies report the client's address. Only one is read: a proxy that writes one header may
/// pass on the other one as the client has sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: 192.0.2.1, 10.0.0.1`, each address perhaps with a port.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:4711"` of RFC 7239.
    Forwarded,
}

/// Proxies of the option `--trust-forwarded-for`, and the header that they write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardedHeader,
}

/// An entry of the list is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network")]
pub(crate) struct NetworkError(String);

impl TrustedProxies {
    /// Parses addresses (`10.0.0.1`) and networks (`10.0.0.0/8`).
    pub(crate) fn new(list: &[String], header: ForwardedHeader) -> Result<Self, NetworkError> {
        // An empty environment variable is an empty list.
        let list = list.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        let nets =
            list.map(|text| Network::parse(text).ok_or_else(|| NetworkError(text.to_owned())));
        Ok(Self { networks: nets.collect::<Result<_, _>>()?, header })
    }

    /// Whether no proxy is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Returns the client's address: the nearest address that is not a trusted proxy.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        // An invalid byte makes its hop unreadable, not the hops that proxies have added.
        let lines = headers.get_all(name).iter();
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let mut hops = lines.iter().rev().flat_map(|line| self.hops(line));
        let mut client = peer;
        while self.trusts(client) {
            let Some(hop) = hops.next().and_then(|hop| self.parse_hop(hop)) else { break };
            client = hop.to_canonical();
        }
        client
    }

    /// The hops of one line, the nearest first.
    fn hops<'line>(&self, line: &'line str) -> Vec<&'line str> {
        match self.header {
            ForwardedHeader::XForwardedFor => line.rsplit(',').collect(),
            ForwardedHeader::Forwarded => rsplit_unquoted(line, b','),
        }
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|net| net.contains(address))
    }

    fn parse_hop(&self, hop: &str) -> Option<IpAddr> {
        match self.header {
            ForwardedHeader::XForwardedFor => parse_node(hop.trim()),
            ForwardedHeader::Forwarded => rsplit_unquoted(hop, b';').into_iter().find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                if !name.trim().eq_ignore_ascii_case("for") {
                    return None;
                }
                parse_node(&unquote(value.trim()))
            }),
        }
    }
}

/// Parses an address, perhaps in brackets and with a port. `None` for `unknown` and obfuscated names.
fn parse_node(node: &str) -> Option<IpAddr> {
    // RFC 7239 permits an obfuscated port, which begins with an underscore.
    let node = node.rsplit_once(":_").map_or(node, |(address, _)| address);
    let bracketed = node.strip_prefix('[').and_then(|node| node.strip_suffix(']'));
    let socket = node.parse::<SocketAddr>().ok();
    bracketed.unwrap_or(node).parse().ok().or(socket.map(|socket| socket.ip()))
}

/// Splits at `separator` outside of quoted strings, from the right: an unbalanced quote of the client cannot hide the
/// elements that proxies have added.
fn rsplit_unquoted(text: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut end, mut is_quoted) = (Vec::new(), text.len(), false);
    let bytes = text.as_bytes();
    for at in (0..bytes.len()).rev() {
        if bytes[at] == b'"' {
            let escapes = bytes[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
            is_quoted ^= escapes % 2 == 0;
        } else if bytes[at] == separator && !is_quoted {
            parts.push(&text[at + 1..end]);
            end = at;
        }
    }
    parts.push(&text[..end]);
    parts
}

/// The content of a quoted string; other text is returned unchanged.
fn unquote(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(content) if content.contains('\\') => content.replace('\\', "").into(),
        Some(content) => content.into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client_of(header: ForwardedHeader, peer: &str, lines: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()];
        let name = match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let proxies = TrustedProxies::new(&trusted, header).unwrap();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    fn client(peer: &str, lines: &[&'static str]) -> String {
        client_of(ForwardedHeader::XForwardedFor, peer, lines)
    }

    fn forwarded(lines: &[&'static str]) -> String {
        client_of(ForwardedHeader::Forwarded, "10.0.0.1", lines)
    }

    #[test]
    fn an_untrusted_proxy_is_ignored() {
        assert_eq!(client("11.0.0.1", &["1.2.3.4"]), "11.0.0.1");
        assert_eq!(client("::ffff:11.0.0.1", &["1.2.3.4"]), "11.0.0.1");
    }

    #[test]
    fn the_header_is_followed_through_trusted_proxies() {
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.9.9.9"]), "1.2.3.4");
        assert_eq!(client("fd00::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn an_address_may_have_a_port() {
        for (hop, address) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::1]:5678", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("6.6.6.6:1, 1.2.3.4:65535 , 10.9.9.9:80", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:5678", "1.2.3.4"),
        ] {
            assert_eq!(client("10.0.0.1", &[hop]), address, "{hop}");
        }
        for wrong in ["1.2.3.4:65536", "1.2.3.4:x", "[2001:db8::1]x", "[1.2.3.4", "6.6.6.6:", ""] {
            assert_eq!(client("10.0.0.1", &["6.6.6.6", wrong]), "10.0.0.1", "{wrong}");
        }
    }

    #[test]
    fn an_invalid_byte_does_not_hide_the_hops_of_proxies() {
        assert_eq!(client("10.0.0.1", &["6.6.6.\u{e9}, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, \u{e9}"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["\"6.6.6.6, 1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn forwarded_elements_are_parsed() {
        for (line, address) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("proto=https; For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=6.6.6.6, for=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=\"192.0.2.43:_port\"", "192.0.2.43"),
            ("for=6.6.6.6;ext=\"a,b;for=7.7.7.7\", for=10.9.9.9", "6.6.6.6"),
            ("for=6.6.6.6;ext=\"\\\",for=7.7.7.7\"", "6.6.6.6"),
            ("for=\"192.\\0.2.43\"", "192.0.2.43"),
            ("for=\"6.6.6.6, for=192.0.2.43", "192.0.2.43"),
            ("for=6.6.6.6, for=unknown", "10.0.0.1"),
            ("for=6.6.6.6, for=_hidden", "10.0.0.1"),
            ("for=6.6.6.6, proto=http", "10.0.0.1"),
        ] {
            assert_eq!(forwarded(&[line]), address, "{line}");
        }
    }

    #[test]
    fn a_header_that_the_proxy_does_not_write_is_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert("forwarded", HeaderValue::from_static("for=6.6.6.6"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("7.7.7.7"));
        let client = |header| {
            let proxies = TrustedProxies::new(&["10.0.0.1".to_owned()], header).unwrap();
            proxies.client("10.0.0.1".parse().unwrap(), &headers).to_string()
        };
        assert_eq!(client(ForwardedHeader::XForwardedFor), "7.7.7.7");
        assert_eq!(client(ForwardedHeader::Forwarded), "6.6.6.6");
    }

    #[test]
    fn an_invalid_network_is_rejected() {
        let new = |text: &str| TrustedProxies::new(&[text.to_owned()], ForwardedHeader::default());
        assert_eq!(new(""), Ok(TrustedProxies::default()));
        for wrong in ["10.0.0.0/33", "::/129", "host", "10.0.0.0/x", "10.0.0"] {
            assert!(new(wrong).is_err(), "{wrong}");
        }
    }
}
