//! What both ends know of every stream: what was sent, what arrived, and how long nothing did.
//!
//! Shared by the clients and the application service, which run in this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::checker::{Checker, Tally};
use crate::message::{self, Direction, Length};

/// All streams of a run.
pub(crate) struct Ledger {
    streams: Vec<Entry>,
    /// How often something was killed so far.
    kills: AtomicU64,
    faults: Mutex<Vec<FaultWindow>>,
}

/// A fault, for the pauses that it makes.
#[derive(Debug, Clone, Copy)]
struct FaultWindow {
    at: Instant,
    /// A pause that begins later is not of this fault.
    until: Instant,
    /// Whatever tells faults apart.
    kind: usize,
}

/// One stream.
struct Entry {
    c2s: Mutex<Flow>,
    s2c: Mutex<Flow>,
    /// Why it ended, if it did: it never should.
    ends: Mutex<Vec<String>>,
}

/// One direction of one stream.
#[derive(Default)]
struct Flow {
    /// Number of the next message to send.
    sent: u64,
    checker: Checker,
    /// When the last message arrived.
    last: Option<Instant>,
    /// The longest time without a message since the last kill.
    longest: Duration,
    /// The longest time without a message after each earlier kill.
    pauses: Vec<Duration>,
    /// How many kills there were when the last message arrived.
    seen_kills: u64,
    /// The longest time without a message that was under way when a fault struck, or began soon
    /// after, by the place of the fault.
    fault_pauses: Vec<(usize, Duration)>,
    /// Earlier faults are over.
    first_open_fault: usize,
}

impl Ledger {
    pub(crate) fn new(streams: usize) -> Self {
        let entry =
            || Entry { c2s: Mutex::default(), s2c: Mutex::default(), ends: Mutex::default() };
        let streams = (0..streams).map(|_| entry()).collect();
        Self { streams, kills: AtomicU64::new(0), faults: Mutex::default() }
    }

    /// Number of streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The next message of a stream, counted as sent from now on.
    pub(crate) fn next_message(
        &self,
        direction: Direction,
        stream: usize,
        length: Length,
    ) -> Bytes {
        let number = {
            let mut flow = self.flow(direction, stream);
            flow.sent += 1;
            flow.sent - 1
        };
        message::write(direction, stream, number, length)
    }

    /// Strings sent so far.
    pub(crate) fn sent(&self, direction: Direction, stream: usize) -> u64 {
        self.flow(direction, stream).sent
    }

    /// So many messages were sent, in a place where this ledger is not.
    pub(crate) fn set_sent(&self, direction: Direction, stream: usize, messages: u64) {
        self.flow(direction, stream).sent = messages;
    }

    /// Takes back the last message: it was refused.
    pub(crate) fn cancel_send(&self, direction: Direction, stream: usize) {
        let mut flow = self.flow(direction, stream);
        flow.sent = flow.sent.saturating_sub(1);
    }

    /// A message arrived.
    pub(crate) fn arrive(
        &self,
        direction: Direction,
        stream: usize,
        text: &[u8],
        length: Length,
        now: Instant,
    ) {
        let kills = self.kills.load(Ordering::Relaxed);
        let number = message::read(text, direction, stream, length);
        let mut flow = self.flow(direction, stream);
        match number {
            Some(number) => flow.checker.arrive(number),
            None => flow.checker.corrupted(),
        }
        flow.record_fault_pauses(now, &lock(&self.faults));
        flow.record_pause(now, kills);
    }

    /// A fault of this kind faults; pauses that begin until then are its own.
    pub(crate) fn record_fault(&self, kind: usize, at: Instant, until: Instant) {
        lock(&self.faults).push(FaultWindow { at, until, kind });
    }

    /// The longest pause on each direction of each stream for each fault of this kind.
    pub(crate) fn pauses_of(&self, kind: usize) -> Vec<Duration> {
        let faults = lock(&self.faults).clone();
        let mut pauses = Vec::new();
        for stream in 0..self.streams() {
            for direction in Direction::BOTH {
                let flow = self.flow(direction, stream);
                let of_kind =
                    flow.fault_pauses.iter().filter(|(place, _)| faults[*place].kind == kind);
                pauses.extend(of_kind.map(|(_, pause)| *pause));
            }
        }
        pauses
    }

    /// Something was killed.
    pub(crate) fn record_kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream ended, which it should not.
    pub(crate) fn record_end(&self, stream: usize, why: String) {
        lock(&self.streams[stream].ends).push(why);
    }

    /// Why a stream ended, as often as it did.
    pub(crate) fn end_reasons(&self, stream: usize) -> Vec<String> {
        lock(&self.streams[stream].ends).clone()
    }

    /// Everything sent so far has arrived, on streams that have not ended.
    pub(crate) fn is_drained(&self) -> bool {
        let is_open = |stream: &usize| lock(&self.streams[*stream].ends).is_empty();
        (0..self.streams()).filter(is_open).all(|stream| {
            Direction::BOTH.into_iter().all(|direction| {
                let flow = self.flow(direction, stream);
                flow.checker.has_all(flow.sent)
            })
        })
    }

    /// Strings that have arrived, all streams and both directions.
    pub(crate) fn arrived(&self) -> u64 {
        Direction::BOTH.into_iter().flat_map(|way| self.arrived_each(way)).sum()
    }

