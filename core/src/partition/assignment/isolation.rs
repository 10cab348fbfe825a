//! Isolation of suspect streams: a delay that grows with the deaths, and one suspect at a time per app instance.
//!
//! Used by the assignment. Pure, except that the slot of an instance is shared by all partitions of a core.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minerva_proto::StreamNumber;

use crate::stream::{Millis, SessionId};

/// Deaths of instances after which a stream is isolated strictly.
pub(in crate::partition) const ISOLATED: u32 = 2;

/// Streams that are assigned at once; the next batch follows after [`BATCH_MS`].
pub(super) const BATCH: usize = 32;
const BATCH_MS: u64 = 10;

/// Time between two attempts to find an instance without a suspect.
pub(super) const RETRY_MS: u64 = 100;

/// Time that the other streams of a service are served before suspects, if the service had no instance.
const SERVE_FIRST_MS: u64 = 1_000;

const FIRST_DELAY_MS: u64 = 250;
const DELAY_MS: u64 = 1_000;
const MAX_DELAY_MS: u64 = 60_000;

/// Offset of the batch that contains the stream at `index`, in milliseconds.
pub(super) fn batch_offset(index: usize) -> u64 {
    (index / BATCH) as u64 * BATCH_MS
}

/// Delay of the delivery after this count of deaths: 250 ms, then 1 s, doubled with each death up to 60 s.
pub(in crate::partition) fn delay_ms(deaths: u32) -> u64 {
    match deaths {
        0 => 0,
        1 => FIRST_DELAY_MS,
        _ => (DELAY_MS << (deaths - ISOLATED).min(6)).min(MAX_DELAY_MS),
    }
}

/// A stream whose events were in delivery when an instance died.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub(super) deaths: u32,
    /// From then on the stream is delivered beside another suspect.
    pub(super) patience_ends: Millis,
}

impl Suspect {
    /// A suspect that is delivered from `due` on.
    pub(super) fn new(deaths: u32, due: Millis) -> Self {
        let patience = if deaths < ISOLATED { 2 * DELAY_MS } else { MAX_DELAY_MS };
        Self { deaths, patience_ends: due.after(patience) }
    }

    /// Whether the stream is delivered alone, even to the instance that it has had.
    pub(super) fn is_isolated(&self) -> bool {
        self.deaths >= ISOLATED
    }

    /// The earliest delivery by an instance that is the first of the service.
    pub(super) fn due_after_join(&self, now: Millis) -> Millis {
        now.after(delay_ms(self.deaths).min(SERVE_FIRST_MS))
    }

    /// Longest time that the stream occupies the slot of an instance.
    fn slot_ms(&self) -> u64 {
        if self.deaths < ISOLATED { DELAY_MS } else { 5 * DELAY_MS }
    }
}

/// The suspect in delivery at one instance, shared by all partitions of a core. Keeps the suspect when the instance dies.
#[derive(Clone, Debug, Default)]
pub struct SuspectSlot(Arc<AtomicU64>);

/// No stream has the number 0.
const FREE: u64 = 0;

impl SuspectSlot {
    /// The suspect in delivery.
    pub(in crate::partition) fn current(&self) -> Option<StreamNumber> {
        Some(self.0.load(Ordering::Acquire)).filter(|number| *number != FREE).map(StreamNumber)
    }

    fn acquire(&self, stream: StreamNumber) -> bool {
        self.0.compare_exchange(FREE, stream.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn release(&self, stream: StreamNumber) {
        let _ = self.0.compare_exchange(stream.0, FREE, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// The suspects of one partition that occupy the slot of an instance.
#[derive(Default)]
pub(super) struct Probation(BTreeMap<StreamNumber, OccupiedSlot>);

struct OccupiedSlot {
    session: SessionId,
    slot: SuspectSlot,
    until: Millis,
}

impl Probation {
    /// Occupies the slot of a session; returns false if another suspect has the slot.
    pub(super) fn begin(
        &mut self,
        stream: StreamNumber,
        suspect: Suspect,
        (session, slot): (SessionId, &SuspectSlot),
        now: Millis,
    ) -> bool {
        if !slot.acquire(stream) {
            return false;
        }
        let until = now.after(suspect.slot_ms());
        self.0.insert(stream, OccupiedSlot { session, slot: slot.clone(), until });
        true
    }

    pub(super) fn contains(&self, stream: StreamNumber) -> bool {
        self.0.contains_key(&stream)
    }

    /// Frees the slot of a stream.
    pub(super) fn end(&mut self, stream: StreamNumber) {
        if let Some(occupied) = self.0.remove(&stream) {
            occupied.slot.release(stream);
        }
    }

    /// Frees the slots whose time has passed.
    pub(super) fn expire(&mut self, now: Millis) {
        let over = self.0.iter().filter(|(_, slot)| slot.until <= now).map(|(stream, _)| *stream);
        let over: Vec<StreamNumber> = over.collect();
        over.into_iter().for_each(|stream| self.end(stream));
    }

    /// Removes the entries of an ended session. The slot keeps the suspect, for the other partitions.
    pub(super) fn leave(&mut self, session: SessionId) {
        self.0.retain(|_, occupied| occupied.session != session);
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.0.values().map(|occupied| occupied.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let delays: Vec<u64> = (0..10).map(delay_ms).collect();
        let expected = [0, 250, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(delays, expected);
        assert_eq!(delay_ms(u32::MAX), 60_000);
    }

    #[test]
    fn streams_are_assigned_in_batches() {
        let offsets = [0, BATCH - 1, BATCH, 2 * BATCH].map(batch_offset);
        assert_eq!(offsets, [0, 0, BATCH_MS, 2 * BATCH_MS]);
    }

    #[test]
    fn a_slot_has_one_suspect_until_the_end_of_its_time() {
        let (slot, mut one, mut other) =
            (SuspectSlot::default(), Probation::default(), Probation::default());
        let suspect = Suspect::new(ISOLATED, Millis(0));
        let session = (SessionId(1), &slot);
        assert!(one.begin(StreamNumber(1), suspect, session, Millis(0)));
        assert!(!other.begin(StreamNumber(2), suspect, session, Millis(0)));
        one.expire(Millis(4_999));
        assert_eq!(slot.current(), Some(StreamNumber(1)));
        one.expire(Millis(5_000));
        assert_eq!(slot.current(), None);
        assert!(other.begin(StreamNumber(2), suspect, session, Millis(5_000)));
        one.end(StreamNumber(2));
        assert_eq!(slot.current(), Some(StreamNumber(2)), "a stream of another partition");
        other.leave(SessionId(1));
        assert_eq!(slot.current(), Some(StreamNumber(2)), "the suspect of a dead instance");
    }
}
