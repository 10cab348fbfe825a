//! Isolation of suspect streams: a delay that grows with the deaths, and few suspects at a time per app instance.
//!
//! A stream in delivery at a death without suspects has the suspicion 1: it may be innocent, so the delay is short, and
//! the number of suspects beside each other doubles every 50 ms. If the instance dies with suspects, these alone are
//! blamed: their suspicion grows, and from 2 on a suspect is alone, at growing intervals.
//!
//! Used by the assignment. Pure, except that the slot of an instance is shared by all partitions of a core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::StreamNumber;

use crate::stream::{Millis, START_MS, SessionId};

/// Suspicion from which on a stream is isolated strictly.
pub(in crate::partition) const ISOLATED: u32 = 2;

/// Streams that are assigned at once; the next batch follows after [`BATCH_MS`].
pub(super) const BATCH: usize = 32;
const BATCH_MS: u64 = 10;

/// Time between two attempts to find an instance for a suspect.
const RETRY_MS: u64 = 50;

/// Time that the other streams of a service are served before suspects, if the service had no instance.
const SERVE_FIRST_MS: u64 = 1_000;

const FIRST_DELAY_MS: u64 = 100;
const DELAY_MS: u64 = 1_000;
const MAX_DELAY_MS: u64 = 60_000;

/// Bound of [`spread_ms`].
const SPREAD_MS: u64 = 500;

/// Time in which the number of suspects beside each other doubles, as long as they are not isolated.
const DOUBLING_MS: u64 = 50;

/// Time that a suspect waits for an instance without an isolated one.
const JOIN_ISOLATED_MS: u64 = 500;

/// Time that a suspect waits for a second instance, so that a death does not leave the service without one: the usual
/// time in which a supervisor restarts a process.
const SPARE_LAST_MS: u64 = 1_000;

/// Offset of the batch that contains the stream at `index`, in milliseconds.
pub(super) fn batch_offset(index: usize) -> u64 {
    (index / BATCH) as u64 * BATCH_MS
}

/// Delay of the delivery at this suspicion: 100 ms, then 1 s, doubled with each death up to 60 s.
fn delay_ms(suspicion: u32) -> u64 {
    match suspicion {
        0 => 0,
        1 => FIRST_DELAY_MS,
        _ => (DELAY_MS << (suspicion - ISOLATED).min(6)).min(MAX_DELAY_MS),
    }
}

/// Additional delay of an isolated stream, different by stream. The cores of a deployment do not know the suspects of
/// each other: without this difference, two suspects of one death would meet at the same instance again.
pub(in crate::partition) fn spread_ms(stream: StreamNumber) -> u64 {
    (stream.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % SPREAD_MS
}

/// A stream whose events were in delivery when an instance died.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    suspicion: Suspicion,
    /// The first attempt to find an instance.
    due: Option<Millis>,
    /// Another instance lived at the death.
    had_other: bool,
}

/// The deaths at which a stream was in delivery.
#[derive(Clone, Copy, Debug)]
pub(in crate::partition) struct Suspicion {
    /// All since the last acknowledgement.
    pub(in crate::partition) deaths: u32,
    /// Those of which this stream is the probable cause; the first death counts.
    pub(in crate::partition) probable: u32,
    /// The next delivery ends the stream, so there is no delay.
    pub(in crate::partition) has_failed: bool,
    /// No event waits: only `Started` can be the cause.
    pub(in crate::partition) is_idle: bool,
}

impl Suspect {
    pub(super) fn new(suspicion: Suspicion, had_other: bool) -> Self {
        Self { suspicion, due: None, had_other }
    }

    /// The delay and the grace time have passed.
    pub(super) fn on_due(&mut self, now: Millis) {
        self.due.get_or_insert(now);
    }

    pub(super) fn delay_ms(&self) -> u64 {
        if self.suspicion.has_failed { 0 } else { delay_ms(self.suspicion.probable) }
    }

    /// The next attempt to find an instance.
    pub(super) fn retry(&self, now: Millis) -> Millis {
        let spared = self.due.map(|due| due.after(SPARE_LAST_MS)).filter(|at| *at > now);
        spared.into_iter().chain([now.after(RETRY_MS)]).min().unwrap_or(now)
    }

    fn waited(&self, now: Millis) -> u64 {
        self.due.map_or(0, |due| now.0.saturating_sub(due.0))
    }

    /// Whether the stream is delivered alone, even to the instance that it has had.
    pub(super) fn is_isolated(&self) -> bool {
        self.suspicion.probable >= ISOLATED
    }

    /// Whether the stream waits for a second instance.
    pub(super) fn spares_last_instance(&self, now: Millis) -> bool {
        self.had_other && self.waited(now) < SPARE_LAST_MS
    }

