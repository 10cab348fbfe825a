//! Recovery of intact, unfinished and damaged state.

mod claims;
mod damage;
mod random_damage;
mod snapshots;

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{EventNumber, LogIndex, MessageNumber, Payload, StreamNumber};

use super::*;
use crate::partition::tests::hello_origin;
use crate::state::{
    BlobContext, CheckpointSummary, Ended, EndedBy, Record, STORED_VERSION, Snapshot, encode_entry,
};
use crate::store::{Claim, Epoch, RecordedSizes};

const STREAM: StreamNumber = StreamNumber(7);
const OTHER: StreamNumber = StreamNumber(8);
const FIRST: LogIndex = LogIndex(10);

type Records = Vec<(StreamNumber, Record)>;

/// The context of an owner before the claim.
fn context(epoch: u64) -> BlobContext {
    BlobContext::new(0, epoch, "core", STORED_VERSION)
}

fn entry(index: LogIndex, records: &[(StreamNumber, Record)]) -> Bytes {
    encode_entry(&context(1), index, records)
}

fn snapshot(number: StreamNumber, snapshot: &Snapshot, as_of: LogIndex) -> Bytes {
    snapshot.encode(&context(1), number, as_of)
}

fn meta(streams_made: u64) -> Bytes {
    Meta { streams_made, ..Meta::default() }.encode(&context(1))
}

fn apply(state: &mut StreamState, record: &Record) {
    state.apply(record, context(1).tag).unwrap();
}

fn claimed(streams: Vec<(StreamNumber, Bytes)>, log: &[Records]) -> Claimed {
    let log = (FIRST.0..).map(LogIndex).zip(log).map(|(index, records)| entry(index, records));
    Claimed {
        epoch: Epoch(3),
        claims: Vec::new(),
        meta: Some(meta(0)),
        streams,
        unreadable: vec![],
        first_index: FIRST,
        log: log.collect(),
        recorded: None,
    }
}

/// The state at the next claim: the owner of `claimed` has replaced the damaged state and ended.
fn next_claim(claimed: &Claimed, recovered: &Recovered) -> Claimed {
    let (as_of, context) = (claimed.next_index(), context(claimed.epoch.0));
    let mut streams: BTreeMap<_, _> = claimed.streams.iter().cloned().collect();
    let mut stored = recovered.stored.clone();
    for number in &recovered.changed {
        streams.remove(number);
        stored.remove(number);
        if let Some(state) = recovered.streams.get(number) {
            streams.insert(*number, state.snapshot().encode(&context, *number, as_of));
            stored.insert(*number, as_of);
        }
    }
    let checkpoint = Some(CheckpointSummary::new(as_of, &stored));
    let meta = Meta { checkpoint, ..recovered.meta.clone() };
    Claimed {
        epoch: Epoch(claimed.epoch.0 + 1),
        claims: claimed.claims.clone(),
        meta: Some(meta.encode(&context)),
        streams: streams.into_iter().collect(),
        unreadable: Vec::new(),
        first_index: as_of,
        log: Vec::new(),
        recorded: None,
    }
}

/// Claims by epoch and next index.
pub(super) fn claims(claims: &[(u64, u64)]) -> Vec<Claim> {
    let claim = |&(epoch, next)| Claim {
        epoch: Epoch(epoch),
        next_index: LogIndex(next),
        owner: "core".to_owned(),
    };
    claims.iter().map(claim).collect()
}

fn recover(claimed: &Claimed) -> Recovered {
    Recovered::from_claimed(0, claimed).unwrap()
}

fn opened() -> Record {
    Record::Opened { origin: hello_origin(), max_idle_ms: 1000 }
}

fn sent(message: &'static str) -> Record {
    Record::Sent { messages: vec![message.into()] }
}

fn assigned(instance: &str) -> Record {
    Record::Assigned { instance: instance.into(), redeliveries: 0 }
}

/// The state of a stream after some records.
fn state(records: &[Record]) -> StreamState {
    let mut state = StreamState::new(hello_origin(), 1000, context(1).tag);
    records.iter().for_each(|record| apply(&mut state, record));
    state
}

fn outbox(state: &StreamState) -> Vec<Payload> {
    state.outbox().iter_from(MessageNumber(0)).map(|(_, message)| message.clone()).collect()
}

#[test]
fn a_stream_in_an_unfinished_checkpoint_skips_the_records_that_it_includes() {
    let saved = snapshot(STREAM, &state(&[sent("a")]).snapshot(), LogIndex(12));
    let log = [vec![(STREAM, opened())], vec![(STREAM, sent("a"))], vec![(STREAM, sent("b"))]];
    let recovered = recover(&claimed(vec![(STREAM, saved)], &log));
    assert_eq!(outbox(&recovered.streams[&STREAM]), ["a", "b"]);
    assert_eq!((recovered.meta.streams_made, recovered.next_index), (7, LogIndex(13)));
    assert!(recovered.damage().is_none());
}

#[test]
fn a_stream_with_an_acknowledged_end_is_removed() {
    let reset = minerva_proto::Reset::new("over", false);
    let ended = Ended { reset, by: EndedBy::Core };
    let log = [vec![
        (STREAM, opened()),
        (STREAM, Record::Ended(ended)),
        (STREAM, Record::Acknowledged { event: EventNumber(1) }),
    ]];
    let recovered = recover(&claimed(Vec::new(), &log));
    assert!(recovered.streams.is_empty());
    assert!(recovered.changed.contains(&STREAM), "the next checkpoint removes the stream");
    assert_eq!(recovered.meta.streams_made, 7);
}
