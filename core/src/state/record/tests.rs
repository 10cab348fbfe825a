//! Encoding and decoding of records, snapshots and meta blobs.

mod damage;
mod golden;
mod identities;
mod kinds;
mod sessions;

use minerva_proto::{
    ClaimTag, EventNumber, KeyHash, LogIndex, MessageNumber, Reset, StreamId, StreamNumber,
    TransportKind,
};

use super::super::checkpoint_summary::CheckpointSummary;
use super::*;
use crate::state::{
    Attributes, CreatedTags, Ended, EndedBy, NextNumbers, Origin, OutboxLimits, Retention,
    StreamProtocol, StreamState, TagHistory,
};

fn origin() -> Origin {
    Origin {
        id: StreamId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        service: "default".into(),
        credentials: "secret".to_owned(),
        headers: vec![("user-agent".to_owned(), "x".to_owned())],
        peer_address: "192.0.2.1".to_owned(),
        kind: Some(TransportKind::HttpStream),
        started_at_ms: 5,
        protocol: StreamProtocol::V2,
    }
}

fn tombstone(key: Option<KeyHash>) -> StoredTombstone {
    StoredTombstone { service: "default".into(), id: origin().id, is_lost: true, key }
}

const KEY: KeyHash = KeyHash([0xa5; 16]);

fn every_record() -> Vec<(StreamNumber, Record)> {
    let ended = |by| Record::Ended(Ended { reset: Reset::new("over", true), by });
    let records = vec![
        Record::Opened { origin: origin().into(), max_idle_ms: 7 },
        Record::Assigned { instance: "i-1".into(), redeliveries: 0 },
        Record::Received {
            first: MessageNumber(0),
            messages: vec!["a".into(), Payload::default()],
        },
        Record::Sacked(Sack::from_numbers(None, [3, 9])),
        Record::Sacked(Sack::from_numbers(Some(0), [])),
        Record::Sent { messages: vec!["b".into()] },
        Record::Acknowledged { event: EventNumber(0) },
        ended(EndedBy::Client),
        ended(EndedBy::App),
        ended(EndedBy::Core),
        Record::LimitsSet {
            max_idle_ms: 1,
            outbox: OutboxLimits::default(),
            retention: Retention::default(),
        },
        Record::LimitsSet {
            max_idle_ms: 1,
            outbox: OutboxLimits { bytes: Some(2), messages: Some(3) },
            retention: Retention::default(),
        },
        pushed(&["p"], &[]),
        pushed(&["p", "q"], &["key"]),
        pushed(&["p", "q", "r"], &["key", "other"]),
        Record::Labelled { label: None },
        Record::Labelled { label: Some("label".into()) },
        Record::JoinedGroup { group: "group".into() },
        Record::LeftGroup { group: "group".into() },
        Record::ServiceSelected { service: "chat".into() },
    ];
    (1..).map(|count| StreamNumber::new(PARTITION as u16, count)).zip(records).collect()
}

const PARTITION: u32 = 7;
const INDEX: LogIndex = LogIndex(300);
const STREAM: StreamNumber = StreamNumber::new(PARTITION as u16, 3);

/// The context of a writer with content of `version`.
fn context(version: u32) -> BlobContext {
    BlobContext::new(PARTITION, 200, "core-1", version)
}

fn encoded(version: u32, records: &[(StreamNumber, Record)]) -> Bytes {
    encode_entry(&context(version), INDEX, records)
}

fn decoded(blob: Bytes) -> DecodedEntry {
    decode_entry(PARTITION, INDEX, blob).unwrap()
}

fn tags() -> TagHistory {
    let mut tags = TagHistory::new(ClaimTag(1));
    let (c2s, event, s2c) = (MessageNumber(1), EventNumber(2), MessageNumber(3));
    tags.note(ClaimTag(2), NextNumbers { c2s, event, s2c });
    tags
}

fn snapshot() -> Snapshot {
    Snapshot {
        origin: origin().into(),
        selected_service: Some("chat".into()),
        max_idle_ms: 7,
        instance: Some("i-1".into()),
        assignments: 0,
        redeliveries: 0,
        inbox_base: EventNumber(2),
        inbox: vec!["c".into()],
        received_next: MessageNumber(3),
        waiting: vec![(MessageNumber(4), "e".into())],
        outbox_base: MessageNumber(1),
        outbox_next: MessageNumber(4),
        outbox: vec![(MessageNumber(2), "s".into())],
        attributes: Attributes {
            label: Some("label".into()),
            groups: ["a".into(), "b".into()].into(),
            pushed: 2,
            keys: [Bytes::from("key")].into(),
            finish: None,
            retention: Retention::default(),
            outbox: OutboxLimits { bytes: Some(2), messages: Some(3) },
        },
        retained: Vec::new(),
        beyond: Vec::new(),
        ended: None,
        session: None,
        rejoined: Vec::new(),
        tags: tags(),
        identity: None,
    }
}

