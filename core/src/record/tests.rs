//! Records and snapshots survive the way through the store; anything else is an error, never a panic.

use proptest::prelude::*;

use super::*;
use crate::stream::{EndedBy, TransportKind};
use minerva_proto::{Reset, StreamId};

fn origin() -> Origin {
    Origin {
        id: StreamId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        service: "default".into(),
        credentials: "secret".to_owned(),
        headers: vec![("user-agent".to_owned(), "x".to_owned())],
        peer_address: "192.0.2.1".to_owned(),
        kind: TransportKind::HttpStream,
        started_at_ms: 5,
    }
}

fn every_record() -> Vec<(u64, Record)> {
    let ended = |by| Record::Ended(Ended { reset: Reset::new("over", true), by });
    let records = vec![
        Record::Opened { origin: origin().into(), max_idle_ms: 7 },
        Record::Assigned { instance: "i-1".into() },
        Record::Received { first: 0, strings: vec!["a".into(), Bytes::new()] },
        Record::Sacked(Sack { acked: None, beyond: vec![3, 9] }),
        Record::Sacked(Sack { acked: Some(0), beyond: vec![] }),
        Record::Sent { strings: vec!["b".into()] },
        Record::Acknowledged { event: 0 },
        ended(EndedBy::Client),
        ended(EndedBy::App),
        ended(EndedBy::Core),
        Record::LimitsSet { max_idle_ms: 1 },
    ];
    (1..).zip(records).collect()
}

fn snapshot() -> Snapshot {
    Snapshot {
        origin: origin().into(),
        max_idle_ms: 7,
        instance: Some("i-1".into()),
        inbox_base: 2,
        inbox: vec!["c".into()],
        received_next: 2,
        waiting: vec![(4, "e".into())],
        outbox_base: 1,
        outbox_next: 4,
        outbox: vec![(2, "s".into())],
        ended: None,
    }
}

#[test]
fn entries_round_trip() {
    assert_eq!(decode_entry(encode_entry(&every_record())), Ok(every_record()));
}

#[test]
fn snapshots_and_meta_round_trip() {
    assert_eq!(Snapshot::decode(snapshot().encode(9)), Ok((snapshot(), 9)));
    let meta = Meta { streams_made: 3 };
    assert_eq!(Meta::decode(meta.encode()), Ok(meta));
}

/// Steps of a checkpoint are measured before they are made.
#[test]
fn a_snapshot_is_not_longer_than_its_size() {
    let many = |count: u64| (1..=count).map(|number| (number << 43, Bytes::from("x"))).collect();
    for count in [0, 1, 1000] {
        let outbox: Vec<(u64, Bytes)> = many(count);
        let inbox = outbox.iter().map(|(_, string)| string.clone()).collect();
        let ended = Ended { reset: Reset::new(&"r".repeat(255), true), by: EndedBy::App };
        let base = Snapshot { waiting: many(count), ended: Some(ended), ..snapshot() };
        let full = Snapshot { inbox, outbox, outbox_next: 1 << 53, max_idle_ms: u64::MAX, ..base };
        let length = full.encode(u64::MAX).len();
        assert!(length <= full.size(), "{length} bytes, size {}", full.size());
    }
}

#[test]
fn an_unknown_version_is_refused() {
    // Field 1, the version, is 2.
    let newer = Bytes::from_static(&[8, 2]);
    assert_eq!(decode_entry(newer.clone()), Err(DecodeError::Version(2)));
    assert_eq!(Snapshot::decode(newer.clone()), Err(DecodeError::Version(2)));
    assert_eq!(Meta::decode(newer), Err(DecodeError::Version(2)));
}

#[test]
fn strings_that_follow_one_another_become_one_record() {
    let received =
        |first, string: &'static str| Record::Received { first, strings: vec![string.into()] };
    let mut record = received(3, "a");
    assert!(record.extend(&received(4, "b")));
    assert!(!record.extend(&received(6, "d")), "not over a gap");
    assert!(!record.extend(&Record::Assigned { instance: "i".into() }));
    assert_eq!(record, Record::Received { first: 3, strings: vec!["a".into(), "b".into()] });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_bytes_are_errors(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for blob in [encode_entry(&every_record()), snapshot().encode(1)] {
            let mut spoilt = blob.to_vec();
            let index = at.index(spoilt.len());
            spoilt[index] = byte;
            for record in decode_entry(spoilt.clone().into()).unwrap_or_default() {
                let mut state = crate::stream::StreamState::new(origin().into(), 1);
                let _ = state.apply(&record.1);
            }
            if let Ok((snapshot, _)) = Snapshot::decode(spoilt.into()) {
                let _ = crate::stream::StreamState::restore(snapshot);
            }
        }
    }
}
