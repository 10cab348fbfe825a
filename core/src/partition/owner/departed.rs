//! What an owner knows of streams that are not there: how those ended that it has forgotten, and whether the
//! store has lost some of which it never heard. Tells a hello that comes too late which of the two it was.
//! Goes with a checkpoint while the store is known to have gone back, so that the next owner can tell as well.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use minerva_proto::{Reset, Sack, StreamId};

use super::super::mailbox::stream_count;
use crate::record::{Meta, WentBack};
use crate::stream::{Attach, Millis, STATE_LOST};

/// Ends that are remembered: those of a few seconds, so that a client that comes back by then is told.
pub(super) const MAX_DEPARTED: usize = 1000;

/// What clients call a stream.
pub(super) type Key = (Arc<str>, StreamId);

/// What became of a stream that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It ended so, and the client must be told.
    Ended(Reset),
    /// There is no such stream.
    Over,
    /// Whether it was lost may turn out soon.
    Unsure,
}

impl Fate {
    /// The store has lost it.
    pub(super) fn lost() -> Self {
        Self::Ended(Reset::new(STATE_LOST, false))
    }
}

/// Streams that are not there.
pub(super) struct Departed {
    /// Those that were forgotten: whether something of them was lost.
    ends: HashMap<Key, bool>,
    /// The same, the oldest first.
    order: VecDeque<Key>,
    /// Somebody has proved that the store went back in time before it was claimed.
    went_back: bool,
    /// How many streams the store knew of when it was claimed.
    streams_made: u64,
    /// By then whoever can prove it has come.
    sure_from: Millis,
    /// By then a stream that nobody came for is over in any case.
    idle_from: Millis,
}

impl Departed {
    /// That of a new owner. `grace_ms`: until whoever can prove a loss has come; `idle_ms`: until every client has.
    pub(super) fn new(meta: &Meta, now: Millis, grace_ms: u64, idle_ms: u64) -> Self {
        let after = |ms| Millis(now.0.saturating_add(ms));
        let mut departed = Self {
            ends: HashMap::new(),
            order: VecDeque::new(),
            went_back: false,
            streams_made: meta.streams_made,
            sure_from: after(grace_ms),
            idle_from: after(idle_ms),
        };
        if let Some(WentBack { streams_made, left_ms, ends, .. }) = &meta.went_back {
            departed.went_back = true;
            departed.streams_made = *streams_made;
            departed.idle_from = after(idle_ms.min(*left_ms));
            for (service, id, is_lost) in ends {
                departed.add((service.clone(), id.clone()), *is_lost, now);
            }
        }
        departed
    }

    /// What the next owner must know of a loss; `None` if there was none, or long ago.
    pub(super) fn went_back(&self, now: Millis) -> Option<WentBack> {
        let left_ms = self.idle_from.0.saturating_sub(now.0);
        if !self.went_back || left_ms == 0 {
            return None;
        }
        let end = |key: &Key| Some((key.0.clone(), key.1.clone(), *self.ends.get(key)?));
        let ends = self.order.iter().filter_map(end).collect();
        Some(WentBack { streams_made: self.streams_made, left_ms, ends, left: None })
    }

    /// A stream is forgotten. How those ended that lost nothing matters only while unknown ones may be lost.
    pub(super) fn add(&mut self, key: Key, is_lost: bool, now: Millis) {
        if !is_lost && now >= self.idle_from {
            return;
        }
        if self.ends.insert(key.clone(), is_lost).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_DEPARTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
    }

    /// Takes down whether somebody has proved that the store went back.
    pub(super) fn note(&mut self, went_back: bool) {
        self.went_back |= went_back;
    }

    /// What became of a stream that a transport was, or wants to be, attached to.
    pub(super) fn fate(&self, key: &Key, attach: &Attach, now: Millis) -> Fate {
        match self.ends.get(key) {
            Some(true) => Fate::lost(),
            Some(false) => Fate::Over,
            None if now >= self.idle_from || self.was_heard_of(attach) => Fate::Over,
            None if self.went_back => Fate::lost(),
            None if now < self.sure_from && has_lived(attach) => Fate::Unsure,
            None => Fate::Over,
        }
    }

    /// Whether an edge tells that the stream began before what the store has.
    fn was_heard_of(&self, attach: &Attach) -> bool {
        attach.resume.is_some_and(|resume| stream_count(resume.stream) <= self.streams_made)
    }
}

