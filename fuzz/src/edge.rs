//! Parsers of the edge in front of a transport: protocol detection, PROXY line, path, origin, forwarded addresses.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use minerva_edge::fuzzing;
use minerva_proto::ServiceName;

pub mod protocol {
    //! Protocol detection: a decision is made within 512 bytes, and later bytes do not change the decision.

    use super::{fuzzing, texts};

    pub fn run(input: &[u8]) {
        let decisions: Vec<_> =
            (0..=input.len()).map(|end| fuzzing::protocol(&input[..end])).collect();
        assert!(input.len() < 512 || decisions[512].is_some(), "512 bytes without a decision");
        let Some(first) = decisions.iter().find(|decision| decision.is_some()) else { return };
        // A sequence of 512 unknown bytes is rejected, and a capital letter or preamble decides earlier.
        assert_eq!(decisions.last(), Some(first), "later bytes change the decision");
        let is_http = input.first().is_some_and(u8::is_ascii_uppercase);
        assert_eq!(is_http, *first == Some("http"), "HTTP begins with a capital letter");
        let is_tcp = input.starts_with(b"<int32/>\n");
        assert_eq!(is_tcp, *first == Some("tcp"), "a TCP transport begins with the preamble");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let unknown = "x".repeat(512);
        texts(&[
            "<int32/>\nabcd",
            "<policy-file-request/>\0",
            "POST / HTTP/1.1\r\n\r\n",
            "<int32/>\r\n",
            &unknown,
        ])
    }
}

pub mod proxy_line {
    //! The PROXY line: an accepted address is the source of the line; an accepted line has the prescribed form.

    use super::{IpAddr, fuzzing, texts};

    pub fn run(input: &[u8]) {
        let Some(source) = fuzzing::proxy_line(input) else { return };
        let line = str::from_utf8(input).unwrap_or_default();
        assert!(line.starts_with("PROXY ") && line.ends_with("\r\n"), "a line of another form");
        let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
        let Some(address) = source else {
            assert_eq!(words[1], "UNKNOWN", "a client without an address");
            return;
        };
        assert!(words.len() == 6 && matches!(words[1], "TCP4" | "TCP6"), "a line of another form");
        let expected: Option<IpAddr> = words[2].parse().ok();
        assert_eq!(
            expected.map(|address| address.to_canonical()),
            Some(address),
            "a wrong address"
        );
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        texts(&[
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 443\r\n",
            "PROXY TCP6 2001:db8::1 ::1 1 443\r\n",
            "PROXY TCP6 ::ffff:1.2.3.4 ::1 1 443\r\n",
            "PROXY UNKNOWN\r\n",
            "PROXY UNKNOWN ff ff 1 2\r\n",
        ])
    }
}

pub mod path {
    //! Paths of requests: the service is valid, and part of the path or the default.

    use super::{ServiceName, fuzzing, texts};

    pub fn run(input: &[u8]) {
        let Ok(path) = str::from_utf8(input) else { return };
        let Some(service) = fuzzing::service_of_path(path) else { return };
        let rest =
            path.strip_prefix("/_minerva/").unwrap_or_else(|| panic!("a transport of {path:?}"));
        let parts: Vec<&str> = rest.splitn(2, '/').collect();
        let named = match parts[..] {
            [service, endpoint] if !endpoint.is_empty() => Some(service),
            _ => None,
        };
        match service {
            Ok(service) => {
                let text = service.as_str();
                assert!((1..=64).contains(&text.len()), "{text:?} is too long or empty");
                let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
                assert!(text.bytes().all(allowed), "{text:?} has an invalid character");
                assert_eq!(text, named.unwrap_or(ServiceName::DEFAULT), "the service of {path:?}");
            }
            Err(error) => {
                assert!(
                    ServiceName::check(named.unwrap_or_default()).is_err(),
                    "{path:?}: {error}"
                );
                assert!(error.to_string().len() < 200, "an error repeats the path");
            }
        }
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        texts(&[
            "/_minerva/io/",
            "/_minerva/ws",
            "/_minerva/chat-2/io",
            "/_minerva/Chat.1/ws/",
            "/",
            "/_minerva//io",
        ])
    }
}

pub mod origin {
    //! Origins: a foreign origin is refused. Input: lines with the allow-list, the Host and the Origin headers.

    use super::{HOST, HeaderMap, HeaderValue, ORIGIN, fuzzing, texts};

