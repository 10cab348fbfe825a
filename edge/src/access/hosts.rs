//! Check of a request's host name against DNS rebinding: a page of an attacker whose name resolves to this server has
//! the same origin as this server, but its requests carry the attacker's name. Pure; called by `http.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};
use url::Host;

/// Host names of the option `--hosts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// Names in lower case and ASCII form; a name that begins with a dot stands for its subdomains.
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Every name is accepted (`*`).
    any: bool,
}

/// An entry of the list is neither a host name nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host name nor an address")]
pub(crate) struct HostError(String);

impl Hosts {
    /// Parses names such as `example.com`, `*.example.com` for subdomains, addresses, and `*`.
    pub(crate) fn new(list: &[String]) -> Result<Self, HostError> {
        // An empty environment variable is an empty list.
        let list = list.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        let mut hosts = Self::default();
        for entry in list {
            let (dot, name) = entry.strip_prefix("*.").map_or(("", entry), |name| (".", name));
            let address = name.parse().map(Host::Ipv6).ok();
            match address.or_else(|| parse(name)) {
                _ if entry == "*" => hosts.any = true,
                Some(Host::Domain(name)) => hosts.names.push(format!("{dot}{name}")),
                Some(Host::Ipv4(address)) if dot.is_empty() => hosts.addresses.push(address.into()),
                Some(Host::Ipv6(address)) if dot.is_empty() => hosts.addresses.push(address.into()),
                Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => {
                    return Err(HostError(entry.to_owned()));
                }
            }
        }
        Ok(hosts)
    }

    /// Whether a request may be served. With `only_loopback`, unlisted names other than loopback names are refused.
    /// Otherwise names are refused only if there is a list; loopback names and addresses cannot be bound by others.
    pub(crate) fn accepts(&self, uri: &Uri, headers: &HeaderMap, only_loopback: bool) -> bool {
        if self.any {
            return true;
        }
        let mut named = headers.get_all(HOST).iter();
        let header = named.next().map(|host| host.to_str().unwrap_or_default());
        if named.next().is_some() {
            return false;
        }
        let hosts = header.into_iter().chain(uri.authority().map(Authority::as_str));
        hosts.into_iter().all(|host| {
            let host = (!host.contains('@')).then(|| host.parse::<Authority>().ok()).flatten();
            let host = host.and_then(|authority| parse(authority.host()));
            host.is_some_and(|host| self.accepts_host(&host, only_loopback))
        })
    }

    fn accepts_host(&self, host: &Host, only_loopback: bool) -> bool {
        match host {
            Host::Ipv4(address) => {
                !only_loopback || address.is_loopback() || self.lists((*address).into())
            }
            Host::Ipv6(address) => {
                !only_loopback || is_loopback(*address) || self.lists((*address).into())
            }
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                let is_local = name == "localhost" || name.ends_with(".localhost");
                let is_listed = self.names.iter().any(|listed| match listed.strip_prefix('.') {
                    Some(_) => name.ends_with(listed.as_str()),
                    None => name == listed,
                });
                let has_list = !self.names.is_empty() || !self.addresses.is_empty();
                is_local || is_listed || (!has_list && !only_loopback)
            }
        }
    }

    fn lists(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

fn is_loopback(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.to_ipv4_mapped().is_some_and(|inner: Ipv4Addr| inner.is_loopback())
}

/// Parses a name or an address in the forms of a URL; `None` for names that cannot exist.
fn parse(name: &str) -> Option<Host> {
    Host::parse(name).ok().filter(|host| match host {
        Host::Domain(name) => !name.contains('*'),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hosts(list: &[&str]) -> Hosts {
        Hosts::new(&list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn accepts(hosts: &Hosts, host: &str, only_loopback: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        hosts.accepts(&Uri::from_static("/"), &headers, only_loopback)
    }

    const LOOPBACK: [&str; 8] = [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "app.localhost",
        "127.0.0.1:8080",
        "127.9.9.9",
        "[::1]:8080",
        "[::ffff:127.0.0.1]",
    ];
    const ELSEWHERE: [&str; 4] = ["evil.example", "localhost.evil.example", "notlocalhost", "a:80"];
    const ADDRESSES: [&str; 3] = ["10.0.0.1:8080", "[2001:db8::1]", "128.0.0.1"];
    const INVALID: [&str; 5] = ["", "localhost@evil.example", "a b", "[::1", "\u{e9}"];

    #[test]
    fn a_loopback_listener_accepts_loopback_names_only() {
        let none = hosts(&[]);
        for host in LOOPBACK {
            assert!(accepts(&none, host, true), "{host}");
        }
        for host in ELSEWHERE.iter().chain(&ADDRESSES).chain(&INVALID) {
            assert!(!accepts(&none, host, true), "{host}");
        }
    }

    #[test]
    fn another_listener_accepts_every_name_without_a_list() {
        let none = hosts(&[]);
        for host in LOOPBACK.iter().chain(&ELSEWHERE).chain(&ADDRESSES) {
            assert!(accepts(&none, host, false), "{host}");
        }
        for host in INVALID {
            assert!(!accepts(&none, host, false), "{host}");
        }
    }

    #[test]
    fn a_list_names_the_accepted_hosts() {
        let listed = hosts(&["Example.com", "*.b\u{fc}cher.example", ""]);
        for only_loopback in [false, true] {
            for host in
                ["example.com", "example.COM:8443", "example.com.", "a.xn--bcher-kva.example"]
            {
                assert!(accepts(&listed, host, only_loopback), "{host}");
            }
            for host in ["evil.example", "a.example.com", "xn--bcher-kva.example", "aexample.com"] {
                assert!(!accepts(&listed, host, only_loopback), "{host}");
            }
            assert!(accepts(&listed, "127.0.0.1", only_loopback));
            assert!(accepts(&listed, "localhost", only_loopback));
            assert_eq!(accepts(&listed, "10.0.0.1", only_loopback), !only_loopback);
            assert!(accepts(&hosts(&["*"]), "evil.example", only_loopback));
        }
    }

    #[test]
    fn a_listed_address_is_accepted_on_a_loopback_listener() {
        let listed = hosts(&["10.0.0.1", "2001:db8::1", "[2001:db8::2]"]);
        for host in ["10.0.0.1:8080", "[2001:db8::1]", "[2001:db8:0::2]:80", "localhost"] {
            assert!(accepts(&listed, host, true), "{host}");
        }
        for host in ["10.0.0.2", "[2001:db8::3]"] {
            assert!(!accepts(&listed, host, true), "{host}");
        }
        assert!(!accepts(&listed, "evil.example", false), "a list excludes other names");
    }

    #[test]
    fn a_request_has_at_most_one_host() {
        let check = |hosts: &[&'static str], uri: &'static str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            Hosts::default().accepts(&Uri::from_static(uri), &headers, true)
        };
        assert!(check(&[], "/") && check(&["localhost"], "/"));
        assert!(!check(&["localhost", "localhost"], "/"));
        assert!(check(&["localhost"], "http://127.0.0.1:8080/"));
        assert!(!check(&["localhost"], "http://evil.example/"));
    }

    #[test]
    fn an_invalid_entry_is_rejected() {
        for wrong in
            ["a b", "a/b", "a:80", "*.10.0.0.1", "*.::1", "10.0.0.1:80", "*.*", "a.*", "*."]
        {
            assert!(Hosts::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