fn pushed(messages: &[&'static str], keys: &[&'static str]) -> Record {
    let messages = messages.iter().map(|text| Payload::from(*text)).collect();
    let keys = keys.iter().map(|text| Bytes::from(*text)).collect();
    Record::Pushed(Push { messages, keys }.into())
}

/// Records of streams that share one push.
fn pushes(streams: std::ops::Range<u64>, message: &Payload) -> Vec<(StreamNumber, Record)> {
    let push = Arc::new(Push { messages: vec![message.clone()], keys: vec!["key".into()] });
    streams.map(|stream| (StreamNumber(stream), Record::Pushed(Arc::clone(&push)))).collect()
}

#[test]
fn a_push_to_many_streams_is_stored_once() {
    let message = Payload::ascii_text(vec![b'x'; 10_000]);
    let entry = pushes((7 << 48) + 1..(7 << 48) + 1001, &message);
    let one = encoded(1, &entry[..1]).len();
    let blob = encoded(1, &entry);
    // One byte per stream in the record and in the index.
    assert!(blob.len() < one + 2 * 1000 + 10, "{} bytes, {one} for one stream", blob.len());
    assert_eq!(decoded(blob).records, entry);
    // Equal messages of different pushes, and different keys, are stored separately.
    let mut mixed = pushes(1..3, &message);
    mixed.extend(pushes(3..4, &Payload::ascii_text(vec![b'x'; 10_000])));
    mixed.push((
        StreamNumber(4),
        Record::Pushed(Push { messages: vec![message], keys: Vec::new() }.into()),
    ));
    assert!(encoded(1, &mixed).len() > 3 * 10_000);
    assert_eq!(decoded(encoded(1, &mixed)).records, mixed);
}

#[test]
fn entries_round_trip() {
    for version in [1, 2] {
        let decoded = decoded(encoded(version, &every_record()));
        let expected = DecodedEntry {
            tag: context(version).tag,
            epoch: Some(200),
            records: every_record(),
            damaged: DamagedStreams::None,
            is_header_damaged: false,
        };
        assert_eq!(decoded, expected);
        assert_eq!(decoded.tag.is_known(), version == 2);
    }
}

#[test]
fn an_unknown_count_of_assignments_stays_unknown() {
    for (assignments, expected) in [(0, 0), (5, 6)] {
        let restored = Snapshot { assignments, ..snapshot() };
        let mut state = StreamState::restore(restored).unwrap();
        state
            .apply(&Record::Assigned { instance: "i-2".into(), redeliveries: 0 }, ClaimTag(2))
            .unwrap();
        assert_eq!(state.assignments, expected);
    }
}

#[test]
fn snapshots_and_meta_round_trip() {
    for (version, tags, assignments) in [(1, TagHistory::default(), 0), (2, tags(), 5)] {
        let written = Snapshot { assignments: 5, ..snapshot() };
        let stored = written.encode(&context(version), STREAM, LogIndex(9));
        let expected = Snapshot { tags, assignments, ..snapshot() };
        assert_eq!(Snapshot::decode(PARTITION, STREAM, stored), Ok((expected, LogIndex(9))));
    }
    let tombstones = vec![tombstone(None)];
    let unwritten = Some(UnwrittenMessages {
        epoch: 4,
        from: vec![(StreamNumber(1), MessageNumber(7)), (StreamNumber(3), MessageNumber(0))],
    });
    let rollback =
        StoreRollback { streams_made: 2, remaining_ms: 1000, tombstones, unwritten: None };
    let last = StoreRollback { unwritten, ..rollback.clone() };
    let stored = [(STREAM, LogIndex(9))].into();
    let checkpoint = Some(CheckpointSummary::new(LogIndex(9), &stored));
    for rollback in [None, Some(rollback), Some(last)] {
        for version in [1, 2] {
            let mut created_tags = CreatedTags::default();
            created_tags.note(2, context(version).tag);
            let meta = Meta {
                streams_made: 3,
                rollback: rollback.clone(),
                created_tags,
                checkpoint: checkpoint.clone().filter(|_| version >= 2),
            };
            assert_eq!(Meta::decode(PARTITION, meta.encode(&context(version))), Ok(meta));
        }
    }
}