    pub fn run(input: &[u8]) {
        let mut lines = input.split(|&byte| byte == b'\n');
        let list = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let allowed: Vec<String> = list.split(',').map(str::to_owned).collect();
        let mut headers = HeaderMap::new();
        if let Some(host) = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok()) {
            headers.insert(HOST, host);
        }
        for origin in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
            headers.append(ORIGIN, origin);
        }
        let Some(accepted) = fuzzing::origin_is_accepted(&allowed, &headers) else { return };
        let origins: Vec<&HeaderValue> = headers.get_all(ORIGIN).iter().collect();
        let [origin] = origins[..] else {
            assert_eq!(accepted, origins.is_empty(), "several origins, or none");
            return;
        };
        let is_listed = |entry: &String| {
            let entry = entry.trim();
            entry == "*" || (!entry.is_empty() && is_same(entry, origin.as_bytes()))
        };
        if allowed.iter().any(|entry| !entry.trim().is_empty()) {
            let is_text = origin.to_str().is_ok();
            let is_star = allowed.iter().any(|entry| entry.trim() == "*");
            assert!(!is_star || accepted == is_text, "{origin:?} and {allowed:?}");
            assert!(!accepted || allowed.iter().any(is_listed), "{origin:?} and {allowed:?}");
        } else if accepted {
            // Same host: the host's name appears in the origin behind the scheme.
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            let host = headers
                .get(HOST)
                .and_then(|host| host.to_str().ok())
                .unwrap_or_default()
                .to_ascii_lowercase();
            let (_, authority) =
                origin.split_once("://").unwrap_or_else(|| panic!("{origin:?} has no scheme"));
            assert_eq!(name(authority), name(&host), "a foreign host");
        }
    }

    /// Whether an accepted origin may be this entry: equal but for letter case, or one of them was normalised (an
    /// international name, a numeric address, a default port), and both have one scheme.
    fn is_same(entry: &str, origin: &[u8]) -> bool {
        let scheme = |text: &[u8]| {
            let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
            text[..end].to_ascii_lowercase()
        };
        let is_web = [&b"http"[..], b"https"].contains(&scheme(origin).as_slice());
        entry.as_bytes().eq_ignore_ascii_case(origin)
            || (is_web && scheme(entry.as_bytes()) == scheme(origin))
    }

    /// The host of an authority, without user information, port, path and query.
    fn name(authority: &str) -> &str {
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let end = authority.rfind(']').map_or_else(|| authority.find(':'), |end| Some(end + 1));
        &authority[..end.unwrap_or(authority.len())]
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        texts(&[
            "\na.example\nhttps://a.example",
            "\n[::1]:8080\nhttp://[::1]:8080",
            "\nA.example:80\nhttp://a.example",
            "https://app.example, http://localhost:3000\nedge.example\nHTTPS://app.example",
            "*\na\nnull",
            "\na\nhttp://a\nhttp://a",
        ])
    }
}

pub mod forwarded_for {
    //! Forwarded addresses: the client is the nearest address that is no trusted proxy. Input: lines with the trusted
    //! networks, the peer, and the `X-Forwarded-For` headers.

    use super::{HeaderMap, HeaderName, HeaderValue, IpAddr, fuzzing, texts};

    pub fn run(input: &[u8]) {
        let mut lines = input.split(|&byte| byte == b'\n');
        let list = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let trusted: Vec<String> = list.split(',').map(str::to_owned).collect();
        let peer = str::from_utf8(lines.next().unwrap_or_default())
            .ok()
            .and_then(|peer| peer.parse().ok());
        let peer: IpAddr = peer.unwrap_or(IpAddr::from([10, 0, 0, 1]));
        let mut headers = HeaderMap::new();
        let mut elements = HeaderMap::new();
        for value in lines.filter_map(|line| HeaderValue::from_bytes(line).ok()) {
            elements.append(HeaderName::from_static("forwarded"), value.clone());
            headers.append(HeaderName::from_static("x-forwarded-for"), value);
        }
        let Some(client) = fuzzing::client_address(&trusted, peer, &headers) else { return };
        assert_eq!(client, expected(&trusted, peer, &headers), "of {peer} with {headers:?}");
        // Only a trusted peer can name another client.
        if expected(&trusted, peer, &HeaderMap::new()) == client {
            return;
        }
        elements.clear();
        elements.append(HeaderName::from_static("forwarded"), element(client));
        assert_eq!(fuzzing::forwarded_client(&trusted, peer, &elements), Some(client));
    }

    /// The element that a proxy appends for `client`.
    fn element(client: IpAddr) -> HeaderValue {
        let node = std::net::SocketAddr::new(client, 1);
        HeaderValue::from_str(&format!("for=\"6.6.6.6, for=\"{node}\""))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Reference: addresses as 128 bits, networks as prefixes of these.
    fn expected(trusted: &[String], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let entries = trusted.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        let networks: Vec<(IpAddr, u32)> = entries.filter_map(network).collect();
        let is_trusted = |address: IpAddr| {
            networks.iter().any(|(first, prefix)| {
                let differing = bits(*first) ^ bits(address);
                first.is_ipv4() == address.is_ipv4()
                    && differing.checked_shr(128 - prefix).unwrap_or(0) == 0
            })
        };
        let lines = headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let lines: Vec<_> = lines.collect();
        let hops: Vec<&str> = lines.iter().flat_map(|line| line.split(',')).collect();
        let mut client = peer.to_canonical();
        for hop in hops.iter().rev() {
            match address(hop.trim()) {
                Some(next) if is_trusted(client) => client = next.to_canonical(),
                _ => break,
            }
        }
        client
    }

    /// An address, perhaps in brackets and with a port, which may be obfuscated.
    fn address(hop: &str) -> Option<IpAddr> {
        let hop = hop.rfind(":_").map_or(hop, |at| &hop[..at]);
        let inner = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
        let socket = hop.parse::<std::net::SocketAddr>().ok();
        socket.map(|socket| socket.ip()).or_else(|| inner.unwrap_or(hop).parse().ok())
    }

    fn network(text: &str) -> Option<(IpAddr, u32)> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Some((address, if prefix.is_empty() { longest } else { prefix.parse().ok()? }))
    }

    /// An IPv4 address takes the upper 32 bits.
    fn bits(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
            IpAddr::V6(address) => u128::from(address),
        }
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        texts(&[
            "10.0.0.0/8,fd00::/8\n10.0.0.1\n6.6.6.6, 1.2.3.4",
            "10.0.0.0/8\n10.0.0.1\n6.6.6.6\n1.2.3.4, 10.9.9.9",
            "fd00::/8\nfd00::1\n2001:db8::1",
            "10.0.0.0/8\n::ffff:10.0.0.1\n1.2.3.4",
            "10.0.0.0/8\n10.0.0.1\n1.2.3.4:5, [2001:db8::1]:443, [::ffff:10.1.1.1]",
            "\n10.0.0.1\n1.2.3.4",
            "0.0.0.0/0,::/0\n1.2.3.4\n2001:db8::1, ::ffff:9.9.9.9",
        ])
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
