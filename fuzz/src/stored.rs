//! Stored data of the core: log entries, snapshots and meta blobs. Accepted bytes survive a round trip.
//!
//! An input is decoded as it is, and as the message behind a seal that matches: random bytes never match a checksum.

use std::sync::Arc;

use bytes::Bytes;
use minerva_core::state::{
    Attributes, BlobContext, CreatedTags, Ended, EndedBy, Meta, Origin, OutboxLimits, Push, Record,
    Retention, STORED_VERSION, Snapshot, StoreRollback, StoredTombstone, StreamProtocol,
    StreamState, TagHistory, UnwrittenMessages, decode_entry, encode_entry, fuzzing,
};
use minerva_proto::{
    ClaimTag, KeyHash, LogIndex, MessageNumber, Reset, Sack, StreamNumber, TransportKind,
};

/// The position of all inputs.
const PARTITION: u32 = 7;
const INDEX: LogIndex = LogIndex(9);
const STREAM: StreamNumber = StreamNumber::new(PARTITION as u16, 1);

/// The context of a writer with content of `version`.
fn context(version: u32) -> BlobContext {
    BlobContext::new(PARTITION, 4, "core", version)
}

pub mod log_entry {
    //! The records of one turn; applied to a stream they change the state or are refused.

    use super::*;

    pub fn run(input: &[u8]) {
        let blob = Bytes::copy_from_slice(input);
        if let Some(sealed) = fuzzing::seal_entry(&context(STORED_VERSION), INDEX, &blob) {
            check(sealed);
        }
        check(blob);
    }

    fn check(blob: Bytes) {
        let Ok(entry) = decode_entry(PARTITION, INDEX, blob) else { return };
        let (records, tag) = (entry.records, entry.tag);
        let mut state: Option<StreamState> = None;
        for (_, record) in &records {
            match (&mut state, record) {
                (None, Record::Opened { origin, max_idle_ms }) => {
                    state = Some(StreamState::new(Arc::clone(origin), *max_idle_ms, tag));
                }
                (None, _) => {}
                (Some(state), record) => {
                    let _ = state.apply(record, tag);
                }
            }
        }
        if let Some(state) = state {
            let again = StreamState::restore(state.snapshot());
            assert!(
                again.is_ok_and(|again| again.snapshot() == state.snapshot()),
                "a state is lost"
            );
        }
        let again = encode_entry(&BlobContext { tag, ..context(STORED_VERSION) }, INDEX, &records);
        let again = decode_entry(PARTITION, INDEX, again);
        assert!(
            again.is_ok_and(|again| (again.tag, again.records) == (tag, records)),
            "a round trip changes the entry"
        );
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let records = records();
        let mut seeds: Vec<_> =
            records.iter().map(|record| entry(1, std::slice::from_ref(record))).collect();
        seeds.extend([1, STORED_VERSION].map(|version| entry(version, &records)));
        let messages: Vec<_> = seeds.iter().map(|blob| message(blob)).collect();
        seeds.extend(messages);
        seeds
    }

    fn entry(version: u32, records: &[(StreamNumber, Record)]) -> Vec<u8> {
        encode_entry(&context(version), INDEX, records).to_vec()
    }

    fn records() -> Vec<(StreamNumber, Record)> {
        let push =
            Arc::new(Push { messages: vec!["p".into(), "q".into()], keys: vec!["key".into()] });
        let outbox = OutboxLimits { bytes: Some(2), messages: Some(3) };
        let records = vec![
            Record::Opened { origin: origin(), max_idle_ms: 7 },
            Record::Assigned { instance: "i-1".into(), redeliveries: 0 },
            Record::Received {
                first: number(0),
                messages: vec!["a".into(), minerva_proto::Payload::binary("")],
            },
            Record::Sacked(Sack::from_numbers(None, [3, 9])),
            Record::Sent { messages: vec!["b".into()] },
            Record::Acknowledged { event: number(0) },
            Record::Ended(Ended { reset: Reset::new("over", true), by: EndedBy::Client }),
            Record::LimitsSet { max_idle_ms: 1, outbox, retention: Retention::default() },
            Record::Pushed(Arc::clone(&push)),
            Record::Labelled { label: Some("label".into()) },
            Record::JoinedGroup { group: "group".into() },
            Record::LeftGroup { group: "group".into() },
            Record::ServiceSelected { service: "chat".into() },
            Record::Finishing { reason: "finished".into() },
        ];
        let first = (7 << 48) + 1;
        let mut records: Vec<_> = (first..).map(StreamNumber).zip(records).collect();
        // A push to several streams is stored once.
        records.extend(
            (100..104).map(|stream| (StreamNumber(stream), Record::Pushed(Arc::clone(&push)))),
        );
        records
    }
}

pub mod snapshot {
    //! A stream in a checkpoint; restored, the state is consistent.

    use super::*;

