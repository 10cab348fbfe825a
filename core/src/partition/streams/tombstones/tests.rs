//! Classification of unknown streams, and the part of it that later owners get.

use minerva_proto::link::Resume;

use minerva_proto::{ClaimTag, StreamNumber};

use super::*;
use crate::partition::tests::hello;

const V2: StreamProtocol = StreamProtocol::V2;
const GRACE: u64 = 2_000;
const IDLE: u64 = 120_000;
const CLAIMED: u64 = 1_000_000;

fn tombstones() -> Tombstones {
    Tombstones::new(&meta(None), Millis(CLAIMED), GRACE, IDLE)
}

fn meta(rollback: Option<StoreRollback>) -> Meta {
    Meta { streams_made: 5, rollback, ..Meta::default() }
}

fn key(number: usize) -> StreamKey {
    ("default".into(), hello(1, &format!("stream{number}")).stream_id)
}

fn ended(reason: &str) -> Ended {
    Ended { reset: Reset::new(reason, true), by: EndedBy::App }
}

fn without_history() -> Attach {
    Attach { create: false, ..hello(1, "stream0") }
}

fn resumed(stream: StreamNumber) -> Attach {
    let resume = Some(Resume { stream, next_s2c: None, tag: ClaimTag::UNKNOWN });
    Attach { resume, ..without_history() }
}

#[test]
fn the_oldest_tombstone_is_dropped_beyond_the_limit() {
    for (count, is_first_kept) in
        [(MAX_TOMBSTONES - 1, true), (MAX_TOMBSTONES, true), (MAX_TOMBSTONES + 1, false)]
    {
        let mut tombstones = tombstones();
        (0..count)
            .for_each(|number| tombstones.add(key(number), &ended(STATE_LOST), V2, Millis(0)));
        let first = tombstones.classify(&key(0), &without_history(), false, Millis(CLAIMED));
        assert_eq!(first == UnknownStream::lost(), is_first_kept, "{count}");
        let last = tombstones.classify(&key(count - 1), &without_history(), false, Millis(CLAIMED));
        assert_eq!(last, UnknownStream::lost());
        assert_eq!((tombstones.ends.len(), tombstones.order.len()), {
            let kept = count.min(MAX_TOMBSTONES);
            (kept, kept)
        });
    }
}

#[test]
fn an_unknown_stream_is_lost_only_after_a_proven_rollback() {
    let seen = Attach { seen_ack: Sack::up_to(3), ..without_history() };
    let has = Attach { sack: Some(Sack::up_to(0)), ..without_history() };
    let (undecided, not_found, lost) =
        (&UnknownStream::Undecided, &UnknownStream::NotFound, &UnknownStream::lost());
    // During the grace time, until the idle limit, and after the idle limit.
    let cases = [
        (without_history(), false, [not_found, not_found, not_found]),
        (without_history(), true, [lost, lost, not_found]),
        (seen.clone(), false, [undecided, not_found, not_found]),
        (seen, true, [lost, lost, not_found]),
        (has.clone(), false, [undecided, not_found, not_found]),
        (has, true, [lost, lost, not_found]),
        (resumed(StreamNumber(6)), false, [undecided, not_found, not_found]),
        (resumed(StreamNumber(6)), true, [lost, lost, not_found]),
        (resumed(StreamNumber(5)), false, [not_found, not_found, not_found]),
        (resumed(StreamNumber(5)), true, [not_found, not_found, not_found]),
    ];
    for (attach, is_proven, expected) in cases {
        let mut tombstones = tombstones();
        tombstones.note_rollback(is_proven);
        tombstones.note_rollback(false);
        let limits = [(0, GRACE - 1), (GRACE, IDLE - 1), (IDLE, 10 * IDLE)];
        for ((first, last), expected) in limits.into_iter().zip(expected) {
            for after in [first, last] {
                let now = Millis(CLAIMED + after);
                let shown = format!("{is_proven} after {after}: {attach:?}");
                assert_eq!(tombstones.classify(&key(0), &attach, false, now), *expected, "{shown}");
            }
        }
    }
}

