//! The ledger of a run: sent and arrived messages, pauses and ends of every stream.
//!
//! Shared by the clients and the application service, or by their log readers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::checker::{Checker, Tally};
use crate::clock;
use crate::message::{self, Direction, Length};
use crate::round_trips::RoundTrips;

pub(crate) struct Ledger {
    streams: Vec<Entry>,
    /// Number of kills so far.
    kills: AtomicU64,
    faults: Mutex<Vec<FaultWindow>>,
    /// Set if answers are timed.
    round_trips: OnceLock<RoundTrips>,
}

/// The time window of a fault; pauses that overlap it are charged to the fault.
#[derive(Debug, Clone, Copy)]
struct FaultWindow {
    at: Instant,
    /// Pauses that begin later are not charged.
    until: Instant,
    /// Index of the fault kind, assigned by the caller.
    kind: usize,
}

struct Entry {
    c2s: Mutex<Flow>,
    s2c: Mutex<Flow>,
    /// Reasons of unexpected ends.
    ends: Mutex<Vec<String>>,
}

/// One direction of one stream.
#[derive(Default)]
struct Flow {
    /// Number of the next message.
    sent: u64,
    checker: Checker,
    /// Arrival of the last message.
    last: Option<Instant>,
    /// The longest pause since the last kill.
    longest: Duration,
    /// The longest pause after each earlier kill.
    pauses: Vec<Duration>,
    /// Number of kills at the last arrival.
    seen_kills: u64,
    /// The longest charged pause by index of the fault.
    fault_pauses: Vec<(usize, Duration)>,
    /// The first fault whose window may still be open.
    first_open_fault: usize,
}

impl Ledger {
    pub(crate) fn new(streams: usize) -> Self {
        let entry =
            || Entry { c2s: Mutex::default(), s2c: Mutex::default(), ends: Mutex::default() };
        let streams = (0..streams).map(|_| entry()).collect();
        Self {
            streams,
            kills: AtomicU64::new(0),
            faults: Mutex::default(),
            round_trips: OnceLock::new(),
        }
    }

    /// Starts to time answers: s2c message N of a stream answers c2s message N.
    pub(crate) fn time_round_trips(&self) -> &RoundTrips {
        self.round_trips.get_or_init(RoundTrips::default)
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Creates the next message of a stream and counts it as sent.
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
        if let (Direction::C2s, Some(trips)) = (direction, self.round_trips.get()) {
            trips.on_send(stream, number, clock::now());
        }
        message::write(direction, stream, number, length)
    }

    /// Number of sent messages.
    pub(crate) fn sent(&self, direction: Direction, stream: usize) -> u64 {
        self.flow(direction, stream).sent
    }

    /// Sets the number of messages sent by another process.
    pub(crate) fn set_sent(&self, direction: Direction, stream: usize, messages: u64) {
        self.flow(direction, stream).sent = messages;
    }

    /// Removes the last message from the count after a failed send.
    pub(crate) fn cancel_send(&self, direction: Direction, stream: usize) {
        let mut flow = self.flow(direction, stream);
        flow.sent = flow.sent.saturating_sub(1);
    }

    /// Records an arrival at time `now`.
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
            Some(number) => {
                if let (Direction::S2c, Some(trips)) = (direction, self.round_trips.get()) {
                    trips.on_answer(stream, number, now);
                }
                flow.checker.arrive(number);
            }
            None => flow.checker.corrupted(),
        }
        flow.record_fault_pauses(now, &lock(&self.faults));
        flow.record_pause(now, kills);
    }

    /// Opens the window of a fault; pauses that begin before `until` are charged to it.
    pub(crate) fn record_fault(&self, kind: usize, at: Instant, until: Instant) {
        lock(&self.faults).push(FaultWindow { at, until, kind });
    }

    /// The longest pause of each direction of each stream, for each fault of this kind.
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

    /// Records a kill.
    pub(crate) fn record_kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Records an unexpected end.
    pub(crate) fn record_end(&self, stream: usize, why: String) {
        lock(&self.streams[stream].ends).push(why);
    }

    /// The recorded ends of a stream.
    pub(crate) fn end_reasons(&self, stream: usize) -> Vec<String> {
        lock(&self.streams[stream].ends).clone()
    }

    /// Whether all sent messages have arrived, on streams without an end.
    pub(crate) fn is_drained(&self) -> bool {
        let is_open = |stream: &usize| lock(&self.streams[*stream].ends).is_empty();
        (0..self.streams()).filter(is_open).all(|stream| {
            Direction::BOTH.into_iter().all(|direction| {
                let flow = self.flow(direction, stream);
                flow.checker.has_all(flow.sent)
            })
        })
    }

    /// Arrived messages of all streams and directions.
    pub(crate) fn arrived(&self) -> u64 {
        Direction::BOTH.into_iter().flat_map(|way| self.arrived_each(way)).sum()
    }

    /// Arrived messages by stream.
    pub(crate) fn arrived_each(&self, direction: Direction) -> Vec<u64> {
        let of = |stream| self.flow(direction, stream).checker.arrived();
        (0..self.streams()).map(of).collect()
    }

    /// The counters of one direction of a stream.
    pub(crate) fn tally(&self, direction: Direction, stream: usize) -> Tally {
        let flow = self.flow(direction, stream);
        flow.checker.tally(flow.sent)
    }

    /// The longest pause after each kill.
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
