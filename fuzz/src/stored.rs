//! Stored data of the core: log entries, snapshots and meta blobs. Accepted bytes survive a round trip.

use std::sync::Arc;

use bytes::Bytes;
use minerva_core::state::{
    Attributes, Ended, EndedBy, Meta, Origin, OutboxLimits, Push, Record, Snapshot, StoreRollback,
    StreamState, UnwrittenMessages, decode_entry, encode_entry,
};
use minerva_proto::{LogIndex, MessageNumber, Reset, Sack, StreamNumber, TransportKind};

pub mod log_entry {
    //! The records of one turn; applied to a stream they change the state or are refused.

    use super::*;

    pub fn run(input: &[u8]) {
        let Ok(records) = decode_entry(Bytes::copy_from_slice(input)) else { return };
        let mut state: Option<StreamState> = None;
        for (_, record) in &records {
            match (&mut state, record) {
                (None, Record::Opened { origin, max_idle_ms }) => {
                    state = Some(StreamState::new(Arc::clone(origin), *max_idle_ms));
                }
                (None, _) => {}
                (Some(state), record) => {
                    let _ = state.apply(record);
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
        assert!(
            decode_entry(encode_entry(&records)) == Ok(records),
            "a round trip changes the entry"
        );
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let records = records();
        let mut seeds: Vec<_> =
            records.iter().map(|record| entry(std::slice::from_ref(record))).collect();
        seeds.push(entry(&records));
        seeds
    }

    fn entry(records: &[(StreamNumber, Record)]) -> Vec<u8> {
        encode_entry(records).to_vec()
    }

    fn records() -> Vec<(StreamNumber, Record)> {
        let push =
            Arc::new(Push { messages: vec!["p".into(), "q".into()], keys: vec!["key".into()] });
        let outbox = OutboxLimits { bytes: Some(2), messages: Some(3) };
        let records = vec![
            Record::Opened { origin: origin(), max_idle_ms: 7 },
            Record::Assigned { instance: "i-1".into() },
            Record::Received { first: number(0), messages: vec!["a".into(), Bytes::new()] },
            Record::Sacked(Sack::from_numbers(None, [3, 9])),
            Record::Sent { messages: vec!["b".into()] },
            Record::Acknowledged { event: number(0) },
            Record::Ended(Ended { reset: Reset::new("over", true), by: EndedBy::Client }),
            Record::LimitsSet { max_idle_ms: 1, outbox },
            Record::Pushed(Arc::clone(&push)),
            Record::Labelled { label: Some("label".into()) },
            Record::JoinedGroup { group: "group".into() },
            Record::LeftGroup { group: "group".into() },
            Record::ServiceSelected { service: "chat".into() },
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
        let Ok((snapshot, as_of)) = Snapshot::decode(Bytes::copy_from_slice(input)) else { return };
        let bytes = snapshot.encode(as_of);
        assert!(bytes.len() <= snapshot.size(), "the size is not an upper bound");
        assert!(
            Snapshot::decode(bytes) == Ok((snapshot.clone(), as_of)),
            "a round trip changes the snapshot"
        );
        // A gap in the outbox costs memory per number, up to the limit of the state (2^24): slow, so left out.
        if snapshot.outbox_next.saturating_sub(snapshot.outbox_base) > 1 << 12 {
            return;
        }
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
            },
            ended: None,
        };
        let ended = Ended { reset: Reset::new("over", true), by: EndedBy::App };
        let last = Snapshot { ended: Some(ended), ..snapshot.clone() };
        [snapshot, last].map(|snapshot| snapshot.encode(LogIndex(9)).to_vec()).to_vec()
    }
}

pub mod meta {
    //! The meta blob of a partition.

    use super::*;

    pub fn run(input: &[u8]) {
        let Ok(meta) = Meta::decode(Bytes::copy_from_slice(input)) else { return };
        assert!(Meta::decode(meta.encode()) == Ok(meta), "a round trip changes the meta blob");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let from = vec![(StreamNumber(1), MessageNumber(7)), (StreamNumber(3), MessageNumber(0))];
        let unwritten = Some(UnwrittenMessages { epoch: 4, from });
        let tombstones = vec![("default".into(), crate::hello::id(), true)];
        let rollback = StoreRollback { streams_made: 2, remaining_ms: 1000, tombstones, unwritten };
        [None, Some(rollback)]
            .map(|rollback| Meta { streams_made: 3, rollback }.encode().to_vec())
            .to_vec()
    }
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
    })
}

fn number<T: From<u64>>(number: u64) -> T {
    number.into()
}