    /// Strings that have arrived on each stream.
    pub(crate) fn arrived_each(&self, direction: Direction) -> Vec<u64> {
        let of = |stream| self.flow(direction, stream).checker.arrived();
        (0..self.streams()).map(of).collect()
    }

    /// What was wrong in one direction of one stream.
    pub(crate) fn tally(&self, direction: Direction, stream: usize) -> Tally {
        let flow = self.flow(direction, stream);
        flow.checker.tally(flow.sent)
    }

    /// The longest time without a message after each kill.
    pub(crate) fn pauses(&self, direction: Direction, stream: usize) -> Vec<Duration> {
        let flow = self.flow(direction, stream);
        let mut pauses = flow.pauses.clone();
        if flow.seen_kills > 0 {
            pauses.push(flow.longest);
        }
        pauses
    }

    fn flow(&self, direction: Direction, stream: usize) -> MutexGuard<'_, Flow> {
        let entry = &self.streams[stream];
        lock(match direction {
            Direction::C2s => &entry.c2s,
            Direction::S2c => &entry.s2c,
        })
    }
}

impl Flow {
    fn record_fault_pauses(&mut self, now: Instant, faults: &[FaultWindow]) {
        let Some(last) = self.last else { return };
        let pause = now.duration_since(last);
        let is_over = |fault: &FaultWindow| fault.until <= last;
        while faults.get(self.first_open_fault).is_some_and(is_over) {
            self.first_open_fault += 1;
        }
        for (place, fault) in faults.iter().enumerate().skip(self.first_open_fault) {
            if fault.at >= now || is_over(fault) {
                continue;
            }
            match self.fault_pauses.iter_mut().rev().find(|(known, _)| *known == place) {
                Some((_, longest)) => *longest = pause.max(*longest),
                None => self.fault_pauses.push((place, pause)),
            }
        }
    }

    fn record_pause(&mut self, now: Instant, kills: u64) {
        if kills != self.seen_kills {
            if self.seen_kills > 0 {
                self.pauses.push(self.longest);
            }
            self.longest = Duration::ZERO;
            self.seen_kills = kills;
        }
        if let Some(last) = self.last {
            self.longest = self.longest.max(now.duration_since(last));
        }
        self.last = Some(now);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const LENGTH: Length = Length::UpTo(20);

    #[test]
    fn directions_are_counted_separately() {
        let ledger = Ledger::new(2);
        let now = clock::now();
        let messages: Vec<Bytes> =
            (0..3).map(|_| ledger.next_message(Direction::C2s, 1, LENGTH)).collect();
        assert!(!ledger.is_drained());
        for message in &messages {
            ledger.arrive(Direction::C2s, 1, message, LENGTH, now);
        }
        assert!(ledger.is_drained());
        assert!(ledger.tally(Direction::C2s, 1).is_clean());
        ledger.arrive(Direction::C2s, 0, &messages[0], LENGTH, now);
        ledger.arrive(Direction::S2c, 1, &messages[0], LENGTH, now);
        ledger.arrive(Direction::C2s, 1, &messages[0], LENGTH, now);
        assert_eq!(ledger.tally(Direction::C2s, 0).corrupted, 1);
        assert_eq!(ledger.tally(Direction::S2c, 1).corrupted, 1);
        assert_eq!(ledger.tally(Direction::C2s, 1).duplicated, 1);
        assert_eq!(ledger.arrived(), 4);
    }

    #[test]
    fn a_rejected_message_does_not_count_as_sent() {
        let ledger = Ledger::new(1);
        let first = ledger.next_message(Direction::S2c, 0, LENGTH);
        ledger.cancel_send(Direction::S2c, 0);
        assert_eq!(ledger.next_message(Direction::S2c, 0, LENGTH), first);
        assert_eq!(ledger.sent(Direction::S2c, 0), 1);
    }

    #[test]
    fn a_fault_is_charged_with_the_longest_pause_in_its_window() {
        let ledger = Ledger::new(2);
        let start = clock::now();
        let time = |ms: u64| start + Duration::from_millis(ms);
        let at = |ms: u64| {
            let message = ledger.next_message(Direction::S2c, 0, LENGTH);
            ledger.arrive(Direction::S2c, 0, &message, LENGTH, time(ms));
        };
        at(0);
        ledger.record_fault(7, time(400), time(600));
        ledger.record_fault(8, time(500), time(500));
        at(550);
        at(1500);
        at(5000);
        ledger.record_fault(7, time(5001), time(5002));
        at(5010);
        let ms =
            |kind| -> Vec<_> { ledger.pauses_of(kind).iter().map(Duration::as_millis).collect() };
        assert_eq!(ms(7), [950, 10]);
        assert_eq!(ms(8), [550]);
        assert_eq!(ms(9), []);
    }

    #[test]
    fn the_longest_pause_after_each_kill_is_recorded() {
        let ledger = Ledger::new(1);
        let start = clock::now();
        let at = |ms: u64| {
            let message = ledger.next_message(Direction::S2c, 0, LENGTH);
            ledger.arrive(Direction::S2c, 0, &message, LENGTH, start + Duration::from_millis(ms));
        };
        at(0);
        at(900);
        ledger.record_kill();
        at(910);
        at(1410);
        at(1420);
        ledger.record_kill();
        at(1720);
        let pauses = ledger.pauses(Direction::S2c, 0);
        assert_eq!(pauses, [Duration::from_millis(500), Duration::from_millis(300)]);
    }
}