/// Whether the client or its edge has seen something of the stream.
fn has_lived(attach: &Attach) -> bool {
    let has_any = |sack: &Sack| *sack != Sack::NONE;
    attach.resume.is_some()
        || has_any(&attach.seen_ack)
        || attach.sack.as_ref().is_some_and(has_any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::tests::hello;
    use crate::stream::Resume;

    const GRACE: u64 = 2_000;
    const IDLE: u64 = 120_000;
    const CLAIMED: u64 = 1_000_000;

    fn departed() -> Departed {
        Departed::new(&meta(None), Millis(CLAIMED), GRACE, IDLE)
    }

    fn meta(went_back: Option<WentBack>) -> Meta {
        Meta { streams_made: 5, went_back }
    }

    fn key(number: usize) -> Key {
        ("default".into(), hello(1, &format!("stream{number}")).stream_id)
    }

    fn stranger() -> Attach {
        Attach { create: false, ..hello(1, "stream0") }
    }

    fn resumed(stream: u64) -> Attach {
        Attach { resume: Some(Resume { stream, next_s2c: None }), ..stranger() }
    }

    #[test]
    fn as_many_ends_are_remembered_as_the_limit_says() {
        for (count, is_first_known) in
            [(MAX_DEPARTED - 1, true), (MAX_DEPARTED, true), (MAX_DEPARTED + 1, false)]
        {
            let mut departed = departed();
            (0..count).for_each(|number| departed.add(key(number), true, Millis(CLAIMED)));
            let fate = departed.fate(&key(0), &stranger(), Millis(CLAIMED));
            assert_eq!(fate == Fate::lost(), is_first_known, "{count}");
            let fate = departed.fate(&key(count - 1), &stranger(), Millis(CLAIMED));
            assert_eq!(fate, Fate::lost());
            assert_eq!((departed.ends.len(), departed.order.len()), {
                let kept = count.min(MAX_DEPARTED);
                (kept, kept)
            });
        }
    }

    #[test]
    fn an_unknown_stream_is_lost_only_while_the_store_is_known_to_have_gone_back() {
        let seen = Attach { seen_ack: Sack::up_to(3), ..stranger() };
        let has = Attach { sack: Some(Sack::up_to(0)), ..stranger() };
        let (unsure, over, lost) = (&Fate::Unsure, &Fate::Over, &Fate::lost());
        // At the claim, when whoever can prove something has come, when it would have been idle for too long.
        let cases = [
            (stranger(), false, [over, over, over]),
            (stranger(), true, [lost, lost, over]),
            (seen.clone(), false, [unsure, over, over]),
            (seen, true, [lost, lost, over]),
            (has.clone(), false, [unsure, over, over]),
            (has, true, [lost, lost, over]),
            (resumed(6), false, [unsure, over, over]),
            (resumed(6), true, [lost, lost, over]),
            (resumed(5), false, [over, over, over]),
            (resumed(5), true, [over, over, over]),
        ];
        for (attach, went_back, fates) in cases {
            let mut departed = departed();
            departed.note(went_back);
            departed.note(false);
            let limits = [(0, GRACE - 1), (GRACE, IDLE - 1), (IDLE, 10 * IDLE)];
            for ((first, last), fate) in limits.into_iter().zip(fates) {
                for after in [first, last] {
                    let now = Millis(CLAIMED + after);
                    let shown = format!("{went_back} after {after}: {attach:?}");
                    assert_eq!(departed.fate(&key(0), &attach, now), *fate, "{shown}");
                }
            }
        }
    }

    #[test]
    fn what_ended_otherwise_is_not_taken_for_lost() {
        let mut departed = departed();
        departed.add(key(0), false, Millis(CLAIMED));
        departed.note(true);
        assert_eq!(departed.fate(&key(0), &stranger(), Millis(CLAIMED)), Fate::Over);
        departed.add(key(0), true, Millis(CLAIMED));
        assert_eq!(departed.fate(&key(0), &stranger(), Millis(CLAIMED + IDLE)), Fate::lost());
        departed.add(key(1), false, Millis(CLAIMED + IDLE));
        assert_eq!(departed.order.len(), 1, "nothing is kept without need");
    }
    #[test]
    fn the_next_owner_knows_of_a_loss_as_long_as_this_one_would() {
        let mut departed = departed();
        departed.add(key(0), true, Millis(CLAIMED));
        departed.add(key(1), false, Millis(CLAIMED));
        assert_eq!(departed.went_back(Millis(CLAIMED)), None, "nobody has proved anything");
        departed.note(true);
        let at = |left| Millis(CLAIMED + IDLE - left);
        for (left, is_known) in [(IDLE, true), (1, true), (0, false)] {
            let went_back = departed.went_back(at(left));
            assert_eq!(went_back.is_some(), is_known, "{left}");
            // It has made a stream since.
            let meta = Meta { streams_made: 6, ..meta(went_back) };
            let next = Departed::new(&meta, at(left), GRACE, IDLE);
            let fates = |after| {
                let fate = |number, attach| next.fate(&key(number), &attach, after);
                [fate(0, stranger()), fate(1, stranger()), fate(2, stranger()), fate(3, resumed(6))]
            };
            let lost = Fate::lost;
            if is_known {
                let (before, after) = (Millis(CLAIMED + IDLE - 1), Millis(CLAIMED + IDLE));
                assert_eq!(fates(before), [lost(), Fate::Over, lost(), lost()]);
                assert_eq!(fates(after), [lost(), Fate::Over, Fate::Over, Fate::Over]);
            } else {
                assert!(fates(at(left)).iter().all(|fate| *fate == Fate::Over));
            }
        }
    }
}
