//! Streams that a partition no longer holds: how forgotten streams ended, and whether the store lost others.
//!
//! Classifies a hello for an unknown stream. After a proven rollback the tombstones are part of each checkpoint, so the
//! next owner classifies in the same way. Pure; used by the attach path of the partition.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use minerva_proto::link::Attach;
use minerva_proto::{Reset, Sack, StreamId};

use super::super::recovery::is_jump;
use crate::state::{
    Ended, EndedBy, Meta, STATE_LOST, StoreRollback, StoredTombstone, StreamProtocol,
};
use crate::stream::Millis;

/// Tombstones that are kept: the ends of a few seconds, so that a client that returns by then gets the reason.
pub(super) const MAX_TOMBSTONES: usize = 1000;

/// Service and stream id, as in the client's hello.
pub(super) type StreamKey = (Arc<str>, StreamId);

/// The classification of a stream that the partition does not hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnknownStream {
    /// The stream ended, and the client must get this reset.
    Ended(Reset),
    /// The client must get an attach failure: the stream never existed, or the reason of its end is unknown.
    NotFound,
    /// The store may have lost the stream; a peer may prove so during the grace time.
    Undecided,
}

impl UnknownStream {
    /// The store lost the stream in a rollback.
    pub(super) fn lost() -> Self {
        Self::Ended(Reset::new(STATE_LOST, false))
    }
}

/// Time after a reset by the client in which a hello with the same id is late, in milliseconds: longer than an edge holds a
/// transport. Afterwards the id may be used for another stream.
pub(super) const LATE_HELLO_MS: u64 = 60_000;

/// The end of a forgotten stream.
struct Tombstone {
    /// The store lost a part of the stream.
    is_lost: bool,
    /// The reset that ended the stream; `None` if an earlier owner has forgotten the stream.
    reset: Option<Reset>,
    /// The client has reset the stream: until this time a hello that would create the stream is late.
    late_until: Option<Millis>,
    protocol: StreamProtocol,
}

/// The tombstones of one partition.
pub(super) struct Tombstones {
    /// The ends of forgotten streams.
    ends: HashMap<StreamKey, Tombstone>,
    /// The keys of `ends`, the oldest first.
    order: VecDeque<StreamKey>,
    /// A peer has proven that the store rolled back before the claim of this owner.
    rollback_proven: bool,
    /// Streams that the store had recorded at the first claim after the rollback.
    streams_made: u64,
    /// Until this time an unknown stream is undecided: the peers that can prove a loss have returned by then.
    decided_from: Millis,
    /// From this time on every unknown stream has exceeded the idle limit.
    idle_from: Millis,
}

impl Tombstones {
    /// The tombstones of a new owner. Peers that can prove a loss return within `grace_ms`, clients within `idle_ms`.
    pub(super) fn new(meta: &Meta, now: Millis, grace_ms: u64, idle_ms: u64) -> Self {
        let after = |ms| now.after(ms);
        let mut tombstones = Self {
            ends: HashMap::new(),
            order: VecDeque::new(),
            rollback_proven: false,
            streams_made: meta.streams_made,
            decided_from: after(grace_ms),
            idle_from: after(idle_ms),
        };
        if let Some(StoreRollback { streams_made, remaining_ms, tombstones: ends, .. }) =
            &meta.rollback
        {
            tombstones.rollback_proven = true;
            tombstones.streams_made = *streams_made;
            tombstones.idle_from = after(idle_ms.min(*remaining_ms));
            for StoredTombstone { service, id, is_lost, key } in ends {
                let (reset, late_until) = (None, None);
                let protocol = key.map_or(StreamProtocol::V2, |key| StreamProtocol::V3 { key });
                let end = Tombstone { is_lost: *is_lost, reset, late_until, protocol };
                tombstones.insert((service.clone(), id.clone()), end);
            }
        }
        tombstones
    }

    /// The rollback to write into a checkpoint; `None` if none was proven, or the idle limit has passed since.
    pub(super) fn rollback(&self, now: Millis) -> Option<StoreRollback> {
        let remaining_ms = self.idle_from.0.saturating_sub(now.0);
        if !self.rollback_proven || remaining_ms == 0 {
            return None;
        }
        let end = |key: &StreamKey| {
            let Tombstone { is_lost, protocol, .. } = self.ends.get(key)?;
            let ((service, id), is_lost, key) = (key.clone(), *is_lost, protocol.key());
            Some(StoredTombstone { service, id, is_lost, key })
        };
        let ends = self.order.iter().filter_map(end).collect();
        Some(StoreRollback {
            streams_made: self.streams_made,
            remaining_ms,
            tombstones: ends,
            unwritten: None,
        })
    }