    /// Suspects beside each other at one instance: 1, doubled every 50 ms; isolated ones stay alone for a minute.
    pub(super) fn capacity(&self, now: Millis) -> usize {
        let waited = self.waited(now);
        match self.is_isolated() {
            true if waited < MAX_DELAY_MS => 1,
            true => usize::MAX,
            false => 1 << (waited / DOUBLING_MS).min(30),
        }
    }

    /// Waits again because an instance joins a service without one. Returns the earliest delivery.
    pub(super) fn restart(&mut self, now: Millis) -> Millis {
        self.due = None;
        now.after(self.delay_ms().min(SERVE_FIRST_MS))
    }

    /// Whether the stream is delivered beside an isolated suspect.
    fn joins_isolated(&self, now: Millis) -> bool {
        self.is_isolated() || self.waited(now) >= JOIN_ISOLATED_MS
    }

    /// Time in which few or no other suspects join this one.
    fn alone_ms(&self) -> u64 {
        let ms = if self.suspicion.deaths <= ISOLATED { DELAY_MS } else { 5 * DELAY_MS };
        ms.min(self.blame_ms())
    }

    /// Time in which a death of the instance is blamed on its suspects alone: longer with each death, for messages that
    /// kill an instance late.
    fn blame_ms(&self) -> u64 {
        let Suspicion { deaths, is_idle, .. } = self.suspicion;
        if is_idle {
            return START_MS;
        }
        let doubled = (5 * DELAY_MS) << deaths.saturating_sub(ISOLATED).min(4);
        if deaths < ISOLATED { DELAY_MS } else { doubled.min(MAX_DELAY_MS) }
    }
}

/// The suspects in delivery at one instance, shared by all partitions of a core. Keeps them when the instance dies.
#[derive(Clone, Debug, Default)]
pub struct SuspectSlot(Arc<Mutex<BTreeMap<StreamNumber, Standing>>>);

/// The probable causes of a death.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::partition) struct Culprits {
    pub(in crate::partition) streams: BTreeSet<StreamNumber>,
    /// Whether no other stream is a possible cause.
    pub(in crate::partition) are_all: bool,
}

/// How probably a stream would be the cause of a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The instance has survived the stream for some time: further suspects join.
    Settled,
    /// A suspect that few others join.
    New,
    /// A suspect that no other one joins.
    Isolated,
}

impl SuspectSlot {
    /// Whether a suspect is in delivery that others do not join.
    pub(super) fn is_taken(&self) -> bool {
        self.lock().values().any(|standing| *standing > Standing::Settled)
    }

    /// The suspects to blame for the death of the instance.
    pub(in crate::partition) fn to_blame(&self) -> Culprits {
        let suspects = self.lock();
        let highest = suspects.values().max();
        let probable = suspects.iter().filter(|(_, standing)| Some(*standing) == highest);
        let streams = probable.map(|(stream, _)| *stream).collect();
        Culprits { streams, are_all: highest > Some(&Standing::Settled) }
    }

    fn acquire(&self, stream: StreamNumber, suspect: Suspect, now: Millis) -> bool {
        let mut suspects = self.lock();
        let unsettled = suspects.values().filter(|standing| **standing > Standing::Settled).count();
        let is_joined = suspects.values().any(|standing| *standing == Standing::Isolated);
        if unsettled >= suspect.capacity(now) || (is_joined && !suspect.joins_isolated(now)) {
            return false;
        }
        let standing = if suspect.is_isolated() { Standing::Isolated } else { Standing::New };
        suspects.insert(stream, standing);
        true
    }

    fn settle(&self, stream: StreamNumber) {
        if let Some(standing) = self.lock().get_mut(&stream) {
            *standing = Standing::Settled;
        }
    }

