//! Which of a stream's strings answer an event, so that each is taken together with the acknowledgement of its
//! event or not at all. Pure; called by the stream's state only.

use std::collections::VecDeque;

/// The answers of one stream that are not confirmed; at most one per string in its queue.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Number of the string, and the event that it answers; in order of the numbers.
    queue: VecDeque<(u64, u64)>,
}

impl Answers {
    /// The string of this number answers this event.
    pub(super) fn push(&mut self, number: u64, event: u64) {
        self.queue.push_back((number, event));
    }

    /// Number of the first string that must wait, because its event was not delivered at this home and could not be
    /// acknowledged there: only events below `delivered` can.
    pub(super) fn limit(&self, delivered: u64) -> u64 {
        let waiting = self.queue.iter().find(|(_, event)| *event >= delivered);
        waiting.map_or(u64::MAX, |(number, _)| *number)
    }

    /// All events below are done with when all strings below `end` are taken.
    pub(super) fn acknowledged_at(&self, end: u64) -> Option<u64> {
        let taken = self.queue.iter().take_while(|(number, _)| *number < end);
        taken.map(|(_, event)| event + 1).max()
    }

    /// All strings below `confirmed` are durable.
    pub(super) fn free(&mut self, confirmed: u64) {
        while self.queue.front().is_some_and(|(number, _)| *number < confirmed) {
            self.queue.pop_front();
        }
    }
}