    /// Adds a forgotten stream.
    pub(super) fn add(
        &mut self,
        key: StreamKey,
        end: &Ended,
        protocol: StreamProtocol,
        now: Millis,
    ) {
        let late_until = (end.by == EndedBy::Client).then(|| now.after(LATE_HELLO_MS));
        let reset = Some(end.reset.clone());
        self.insert(key, Tombstone { is_lost: end.is_loss(), reset, late_until, protocol });
    }

    /// Version and key of a forgotten stream; `None` without a tombstone.
    pub(super) fn protocol(&self, key: &StreamKey) -> Option<StreamProtocol> {
        self.ends.get(key).map(|end| end.protocol)
    }

    /// The reset that ended a forgotten stream, if known.
    pub(super) fn reset(&self, key: &StreamKey) -> Option<&Reset> {
        self.ends.get(key)?.reset.as_ref()
    }

    /// Returns true if the client has reset the stream lately: a hello that would create the stream is late.
    pub(super) fn is_late(&self, key: &StreamKey, now: Millis) -> bool {
        self.ends.get(key).and_then(|end| end.late_until).is_some_and(|until| now < until)
    }

    /// Returns true if a forgotten stream ended because the store lost a part of the stream.
    pub(super) fn is_lost(&self, key: &StreamKey) -> bool {
        self.ends.get(key).is_some_and(|end| end.is_lost)
    }

    fn insert(&mut self, key: StreamKey, end: Tombstone) {
        if self.ends.insert(key.clone(), end).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_TOMBSTONES
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
    }

    /// Records whether a peer has proven a rollback of the store.
    pub(super) fn note_rollback(&mut self, is_proven: bool) {
        self.rollback_proven |= is_proven;
    }

    /// The stream count to report to app instances; `made` is the current count.
    ///
    /// After damage that may have removed streams without a trace, the count of the streams known to the store: an
    /// instance ends streams with a greater number as lost, unless this core has started or released them.
    pub(super) fn reported_count(&self, made: u64, now: Millis) -> u64 {
        let is_reduced =
            self.rollback_proven && now < self.idle_from && is_jump(self.streams_made, made);
        if is_reduced { self.streams_made } else { made }
    }

    /// Classifies an unknown stream by the hello or the resumption of a transport.
    pub(super) fn classify(&self, key: &StreamKey, attach: &Attach, now: Millis) -> UnknownStream {
        match self.ends.get(key).map(|end| end.is_lost) {
            Some(true) => UnknownStream::lost(),
            Some(false) => UnknownStream::NotFound,
            None => self.classify_unknown(attach, now),
        }
    }

    /// As [`Self::classify`], for a stream without a tombstone.
    pub(super) fn classify_unknown(&self, attach: &Attach, now: Millis) -> UnknownStream {
        if now >= self.idle_from || self.was_recorded(attach) {
            UnknownStream::NotFound
        } else if self.rollback_proven {
            UnknownStream::lost()
        } else if now < self.decided_from && has_history(attach) {
            UnknownStream::Undecided
        } else {
            UnknownStream::NotFound
        }
    }

    /// Returns true if the resumed stream is older than the last stream that the store had recorded.
    fn was_recorded(&self, attach: &Attach) -> bool {
        attach.resume.is_some_and(|resume| resume.stream.count() <= self.streams_made)
    }
}

/// Returns true if the client or the edge has received anything on the stream.
pub(super) fn has_history(attach: &Attach) -> bool {
    let has_any = |sack: &Sack| *sack != Sack::NONE;
    attach.resume.is_some()
        || has_any(&attach.seen_ack)
        || attach.sack.as_ref().is_some_and(has_any)
}

#[cfg(test)]
mod tests {
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
            let first = tombstones.classify(&key(0), &without_history(), Millis(CLAIMED));
            assert_eq!(first == UnknownStream::lost(), is_first_kept, "{count}");
            let last = tombstones.classify(&key(count - 1), &without_history(), Millis(CLAIMED));
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
                    assert_eq!(tombstones.classify(&key(0), &attach, now), *expected, "{shown}");
                }
            }
        }
    }

    #[test]
    fn an_end_without_a_loss_is_not_reported_as_lost() {
        let mut tombstones = tombstones();
        tombstones.add(key(0), &ended("over"), V2, Millis(0));
        tombstones.note_rollback(true);
        let attach = without_history();
        assert_eq!(tombstones.classify(&key(0), &attach, Millis(CLAIMED)), UnknownStream::NotFound);
        tombstones.add(key(0), &ended(STATE_LOST), V2, Millis(0));
        assert_eq!(
            tombstones.classify(&key(0), &attach, Millis(CLAIMED + IDLE)),
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
                let of = |number, attach| next.classify(&key(number), &attach, after);
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
}