#[test]
fn a_reported_rollback_changes_no_answer_of_this_owner_and_the_next() {
    let mut tombstones = tombstones();
    tombstones.suspect_rollback();
    tombstones.add(key(0), &ended(STATE_LOST), V2, Millis(0));
    let stored = tombstones.rollback(Millis(CLAIMED)).unwrap();
    assert!(!stored.is_proven());
    let meta = Meta { streams_made: 9, ..meta(Some(stored)) };
    let mut next = Tombstones::new(&meta, Millis(CLAIMED), GRACE, IDLE);
    for tombstones in [&tombstones, &next] {
        let classify = |number, attach, reports_loss| {
            tombstones.classify(&key(number), &attach, reports_loss, Millis(CLAIMED))
        };
        assert_eq!(classify(0, without_history(), false), UnknownStream::lost());
        assert_eq!(classify(1, without_history(), false), UnknownStream::NotFound);
        assert_eq!(classify(1, without_history(), true), UnknownStream::lost());
    }
    assert!(next.rollback(Millis(CLAIMED)).is_some_and(|stored| !stored.is_proven()));
    assert_eq!(next.rollback(Millis(CLAIMED + IDLE)), None, "all clients have returned");
    next.note_rollback(true);
    let stored = next.rollback(Millis(CLAIMED)).unwrap();
    assert!(stored.is_proven() && stored.streams_made == 9);
}

#[test]
fn an_end_without_a_loss_is_not_reported_as_lost() {
    let mut tombstones = tombstones();
    tombstones.add(key(0), &ended("over"), V2, Millis(0));
    tombstones.note_rollback(true);
    let attach = without_history();
    assert_eq!(
        tombstones.classify(&key(0), &attach, false, Millis(CLAIMED)),
        UnknownStream::NotFound
    );
    tombstones.add(key(0), &ended(STATE_LOST), V2, Millis(0));
    assert_eq!(
        tombstones.classify(&key(0), &attach, false, Millis(CLAIMED + IDLE)),
        UnknownStream::lost()
    );
}

#[test]
fn a_tombstone_of_this_owner_has_the_reset() {
    let mut tombstones = tombstones();
    assert_eq!(tombstones.reset(&key(0)), None);
    tombstones.add(key(0), &ended("over"), V2, Millis(0));
    assert_eq!(tombstones.reset(&key(0)), Some(&Reset::new("over", true)));
    tombstones.note_rollback(true);
    let now = Millis(CLAIMED);
    let meta = meta(tombstones.rollback(now));
    assert_eq!(Tombstones::new(&meta, now, GRACE, IDLE).reset(&key(0)), None);
}

#[test]
fn the_next_owner_classifies_like_this_one() {
    let mut tombstones = tombstones();
    tombstones.add(key(0), &ended(STATE_LOST), V2, Millis(0));
    tombstones.add(key(1), &ended("over"), V2, Millis(0));
    assert_eq!(tombstones.rollback(Millis(CLAIMED)), None, "no rollback was proven");
    tombstones.note_rollback(true);
    let at = |left| Millis(CLAIMED + IDLE - left);
    for (left, is_kept) in [(IDLE, true), (1, true), (0, false)] {
        let rollback = tombstones.rollback(at(left));
        assert_eq!(rollback.is_some(), is_kept, "{left}");
        // One more stream was made since the rollback.
        let meta = Meta { streams_made: 6, ..meta(rollback) };
        let next = Tombstones::new(&meta, at(left), GRACE, IDLE);
        let classified = |after| {
            let of = |number, attach| next.classify(&key(number), &attach, false, after);
            [
                of(0, without_history()),
                of(1, without_history()),
                of(2, without_history()),
                of(3, resumed(StreamNumber(6))),
            ]
        };
        let (lost, not_found) = (UnknownStream::lost, || UnknownStream::NotFound);
        if is_kept {
            let (before, after) = (Millis(CLAIMED + IDLE - 1), Millis(CLAIMED + IDLE));
            assert_eq!(classified(before), [lost(), not_found(), lost(), lost()]);
            assert_eq!(classified(after), [lost(), not_found(), not_found(), not_found()]);
        } else {
            assert!(classified(at(left)).iter().all(|unknown| *unknown == not_found()));
        }
    }
}
