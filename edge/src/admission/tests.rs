//! Tests of the permits: exempt addresses, charged frames, refused connections.

use super::*;
use crate::access::ForwardedHeader;

fn admission(proxies: &[&str]) -> Arc<Admission> {
    let list: Vec<String> = proxies.iter().map(|&text| text.to_owned()).collect();
    let proxies = TrustedProxies::new(&list, ForwardedHeader::default()).unwrap();
    let (unfinished, max_frame) = (16 * FREE_BYTES, FREE_BYTES);
    let limits =
        AdmissionLimits { connections: 2, unknown_streams: 1, takeovers: 1, unfinished, max_frame };
    Arc::new(Admission::new(limits, proxies, Metrics::default()))
}

/// Number of admitted connections of four.
fn admitted(proxies: &[&str], client: &str) -> usize {
    let (admission, client) = (admission(proxies), client.parse().unwrap());
    let permits: Vec<_> = (0..4).map(|_| admission.admit(client)).collect();
    permits.iter().flatten().count()
}

#[test]
fn private_peers_are_exempt_without_trusted_proxies() {
    for private in [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        assert_eq!(admitted(&[], private), 4, "{private}");
        assert_eq!(admitted(&["203.0.113.1"], private), 2, "{private}");
    }
    for public in ["1.2.3.4", "100.128.0.1", "2001:db8::1", "172.32.0.1"] {
        assert_eq!(admitted(&[], public), 2, "{public}");
    }
    assert_eq!(admitted(&["203.0.113.1"], "203.0.113.1"), 4, "a trusted proxy");
}

#[test]
fn cores_receive_the_key_of_a_client_with_limits() {
    let key = |proxies: &[&str], client: &str| {
        admission(proxies).admit(client.parse().unwrap()).unwrap().shared_key()
    };
    let of = |client: &str| AddressKey::of(client.parse().unwrap());
    assert_eq!(key(&[], "1.2.3.4"), of("1.2.3.4"));
    assert_eq!(key(&[], "10.1.2.3"), AddressKey::EXEMPT, "may be a proxy");
    assert_eq!(key(&["203.0.113.1"], "10.1.2.3"), of("10.1.2.3"));
    assert_eq!(key(&["203.0.113.1"], "203.0.113.1"), AddressKey::EXEMPT, "a trusted proxy");
}

#[test]
fn frames_are_charged_in_steps_above_64_kib() {
    let admission = admission(&[]);
    let permit = Arc::new(admission.admit("1.2.3.4".parse().unwrap()).unwrap());
    for (length, charged) in [(65_535, 0), (65_536, 0), (65_537, 65_536), (131_073, 131_072)] {
        let mut memory = FrameMemory::new(Arc::clone(&permit));
        assert!(memory.resize(length));
        assert_eq!(lock(&admission.addresses).unfinished(), charged, "{length}");
    }
    assert_eq!(lock(&admission.addresses).unfinished(), 0, "dropped");
    // A quarter of the budget is four steps.
    let mut memory = FrameMemory::new(permit);
    assert!(memory.resize(5 * FREE_BYTES));
    assert!(!memory.resize(5 * FREE_BYTES + 1));
    let exempt = Arc::new(admission.admit("127.0.0.1".parse().unwrap()).unwrap());
    let mut memory = FrameMemory::new(exempt);
    assert!(memory.resize(13 * FREE_BYTES) && !memory.resize(13 * FREE_BYTES + 1));
}

#[test]
fn dropped_permits_make_room() {
    let (admission, client) = (admission(&[]), "1.2.3.4".parse().unwrap());
    for _ in 0..10 {
        let permits: Vec<_> = (0..3).map(|_| admission.admit(client)).collect();
        assert!(permits[1].is_ok() && matches!(permits[2], Err(OverLimit(Some(_)))));
    }
    let exempt = "127.0.0.1".parse().unwrap();
    let permits: Vec<_> = (0..100).map(|_| admission.admit(exempt)).collect();
    assert!(permits.iter().all(Result::is_ok));
}

#[test]
fn an_address_may_receive_a_frame_of_the_maximum_length() {
    let limits = admission(&[]).limits;
    for (frames, share) in [(2, 4), (3, 4), (4, 5), (15, 16)] {
        let limits = AdmissionLimits { max_frame: frames * FREE_BYTES, ..limits };
        assert_eq!(limits.unfinished_of_address(), share * FREE_BYTES, "{frames}");
    }
}

#[test]
fn refusals_are_logged_while_no_proxy_is_listed() {
    for (proxies, logged) in [(&[][..], Some(1)), (&["203.0.113.1"], None)] {
        let admission = admission(proxies);
        let _open: Vec<_> = (0..2).map(|_| admission.admit([1, 2, 3, 4].into())).collect();
        assert_eq!(admission.refusals_to_log(), logged);
        assert_eq!(admission.refusals_to_log(), None, "not each one");
    }
    let admission = admission(&[]);
    let _open: Vec<_> = (0..3).map(|_| admission.admit([1, 2, 3, 4].into())).collect();
    assert_eq!(admission.refusals_to_log(), None, "the third connection was logged");
}

#[test]
fn an_exempt_address_beyond_the_limit_is_logged_once() {
    let connect = |proxies: &[&str], clients: &[&str]| {
        crate::log_lines::of(|| {
            let admission = admission(proxies);
            let open = clients.iter().map(|client| admission.admit(client.parse().unwrap()));
            drop(open.collect::<Vec<_>>());
        })
    };
    assert_eq!(connect(&[], &["10.0.0.1"; 2]), [""; 0], "within the limit");
    let lines =
        connect(&[], &["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "::1", "::1", "::1"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let parts = [" WARN ", "address=10.0.0.1", "connections=2", "--trust-forwarded-for"];
    assert!(parts.iter().all(|part| lines[0].contains(part)), "{lines:?}");
    assert_eq!(connect(&["203.0.113.1"], &["203.0.113.1"; 4]), [""; 0], "a trusted proxy");
}
