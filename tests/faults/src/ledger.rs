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
    strikes: Mutex<Vec<Strike>>,
}

/// A fault, for the pauses that it makes.
#[derive(Debug, Clone, Copy)]
struct Strike {
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
    /// Number of the next string to send.
    sent: u64,
    checker: Checker,
    /// When the last string arrived.
    last: Option<Instant>,
    /// The longest time without a string since the last kill.
    longest: Duration,
    /// The longest time without a string after each earlier kill.
    pauses: Vec<Duration>,
    /// How many kills there were when the last string arrived.
    seen_kills: u64,
    /// The longest time without a string that was under way when a fault struck, or began soon
    /// after, by the place of the fault.
    struck: Vec<(usize, Duration)>,
    /// Earlier faults are over.
    first_strike: usize,
}

impl Ledger {
    pub(crate) fn new(streams: usize) -> Self {
        let entry =
            || Entry { c2s: Mutex::default(), s2c: Mutex::default(), ends: Mutex::default() };
        let streams = (0..streams).map(|_| entry()).collect();
        Self { streams, kills: AtomicU64::new(0), strikes: Mutex::default() }
    }

    /// Number of streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The next string of a stream, counted as sent from now on.
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

    /// So many strings were sent, in a place where this ledger is not.
    pub(crate) fn set_sent(&self, direction: Direction, stream: usize, messages: u64) {
        self.flow(direction, stream).sent = messages;
    }

    /// Takes back the last string: it was refused.
    pub(crate) fn unsent(&self, direction: Direction, stream: usize) {
        let mut flow = self.flow(direction, stream);
        flow.sent = flow.sent.saturating_sub(1);
    }

    /// A string arrived.
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
            None => flow.checker.garbled(),
        }
        flow.note_strikes(now, &lock(&self.strikes));
        flow.note_pause(now, kills);
    }

    /// A fault of this kind strikes; pauses that begin until then are its own.
    pub(crate) fn struck(&self, kind: usize, at: Instant, until: Instant) {
        lock(&self.strikes).push(Strike { at, until, kind });
    }

    /// The longest pause on each direction of each stream for each fault of this kind.
    pub(crate) fn pauses_of(&self, kind: usize) -> Vec<Duration> {
        let strikes = lock(&self.strikes).clone();
        let mut pauses = Vec::new();
        for stream in 0..self.streams() {
            for direction in Direction::BOTH {
                let flow = self.flow(direction, stream);
                let of_kind = flow.struck.iter().filter(|(place, _)| strikes[*place].kind == kind);
                pauses.extend(of_kind.map(|(_, pause)| *pause));
            }
        }
        pauses
    }

    /// Something was killed.
    pub(crate) fn killed(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream ended, which it should not.
    pub(crate) fn ended(&self, stream: usize, why: String) {
        lock(&self.streams[stream].ends).push(why);
    }

    /// Why a stream ended, as often as it did.
    pub(crate) fn ends(&self, stream: usize) -> Vec<String> {
        lock(&self.streams[stream].ends).clone()
    }

    /// Everything sent so far has arrived, on streams that have not ended.
    pub(crate) fn is_drained(&self) -> bool {
        let lives = |stream: &usize| lock(&self.streams[*stream].ends).is_empty();
        (0..self.streams()).filter(lives).all(|stream| {
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

    /// The longest time without a string after each kill.
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
    fn note_strikes(&mut self, now: Instant, strikes: &[Strike]) {
        let Some(last) = self.last else { return };
        let pause = now.duration_since(last);
        let is_over = |strike: &Strike| strike.until <= last;
        while strikes.get(self.first_strike).is_some_and(is_over) {
            self.first_strike += 1;
        }
        for (place, strike) in strikes.iter().enumerate().skip(self.first_strike) {
            if strike.at >= now || is_over(strike) {
                continue;
            }
            match self.struck.iter_mut().rev().find(|(known, _)| *known == place) {
                Some((_, longest)) => *longest = pause.max(*longest),
                None => self.struck.push((place, pause)),
            }
        }
    }

    fn note_pause(&mut self, now: Instant, kills: u64) {
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
    fn sent_and_arrived_are_counted_apart_for_each_direction() {
        let ledger = Ledger::new(2);
        let now = clock::now();
        let messages: Vec<Bytes> =
            (0..3).map(|_| ledger.next_message(Direction::C2s, 1, LENGTH)).collect();
        assert!(!ledger.is_drained());
        for string in &messages {
            ledger.arrive(Direction::C2s, 1, string, LENGTH, now);
        }
        assert!(ledger.is_drained());
        assert!(ledger.tally(Direction::C2s, 1).is_clean());
        ledger.arrive(Direction::C2s, 0, &messages[0], LENGTH, now);
        ledger.arrive(Direction::S2c, 1, &messages[0], LENGTH, now);
        ledger.arrive(Direction::C2s, 1, &messages[0], LENGTH, now);
        assert_eq!(ledger.tally(Direction::C2s, 0).garbled, 1);
        assert_eq!(ledger.tally(Direction::S2c, 1).garbled, 1);
        assert_eq!(ledger.tally(Direction::C2s, 1).doubled, 1);
        assert_eq!(ledger.arrived(), 4);
    }

    #[test]
    fn a_refused_string_was_not_sent() {
        let ledger = Ledger::new(1);
        let first = ledger.next_message(Direction::S2c, 0, LENGTH);
        ledger.unsent(Direction::S2c, 0);
        assert_eq!(ledger.next_message(Direction::S2c, 0, LENGTH), first);
        assert_eq!(ledger.sent(Direction::S2c, 0), 1);
    }

    #[test]
    fn a_fault_has_the_longest_pause_that_it_met_or_that_began_soon_after() {
        let ledger = Ledger::new(2);
        let start = clock::now();
        let time = |ms: u64| start + Duration::from_millis(ms);
        let at = |ms: u64| {
            let string = ledger.next_message(Direction::S2c, 0, LENGTH);
            ledger.arrive(Direction::S2c, 0, &string, LENGTH, time(ms));
        };
        at(0);
        ledger.struck(7, time(400), time(600));
        ledger.struck(8, time(500), time(500));
        at(550);
        at(1500);
        at(5000);
        ledger.struck(7, time(5001), time(5002));
        at(5010);
        let ms =
            |kind| -> Vec<_> { ledger.pauses_of(kind).iter().map(Duration::as_millis).collect() };
        assert_eq!(ms(7), [950, 10]);
        assert_eq!(ms(8), [550]);
        assert_eq!(ms(9), []);
    }

    #[test]
    fn the_longest_silence_after_each_kill_is_kept() {
        let ledger = Ledger::new(1);
        let start = clock::now();
        let at = |ms: u64| {
            let string = ledger.next_message(Direction::S2c, 0, LENGTH);
            ledger.arrive(Direction::S2c, 0, &string, LENGTH, start + Duration::from_millis(ms));
        };
        at(0);
        at(900);
        ledger.killed();
        at(910);
        at(1410);
        at(1420);
        ledger.killed();
        at(1720);
        let pauses = ledger.pauses(Direction::S2c, 0);
        assert_eq!(pauses, [Duration::from_millis(500), Duration::from_millis(300)]);
    }
}
