//! The questions of the client whose events are not acknowledged yet. Pure; used by the QAN layer of one stream.
//!
//! The event of a question is acknowledged once the question and all events before it are handled. After the death of
//! this process the next one therefore gets the open questions again, and answers them as failed. The hold is bounded:
//! a question that stays open for long must neither fill the inbox of the core nor look like a hung application.

use std::collections::VecDeque;
use std::time::Duration;

use minerva_proto::EventNumber;
use tokio::time::Instant;

/// Most events that wait behind an open question.
const MAX_EVENTS: usize = 100;
/// Most bytes of messages that wait behind an open question, if the delivery window permits.
const MAX_BYTES: usize = 64 * 1024;
/// Longest time that an event waits behind an open question.
pub(super) const MAX_HOLD: Duration = Duration::from_secs(30);

/// The events that are not acknowledged, in order.
#[derive(Debug)]
pub(super) struct Unanswered {
    events: VecDeque<Held>,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Held {
    event: EventNumber,
    bytes: usize,
    since: Instant,
    /// Number of the open question; `None` once the event is handled.
    question: Option<u64>,
}

impl Unanswered {
    /// For a delivery window of `window` bytes, of which at most half is held.
    pub(super) fn new(window: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, max_bytes: MAX_BYTES.min(window / 2) }
    }

    /// Adds a question whose handling begins. Returns the event to acknowledge, with all before it.
    pub(super) fn on_question(
        &mut self,
        event: EventNumber,
        number: u64,
        bytes: usize,
        now: Instant,
    ) -> Option<EventNumber> {
        self.push(Held { event, bytes, since: now, question: Some(number) })
    }

    /// Adds an event whose handling has begun and that has no answer.
    pub(super) fn on_other(
        &mut self,
        event: EventNumber,
        bytes: usize,
        now: Instant,
    ) -> Option<EventNumber> {
        self.push(Held { event, bytes, since: now, question: None })
    }

    /// The question is answered.
    pub(super) fn on_answered(&mut self, number: u64) -> Option<EventNumber> {
        let mut open = self.events.iter_mut();
        if let Some(held) = open.find(|held| held.question == Some(number)) {
            held.question = None;
        }
        self.release()
    }

    /// The time at which the first event must be acknowledged.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.events.front().map(|held| held.since + MAX_HOLD)
    }

    /// Gives up the events that have waited for too long.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<EventNumber> {
        let overdue = self.events.iter().take_while(|held| held.since + MAX_HOLD <= now).count();
        let given_up = self.pop(overdue);
        self.release().or(given_up)
    }

    fn push(&mut self, held: Held) -> Option<EventNumber> {
        self.bytes += held.bytes;
        self.events.push_back(held);
        let mut given_up = None;
        while self.events.len() > MAX_EVENTS || self.bytes > self.max_bytes {
            given_up = self.pop(1);
        }
        self.release().or(given_up)
    }

    /// Removes the handled events at the front.
    fn release(&mut self) -> Option<EventNumber> {
        let handled = self.events.iter().take_while(|held| held.question.is_none()).count();
        self.pop(handled)
    }

    fn pop(&mut self, count: usize) -> Option<EventNumber> {
        let mut last = None;
        for held in self.events.drain(..count) {
            self.bytes -= held.bytes;
            last = Some(held.event);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn event(number: u64) -> EventNumber {
        EventNumber(number)
    }

    #[test]
    fn events_are_acknowledged_in_order_once_handled() {
        let (now, mut held) = (clock::now(), Unanswered::new(1 << 20));
        assert_eq!(held.on_other(event(1), 1, now), Some(event(1)));
        assert_eq!(held.on_question(event(2), 7, 1, now), None);
        assert_eq!(held.on_question(event(3), 8, 1, now), None);
        assert_eq!(held.on_other(event(4), 1, now), None);
        assert_eq!(held.on_answered(8), None);
        assert_eq!(held.on_answered(7), Some(event(4)));
        assert_eq!((held.bytes, held.deadline()), (0, None));
        assert_eq!(held.on_answered(7), None);
    }

    #[test]
    fn held_events_are_bounded() {
        let (now, mut held) = (clock::now(), Unanswered::new(1 << 20));
        for number in 1..=MAX_EVENTS as u64 {
            assert_eq!(held.on_question(event(number), number, 0, now), None, "{number}");
        }
        assert_eq!(held.on_question(event(101), 101, 0, now), Some(event(1)));
        assert_eq!(held.events.len(), MAX_EVENTS);
        assert_eq!(held.on_answered(1), None, "acknowledged before");
        assert_eq!(held.on_answered(2), Some(event(2)));
    }

    #[test]
    fn held_bytes_are_bounded_by_half_of_the_window() {
        for (bytes, acknowledged) in [(99, None), (100, None), (101, Some(event(1)))] {
            let mut held = Unanswered::new(200);
            assert_eq!(held.on_question(event(1), 1, bytes, clock::now()), acknowledged);
        }
        for (window, max) in [(1 << 20, MAX_BYTES), (2 * MAX_BYTES, MAX_BYTES), (2, 1), (0, 0)] {
            assert_eq!(Unanswered::new(window).max_bytes, max);
        }
    }

    #[test]
    fn the_time_of_a_hold_is_bounded() {
        let (now, mut held) = (clock::now(), Unanswered::new(1 << 20));
        let later = now + Duration::from_secs(1);
        held.on_question(event(1), 1, 1, now);
        held.on_other(event(2), 1, later);
        held.on_question(event(3), 2, 1, later);
        assert_eq!(held.deadline(), Some(now + MAX_HOLD));
        assert_eq!(held.on_time(now + MAX_HOLD - Duration::from_millis(1)), None);
        assert_eq!(held.on_time(now + MAX_HOLD), Some(event(2)));
        assert_eq!(held.on_time(later + MAX_HOLD), Some(event(3)));
    }
}