    pub fn run(input: &[u8]) {
        check(fuzzing::seal_snapshot(&context(STORED_VERSION), STREAM, input));
        check(Bytes::copy_from_slice(input));
    }

    fn check(blob: Bytes) {
        let Ok((snapshot, as_of)) = Snapshot::decode(PARTITION, STREAM, blob) else { return };
        let bytes = snapshot.encode(&context(STORED_VERSION), STREAM, as_of);
        assert!(bytes.len() <= snapshot.size(), "the size is not an upper bound");
        assert!(
            Snapshot::decode(PARTITION, STREAM, bytes) == Ok((snapshot.clone(), as_of)),
            "a round trip changes the snapshot"
        );
        let Ok(state) = StreamState::restore(snapshot) else { return };
        let again = StreamState::restore(state.snapshot());
        assert!(again.is_ok_and(|again| again.snapshot() == state.snapshot()), "a state is lost");
        let _ = (state.sack(), state.outbox().sack(), state.inbox().next(), state.outbox().next());
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let snapshot = Snapshot {
            origin: origin(),
            selected_service: Some("chat".into()),
            max_idle_ms: 7,
            instance: Some("i-1".into()),
            assignments: 0,
            redeliveries: 0,
            inbox_base: number(2),
            inbox: vec!["c".into()],
            received_next: number(3),
            waiting: vec![(number(4), "e".into())],
            outbox_base: number(1),
            outbox_next: number(4),
            outbox: vec![(number(2), "s".into())],
            attributes: Attributes {
                label: Some("label".into()),
                groups: ["a".into(), "b".into()].into(),
                pushed: 2,
                keys: [Bytes::from("key")].into(),
                outbox: OutboxLimits { bytes: Some(2), messages: Some(3) },
                retention: Retention { messages: 5, bytes: 100, age_ms: 1000, hold: true },
                finish: Some("finished".into()),
            },
            retained: vec!["r".into()],
            beyond: vec![number(2)],
            ended: None,
            session: None,
            rejoined: Vec::new(),
            identity: None,
            tags: TagHistory::default(),
        };
        let ended = Ended { reset: Reset::new("over", true), by: EndedBy::App };
        let last = Snapshot { ended: Some(ended), ..snapshot.clone() };
        let state = StreamState::new(origin(), 7, ClaimTag(1));
        let encode =
            |snapshot: Snapshot| snapshot.encode(&context(STORED_VERSION), STREAM, INDEX).to_vec();
        let blobs = [snapshot, last, state.snapshot()].map(encode);
        blobs.iter().map(|blob| message(blob)).chain(blobs.clone()).collect()
    }
}

pub mod meta {
    //! The meta blob of a partition.

    use super::*;

    pub fn run(input: &[u8]) {
        check(fuzzing::seal_meta(&context(STORED_VERSION), input));
        check(Bytes::copy_from_slice(input));
    }

    fn check(blob: Bytes) {
        let Ok(meta) = Meta::decode(PARTITION, blob) else { return };
        let again = meta.encode(&context(STORED_VERSION));
        assert!(Meta::decode(PARTITION, again) == Ok(meta), "a round trip changes the meta blob");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let from = vec![(StreamNumber(1), MessageNumber(7)), (StreamNumber(3), MessageNumber(0))];
        let unwritten = Some(UnwrittenMessages { epoch: 4, from });
        let tombstone = |key| StoredTombstone {
            service: "default".into(),
            id: crate::hello::id(),
            is_lost: true,
            key,
        };
        let tombstones = vec![tombstone(None), tombstone(Some(KeyHash([7; 16])))];
        let rollback = StoreRollback { streams_made: 2, remaining_ms: 1000, tombstones, unwritten };
        let mut created_tags = CreatedTags::default();
        created_tags.note(2, ClaimTag(1));
        let last =
            Meta { streams_made: 3, rollback: Some(rollback), created_tags, ..Meta::default() };
        let blobs =
            [Meta::default(), last].map(|meta| meta.encode(&context(STORED_VERSION)).to_vec());
        blobs.iter().map(|blob| message(blob)).chain(blobs.clone()).collect()
    }
}

/// The message behind a seal. The target puts another seal in front of it.
fn message(blob: &[u8]) -> Vec<u8> {
    let length = blob[2..].iter().take_while(|byte| **byte >= 0x80).count();
    let digits = blob[2..=2 + length].iter().enumerate();
    let content: usize = digits.map(|(at, byte)| usize::from(byte & 0x7f) << (7 * at)).sum();
    blob[3 + length + content..].to_vec()
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin {
        id: crate::hello::id(),
        service: "default".into(),
        credentials: "secret".to_owned(),
        headers: vec![("user-agent".to_owned(), "x".to_owned())],
        peer_address: "192.0.2.1".to_owned(),
        kind: Some(TransportKind::HttpStream),
        started_at_ms: 5,
        protocol: StreamProtocol::V3 { key: KeyHash([7; 16]) },
    })
}

fn number<T: From<u64>>(number: u64) -> T {
    number.into()
}