#[test]
fn size_bounds_the_encoded_length_of_a_snapshot() {
    let many = |count: u64| {
        (1..=count).map(|number| (MessageNumber(number << 43), Payload::binary("x"))).collect()
    };
    for count in [0, 1, 1000] {
        let outbox: Vec<(MessageNumber, Payload)> = many(count);
        let inbox = outbox.iter().map(|(_, message)| message.clone()).collect();
        let ended = Ended { reset: Reset::new(&"r".repeat(255), true), by: EndedBy::App };
        let base = Snapshot { waiting: many(count), ended: Some(ended), ..snapshot() };
        let texts = (0..count.min(64)).map(|n| format!("{n:0>128}").into()).collect();
        let attributes = Attributes {
            label: Some("l".repeat(256).into()),
            groups: texts,
            pushed: 1 << 53,
            keys: (0..count.min(32)).map(|_| Bytes::from(vec![b'k'; 64])).collect(),
            outbox: OutboxLimits { bytes: Some(u32::MAX), messages: Some(u32::MAX) },
            finish: (count > 0).then(|| "f".repeat(255).into()),
            retention: sessions::retention(),
        };
        let base = Snapshot { attributes, selected_service: Some("s".repeat(64).into()), ..base };
        let full = Snapshot {
            inbox,
            outbox,
            outbox_next: MessageNumber(1 << 53),
            max_idle_ms: u64::MAX,
            ..base
        };
        let length = full.encode(&context(STORED_VERSION), STREAM, LogIndex(u64::MAX)).len();
        assert!(length <= full.size(), "{length} bytes, size {}", full.size());
    }
}

#[test]
fn a_finish_is_stored_from_version_4_on() {
    let finishing = || Record::Finishing { reason: "bye".into() };
    let entry = encoded(4, &[(STREAM, finishing())]);
    assert_eq!(decoded(entry.clone()).records, [(STREAM, finishing())]);
    assert!(entry.windows(3).any(|bytes| bytes == [0x08, 4, 0x19]), "version 4 in the header");
    let mut finished = snapshot();
    finished.attributes.finish = Some("bye".into());
    for (version, finish) in [(2, None), (3, None), (4, Some("bye".into()))] {
        let blob = finished.encode(&context(version), STREAM, LogIndex(1));
        let (again, _) = Snapshot::decode(PARTITION, STREAM, blob).unwrap();
        assert_eq!(again.attributes.finish, finish, "version {version}");
    }
}

#[test]
fn consecutive_received_messages_become_one_record() {
    let received =
        |first, message: &'static str| Record::Received { first, messages: vec![message.into()] };
    let mut record = received(MessageNumber(3), "a");
    assert!(record.extend(&received(MessageNumber(4), "b")));
    assert!(!record.extend(&received(MessageNumber(6), "d")), "a gap separates records");
    assert!(!record.extend(&Record::Assigned { instance: "i".into(), redeliveries: 0 }));
    assert_eq!(
        record,
        Record::Received { first: MessageNumber(3), messages: vec!["a".into(), "b".into()] }
    );
}

/// Bytes of a program without service selection.
#[test]
fn records_without_service_selection_are_decoded() {
    const ORIGIN: &str = "0a1a6162636465666768696a6b6c6d6e6f707172737475767778797a120764656661756c741a\
        06736563726574220f0a0a757365722d6167656e741201782a093139322e302e322e3130033805";
    let bytes = |hex: String| -> Bytes {
        let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
        digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
    };
    let entry = bytes(format!("08011255080712510a4d{ORIGIN}1007120708072203120161"));
    let opened = Record::Opened { origin: origin().into(), max_idle_ms: 7 };
    let received = Record::Received { first: MessageNumber(0), messages: vec!["a".into()] };
    let records = vec![(StreamNumber(7), opened), (StreamNumber(7), received.clone())];
    assert_eq!(decoded(entry).records, records);
    let stored = bytes(format!("0801124d{ORIGIN}1807280132016138016809"));
    let (snapshot, as_of) = Snapshot::decode(PARTITION, STREAM, stored).unwrap();
    let mut state = StreamState::new(origin().into(), 7, ClaimTag::UNKNOWN);
    state.apply(&received, ClaimTag::UNKNOWN).unwrap();
    state.apply(&Record::Acknowledged { event: EventNumber(0) }, ClaimTag::UNKNOWN).unwrap();
    assert_eq!((&snapshot, as_of), (&state.snapshot(), LogIndex(9)));
    let restored = StreamState::restore(snapshot).unwrap();
    assert_eq!(&**restored.service(), "default");
}
