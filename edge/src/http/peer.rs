//! Who the client is behind proxies: `X-Forwarded-For` is believed as far as it was written by
//! proxies that the operator named.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that the operator named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Vec<Net>);

/// Addresses with a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Net {
    first: IpAddr,
    /// Bits of the common beginning.
    prefix: u8,
}

/// An entry of the list that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network")]
pub(crate) struct NoNetwork(String);

impl TrustedProxies {
    /// `list`: addresses (`10.0.0.1`) or networks (`10.0.0.0/8`).
    pub(crate) fn new(list: &[String]) -> Result<Self, NoNetwork> {
        // An environment variable that is empty names none.
        let list = list.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        let nets = list.map(|text| parse(text).ok_or_else(|| NoNetwork(text.to_owned())));
        Ok(Self(nets.collect::<Result<_, _>>()?))
    }

    /// The client's address: the nearest one that is no trusted proxy.
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

impl Net {
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

fn parse(text: &str) -> Option<Net> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let first: IpAddr = address.parse().ok()?;
    let longest = if first.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(longest);
    (prefix <= longest).then_some(Net { first, prefix })
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
    fn nobody_is_believed_unless_named() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2"], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
    }

    #[test]
    fn the_chain_is_followed_as_far_as_it_is_trusted() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&trusted, "10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.9.9.9"]), "1.2.3.4");
        assert_eq!(client(&trusted, "fd00::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client(&trusted, "::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&trusted, "10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        assert_eq!(TrustedProxies::new(&[String::new()]), TrustedProxies::new(&[]));
        for wrong in ["10.0.0.0/33", "::/129", "host", "10.0.0.0/x", "10.0.0"] {
            assert!(TrustedProxies::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
