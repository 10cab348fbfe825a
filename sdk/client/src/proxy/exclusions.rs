//! Hosts that are reached without a proxy: the list in `NO_PROXY`, and loopback addresses. Pure; called by `proxy.rs`.

use std::net::IpAddr;

use minerva_runtime::network::Network;

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_name = name == "localhost" || name.ends_with(".localhost");
    is_name || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a list in the form of `NO_PROXY` contains the host. Entries are separated by commas or spaces: `*`, a name
/// with all names below it, an address, a network such as `10.0.0.0/8`; names and addresses may have a port.
pub(super) fn is_excluded(host: &str, port: u16, list: &str) -> bool {
    let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| entry == "*" || matches(host, port, entry))
}

fn matches(host: &str, port: u16, entry: &str) -> bool {
    let (pattern, of_port) = split_port(entry);
    if of_port.is_some_and(|of_port| of_port != port) {
        return false;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Network::parse(pattern).is_some_and(|network| network.contains(ip));
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let pattern = pattern.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
    let above = host.strip_suffix(&*pattern);
    !pattern.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Splits `HOST:PORT` and `[IPV6]:PORT`; an IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let (pattern, port) = match entry.rsplit_once(':') {
        Some((pattern, port)) if !pattern.contains(':') || pattern.ends_with(']') => {
            (pattern, port.parse().ok())
        }
        Some(_) | None => (entry, None),
    };
    (pattern.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_exclude_hosts() {
        for (list, host, expected) in [
            ("*", "a.example", true),
            ("", "a.example", false),
            ("a.example", "a.example", true),
            ("a.example", "A.Example.", true),
            ("example", "a.example", true),
            (".example", "a.example", true),
            ("*.example", "a.example", true),
            ("example", "anexample", false),
            ("a.example", "example", false),
            ("b.example, a.example", "a.example", true),
            ("b.example a.example", "a.example", true),
            ("a.example:443", "a.example", true),
            ("a.example:444", "a.example", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("[2001:db8::1]:443", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("1.2.3", "10.1.2.3", false),
        ] {
            assert_eq!(is_excluded(host, 443, list), expected, "{list} {host}");
        }
    }

    #[test]
    fn loopback_names_and_addresses() {
        for (host, expected) in [
            ("localhost", true),
            ("a.localhost", true),
            ("LOCALHOST.", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
