//! Records and snapshots survive the way through the store; anything else is an error, never a panic.

use proptest::prelude::*;

use super::*;
use crate::state::{Ended, EndedBy, Marks, Origin, OutboxLimits, StreamState, TransportKind};
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
        Record::Received { first: 0, messages: vec!["a".into(), Bytes::new()] },
        Record::Sacked(Sack { acked: None, beyond: vec![3, 9] }),
        Record::Sacked(Sack { acked: Some(0), beyond: vec![] }),
        Record::Sent { messages: vec!["b".into()] },
        Record::Acknowledged { event: 0 },
        ended(EndedBy::Client),
        ended(EndedBy::App),
        ended(EndedBy::Core),
        Record::LimitsSet { max_idle_ms: 1, outbox: OutboxLimits::default() },
        Record::LimitsSet {
            max_idle_ms: 1,
            outbox: OutboxLimits { bytes: Some(2), messages: Some(3) },
        },
        pushed(&["p"], &[]),
        pushed(&["p", "q"], &["key"]),
        pushed(&["p", "q", "r"], &["key", "other"]),
        Record::Labelled { label: None },
        Record::Labelled { label: Some("label".into()) },
        Record::Joined { group: "group".into() },
        Record::Left { group: "group".into() },
        Record::Chosen { service: "chat".into() },
    ];
    (1..).zip(records).collect()
}

fn snapshot() -> Snapshot {
    Snapshot {
        origin: origin().into(),
        chosen: Some("chat".into()),
        max_idle_ms: 7,
        instance: Some("i-1".into()),
        inbox_base: 2,
        inbox: vec!["c".into()],
        received_next: 3,
        waiting: vec![(4, "e".into())],
        outbox_base: 1,
        outbox_next: 4,
        outbox: vec![(2, "s".into())],
        marks: Marks {
            label: Some("label".into()),
            groups: ["a".into(), "b".into()].into(),
            pushed: 2,
            keys: [Bytes::from("key")].into(),
            outbox: OutboxLimits { bytes: Some(2), messages: Some(3) },
        },
        ended: None,
    }
}

fn pushed(messages: &[&'static str], keys: &[&'static str]) -> Record {
    let all = |texts: &[&'static str]| texts.iter().map(|text| Bytes::from(*text)).collect();
    Record::Pushed(Push { messages: all(messages), keys: all(keys) }.into())
}

/// Streams that have the same strings in common.
fn pushes(streams: std::ops::Range<u64>, string: &Bytes) -> Vec<(u64, Record)> {
    let push = Arc::new(Push { messages: vec![string.clone()], keys: vec!["key".into()] });
    streams.map(|stream| (stream, Record::Pushed(Arc::clone(&push)))).collect()
}

#[test]
fn what_many_streams_get_is_written_once() {
    let string = Bytes::from(vec![b'x'; 10_000]);
    let entry = pushes((7 << 48) + 1..(7 << 48) + 1001, &string);
    let one = encode_entry(&entry[..1]).len();
    let blob = encode_entry(&entry);
    assert!(blob.len() < one + 1000 + 10, "{} bytes, {one} for one stream", blob.len());
    assert_eq!(decode_entry(blob), Ok(entry));
    // Strings that are alike by chance, and other keys, stay apart.
    let mut mixed = pushes(1..3, &string);
    mixed.extend(pushes(3..4, &Bytes::from(vec![b'x'; 10_000])));
    mixed.push((4, Record::Pushed(Push { messages: vec![string], keys: Vec::new() }.into())));
    assert!(encode_entry(&mixed).len() > 3 * 10_000);
    assert_eq!(decode_entry(encode_entry(&mixed)), Ok(mixed));
}

#[test]
fn entries_round_trip() {
    assert_eq!(decode_entry(encode_entry(&every_record())), Ok(every_record()));
}

#[test]
fn snapshots_and_meta_round_trip() {
    assert_eq!(Snapshot::decode(snapshot().encode(9)), Ok((snapshot(), 9)));
    let ends = vec![("default".into(), origin().id, true)];
    let left = Some(Left { epoch: 4, unwritten: vec![(1, 7), (3, 0)] });
    let went_back = WentBack { streams_made: 2, left_ms: 1000, ends, left: None };
    let at_last = WentBack { left, ..went_back.clone() };
    for went_back in [None, Some(went_back), Some(at_last)] {
        let meta = Meta { streams_made: 3, went_back };
        assert_eq!(Meta::decode(meta.encode()), Ok(meta));
    }
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
        let texts = (0..count.min(64)).map(|n| format!("{n:0>128}").into()).collect();
        let marks = Marks {
            label: Some("l".repeat(256).into()),
            groups: texts,
            pushed: 1 << 53,
            keys: (0..count.min(32)).map(|_| Bytes::from(vec![b'k'; 64])).collect(),
            outbox: OutboxLimits { bytes: Some(u32::MAX), messages: Some(u32::MAX) },
        };
        let base = Snapshot { marks, chosen: Some("s".repeat(64).into()), ..base };
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
        |first, string: &'static str| Record::Received { first, messages: vec![string.into()] };
    let mut record = received(3, "a");
    assert!(record.extend(&received(4, "b")));
    assert!(!record.extend(&received(6, "d")), "not over a gap");
    assert!(!record.extend(&Record::Assigned { instance: "i".into() }));
    assert_eq!(record, Record::Received { first: 3, messages: vec!["a".into(), "b".into()] });
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
                let mut state = StreamState::new(origin().into(), 1);
                let _ = state.apply(&record.1);
            }
            if let Ok((snapshot, _)) = Snapshot::decode(spoilt.into()) {
                let _ = StreamState::restore(snapshot);
            }
        }
    }
}

/// What a program wrote that knew no choice of a service.
#[test]
fn what_was_written_before_services_could_be_picked_is_read() {
    const ORIGIN: &str = "0a1a6162636465666768696a6b6c6d6e6f707172737475767778797a120764656661756c741a\
        06736563726574220f0a0a757365722d6167656e741201782a093139322e302e322e3130033805";
    let bytes = |hex: String| -> Bytes {
        let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
        digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
    };
    let entry = bytes(format!("08011255080712510a4d{ORIGIN}1007120708072203120161"));
    let opened = Record::Opened { origin: origin().into(), max_idle_ms: 7 };
    let received = Record::Received { first: 0, messages: vec!["a".into()] };
    assert_eq!(decode_entry(entry), Ok(vec![(7, opened), (7, received.clone())]));
    let stored = bytes(format!("0801124d{ORIGIN}1807280132016138016809"));
    let (snapshot, as_of) = Snapshot::decode(stored).unwrap();
    let mut state = StreamState::new(origin().into(), 7);
    state.apply(&received).unwrap();
    state.apply(&Record::Acknowledged { event: 0 }).unwrap();
    assert_eq!((&snapshot, as_of), (&state.snapshot(), 9));
    let restored = StreamState::restore(snapshot).unwrap();
    assert_eq!(&**restored.service(), "default");
}
