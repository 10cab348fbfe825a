//! The client's address behind proxies: `X-Forwarded-For` is followed as far as trusted proxies wrote it.
//! Pure; called by `http/connection.rs` and `listener.rs`.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies of the option `--trust-forwarded-for`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Vec<Network>);

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    /// Length of the network prefix in bits.
    prefix: u8,
}

/// An entry of the list is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network")]
pub(crate) struct NetworkError(String);

impl TrustedProxies {
    /// Parses addresses (`10.0.0.1`) and networks (`10.0.0.0/8`).
    pub(crate) fn new(list: &[String]) -> Result<Self, NetworkError> {
        // An empty environment variable is an empty list.
        let list = list.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        let nets = list.map(|text| parse(text).ok_or_else(|| NetworkError(text.to_owned())));
        Ok(Self(nets.collect::<Result<_, _>>()?))
    }

    /// Returns the client's address: the nearest address that is not a trusted proxy.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(&FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok());
        let mut hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        while self.trusts(client) {
            let Some(hop) = hops.pop().and_then(|hop| hop.parse::<IpAddr>().ok()) else { break };
            client = hop.to_canonical();
        }
        client
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(address))
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differing = u32::from(first) ^ u32::from(address);
                differing.leading_zeros() >= self.prefix.into()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differing = u128::from(first) ^ u128::from(address);
                differing.leading_zeros() >= self.prefix.into()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn parse(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let first: IpAddr = address.parse().ok()?;
    let longest = if first.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(longest);
    (prefix <= longest).then_some(Network { first, prefix })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|&text| text.to_owned()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let proxies = TrustedProxies::new(&trusted).unwrap();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn an_untrusted_proxy_is_ignored() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2"], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
    }

    #[test]
    fn the_header_is_followed_through_trusted_proxies() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&trusted, "10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.9.9.9"]), "1.2.3.4");
        assert_eq!(client(&trusted, "fd00::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client(&trusted, "::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&trusted, "10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn an_invalid_network_is_rejected() {
        assert_eq!(TrustedProxies::new(&[String::new()]), TrustedProxies::new(&[]));
        for wrong in ["10.0.0.0/33", "::/129", "host", "10.0.0.0/x", "10.0.0"] {
            assert!(TrustedProxies::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
