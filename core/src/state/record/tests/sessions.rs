//! Content of sessions: generations, Rejoined events and retained messages.

use minerva_proto::Rewind;

use super::kinds::{needed_version, snapshot_of_version_3};
use super::*;
use crate::state::Rejoin;

pub(super) fn retention() -> Retention {
    Retention { messages: 100, bytes: 1 << 20, age_ms: 3_600_000, hold: true }
}

fn rejoin(generation: u32, asked: Rewind) -> Arc<Rejoin> {
    let origin = origin();
    Rejoin {
        generation,
        asked,
        from: MessageNumber(2),
        complete: generation > 1,
        credentials: "other secret".to_owned(),
        headers: origin.headers,
        peer_address: origin.peer_address,
        kind: origin.kind,
    }
    .into()
}

fn adopted(generation: u32, own: u64, asked: Rewind) -> Record {
    let (key, own) = (KeyHash([generation as u8; 16]), MessageNumber(own));
    Record::Adopted { generation, key, own, rejoin: rejoin(generation, asked) }
}

pub(super) fn records_of_sessions() -> [Record; 5] {
    [
        Record::LimitsSet {
            max_idle_ms: 1,
            outbox: OutboxLimits::default(),
            retention: retention(),
        },
        adopted(1, 3, Rewind::All),
        adopted(2, 0, Rewind::New),
        adopted(9, 1 << 53, Rewind::From(MessageNumber(7))),
        Record::Trimmed { below: MessageNumber(1) },
    ]
}

/// A stream with retained messages, one SACK beyond a gap, skipped numbers behind a gap, and two Rejoined events.
pub(super) fn snapshot_of_session() -> Snapshot {
    let mut state = StreamState::restore(snapshot_of_version_3()).unwrap();
    let waiting = Record::Received { first: MessageNumber(12), messages: vec!["w".into()] };
    let [limits, ..] = records_of_sessions();
    let sacked = Record::Sacked(Sack::from_numbers(Some(1), []));
    // The numbers 10 and 11 are skipped; the client has stored the numbers 4 and 5.
    let first = adopted(1, 6, Rewind::All);
    let beyond = Record::Sacked(Sack::from_numbers(Some(2), [5]));
    let second = adopted(2, 6, Rewind::New);
    for record in [waiting, limits, sacked, first, second, beyond] {
        state.apply(&record, ClaimTag(2)).unwrap();
    }
    state.snapshot()
}

#[test]
fn the_content_of_a_session_needs_a_reader_of_stored_version_6() {
    for record in records_of_sessions() {
        let blob = encoded(6, &[(STREAM, record.clone())]);
        assert_eq!(needed_version(&blob), 6, "{record:?}");
        assert_eq!(decoded(blob).records, [(STREAM, record)]);
    }
    let written = snapshot_of_session();
    let session = written.session.clone().unwrap();
    assert_eq!((session.generation, session.rejoins, session.pending.len()), (2, 2, 1));
    assert_eq!((written.retained.len(), &*written.beyond), (3, &[MessageNumber(5)][..]));
    assert_eq!(written.rejoined.len(), 2);
    let blob = written.encode(&context(6), STREAM, LogIndex(9));
    assert_eq!(needed_version(&blob), 6);
    assert!(blob.len() <= written.size(), "{} bytes, size {}", blob.len(), written.size());
    let (read, _) = Snapshot::decode(PARTITION, STREAM, blob).unwrap();
    assert_eq!(read, written);
    assert_eq!(StreamState::restore(read).unwrap().snapshot(), written);
}

#[test]
fn content_without_a_session_needs_no_reader_of_version_6() {
    let blob = encoded(6, &every_record());
    assert!(needed_version(&blob) < 6);
    let blob = snapshot_of_version_3().encode(&context(6), STREAM, LogIndex(9));
    assert_eq!(needed_version(&blob), 5);
}

#[test]
fn an_inconsistent_session_is_rejected() {
    let valid = snapshot_of_session;
    let number = MessageNumber;
    let session = |change: fn(&mut crate::state::Session)| {
        let mut snapshot = valid();
        snapshot.session.iter_mut().for_each(change);
        snapshot
    };
    let damaged = [
        Snapshot { origin: origin().into(), ..valid() },
        Snapshot { beyond: vec![number(1)], ..valid() },
        Snapshot { beyond: vec![number(1 << 50)], ..valid() },
        Snapshot { retained: vec!["r".into(); 50], ..valid() },
        Snapshot { rejoined: valid().rejoined.into_iter().rev().collect(), ..valid() },
        Snapshot { session: None, ..valid() },
        session(|session| session.rejoins += 1),
        session(|session| session.skipped = u64::MAX),
        session(|session| session.pending = vec![(MessageNumber(11), MessageNumber(10))]),
        session(|session| session.pending = vec![(MessageNumber(0), MessageNumber(99))]),
    ];
    for snapshot in damaged {
        assert!(StreamState::restore(snapshot.clone()).is_err(), "{snapshot:?}");
    }
}
