//! The key of a client's address, under which edges and cores count connections, streams and bytes of one client.
//!
//! An edge computes the key; a core receives the key with each transport, and computes the key of a stored address.

use std::net::{IpAddr, Ipv4Addr};

use siphasher::sip::SipHasher24;

/// Key of the hash; public, since the hash only shortens the address.
const HASH_KEY: [u8; 16] = *b"minerva/address1";

/// Hash of an IPv4 address, or of the /64 network of an IPv6 address, which one client owns.
///
/// Short enough to be guessed back to an address, so never to be logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(pub u64);

impl AddressKey {
    /// The key of a client without limits by address, for example a proxy of many clients.
    pub const EXEMPT: Self = Self(0);

    /// The key of an address.
    pub fn of(address: IpAddr) -> Self {
        let hasher = SipHasher24::new_with_key(&HASH_KEY);
        let hash = match address.to_canonical() {
            IpAddr::V4(address) => hasher.hash(&address.octets()),
            IpAddr::V6(address) => hasher.hash(&address.octets()[..8]),
        };
        Self(hash.max(1))
    }

    /// Whether the client has no limits by address.
    pub const fn is_exempt(self) -> bool {
        self.0 == 0
    }
}

/// Returns true for addresses that are not on the public internet: loopback, private, link-local, and shared by a
/// carrier. Such a peer may be a proxy for all clients.
pub fn is_private_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let is_shared =
                u32::from(address) >> 22 == u32::from(Ipv4Addr::new(100, 64, 0, 0)) >> 22;
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> AddressKey {
        AddressKey::of(address.parse().unwrap())
    }

    #[test]
    fn one_client_has_one_key() {
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8:0:0:ffff::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert!(!key("192.0.2.1").is_exempt() && AddressKey::EXEMPT.is_exempt());
    }

    /// Edges and cores of different releases must agree.
    #[test]
    fn keys_do_not_change() {
        let keys = [key("192.0.2.1"), key("2001:db8::1")];
        assert_eq!(keys, [AddressKey(0x7ac5_cbad_1e8c_60fc), AddressKey(0x7cb4_478b_4eba_9fb3)]);
    }

    #[test]
    fn private_addresses_are_recognised() {
        for (address, is_private) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("fd00::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private_address(address.parse().unwrap()), is_private, "{address}");
        }
    }
}