    fn release(&self, stream: StreamNumber) {
        self.lock().remove(&stream);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamNumber, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The suspects of one partition that are in delivery.
#[derive(Default)]
pub(super) struct Probation(BTreeMap<StreamNumber, OccupiedSlot>);

struct OccupiedSlot {
    session: SessionId,
    slot: SuspectSlot,
    /// Then further suspects join; `None` afterwards.
    settled_at: Option<Millis>,
    blamed_until: Millis,
}

impl OccupiedSlot {
    fn deadline(&self) -> Millis {
        self.settled_at.map_or(self.blamed_until, |at| at.min(self.blamed_until))
    }
}

impl Probation {
    /// Begins the delivery at a session; returns false if the session has other suspects.
    pub(super) fn begin(
        &mut self,
        stream: StreamNumber,
        suspect: Suspect,
        (session, slot): (SessionId, &SuspectSlot),
        now: Millis,
    ) -> bool {
        if !slot.acquire(stream, suspect, now) {
            return false;
        }
        let settled_at = Some(now.after(suspect.alone_ms()));
        let blamed_until = now.after(suspect.blame_ms());
        let occupied = OccupiedSlot { session, slot: slot.clone(), settled_at, blamed_until };
        self.0.insert(stream, occupied);
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

    /// Admits others beside suspects whose time alone has passed, and clears those whose instance has survived.
    pub(super) fn expire(&mut self, now: Millis) {
        let mut over = Vec::new();
        for (&stream, occupied) in &mut self.0 {
            if occupied.blamed_until <= now {
                over.push(stream);
            } else if occupied.settled_at.take_if(|at| *at <= now).is_some() {
                occupied.slot.settle(stream);
            }
        }
        over.into_iter().for_each(|stream| self.end(stream));
    }

    /// Removes the entries of an ended session. The slot keeps the suspects, for the other partitions.
    pub(super) fn leave(&mut self, session: SessionId) {
        self.0.retain(|_, occupied| occupied.session != session);
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.0.values().map(OccupiedSlot::deadline).min()
    }
}

/// The slots belong to the sessions, which outlive the partition.
impl Drop for Probation {
    fn drop(&mut self) {
        self.0.iter().for_each(|(stream, occupied)| occupied.slot.release(*stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let delays: Vec<u64> = (0..10).map(delay_ms).collect();
        let expected = [0, 100, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(delays, expected);
        assert_eq!(delay_ms(u32::MAX), 60_000);
    }

    #[test]
    fn streams_are_assigned_in_batches() {
        let offsets = [0, BATCH - 1, BATCH, 2 * BATCH].map(batch_offset);
        assert_eq!(offsets, [0, 0, BATCH_MS, 2 * BATCH_MS]);
    }

    fn suspect(probable: u32, deaths: u32) -> Suspect {
        let mut suspect =
            Suspect::new(Suspicion { deaths, probable, has_failed: false, is_idle: false }, true);
        suspect.on_due(Millis(100));
        suspect
    }

    #[test]
    fn suspects_join_in_doubled_numbers_unless_isolated() {
        let of = |suspicion, ms: [u64; 4]| ms.map(|ms| suspect(suspicion, 9).capacity(Millis(ms)));
        assert_eq!(of(1, [0, 149, 150, 600]), [1, 1, 2, 1024]);
        assert_eq!(of(2, [0, 600, 60_099, 60_100]), [1, 1, 1, usize::MAX]);
    }

    #[test]
    fn neighbouring_streams_have_different_delays() {
        let delays: BTreeSet<u64> =
            (1..=20).map(|number| spread_ms(StreamNumber(number))).collect();
        assert!(delays.len() >= 18, "{delays:?}");
        assert!(delays.iter().all(|ms| *ms < SPREAD_MS));
    }

    fn blamed(slot: &SuspectSlot) -> Vec<u64> {
        slot.to_blame().streams.into_iter().map(|stream| stream.0).collect()
    }

    #[test]
    fn a_slot_is_free_after_its_suspects_have_had_their_time_alone() {
        let (slot, mut one, mut other) =
            (SuspectSlot::default(), Probation::default(), Probation::default());
        let session = (SessionId(1), &slot);
        assert!(one.begin(StreamNumber(1), suspect(2, 3), session, Millis(100)));
        assert!(!other.begin(StreamNumber(2), suspect(2, 3), session, Millis(100)));
        assert!(!other.begin(StreamNumber(3), suspect(1, 1), session, Millis(599)));
        assert!(other.begin(StreamNumber(3), suspect(1, 1), session, Millis(600)));
        one.expire(Millis(5_099));
        assert_eq!(one.next_deadline(), Some(Millis(5_100)));
        other.expire(Millis(5_099));
        assert_eq!((slot.is_taken(), blamed(&slot)), (true, vec![1]));
        one.expire(Millis(5_100));
        assert_eq!((slot.is_taken(), blamed(&slot)), (false, vec![1]));
        assert!(other.begin(StreamNumber(2), suspect(2, 3), session, Millis(5_100)));
        one.end(StreamNumber(2));
        assert_eq!(blamed(&slot), [2], "a stream of another partition, and alone");
        other.expire(Millis(10_100));
        assert_eq!(blamed(&slot), [1, 2]);
        one.expire(Millis(10_100));
        assert_eq!(blamed(&slot), [2]);
        other.leave(SessionId(1));
        assert_eq!(blamed(&slot), [2], "the suspect of a dead instance");
    }

    #[test]
    fn a_partition_that_closes_frees_its_slots() {
        let (slot, mut probation) = (SuspectSlot::default(), Probation::default());
        assert!(probation.begin(StreamNumber(1), suspect(2, 3), (SessionId(1), &slot), Millis(0)));
        assert!(slot.is_taken());
        drop(probation);
        assert_eq!((slot.is_taken(), blamed(&slot)), (false, vec![]));
    }

    #[test]
    fn a_late_death_is_blamed_on_a_stream_with_more_deaths() {
        let of = |deaths| suspect(1, deaths).blame_ms();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 9].map(of),
            [1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000]
        );
    }
}
