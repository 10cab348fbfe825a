//! Pairs each answer of a stream with the event that it answers, so that the core takes answer and
//! acknowledgement in one step. Pure; owned by the stream.

use std::collections::VecDeque;

/// The unconfirmed answers of one stream; at most one per queued message.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Number of the message and of the event that it answers, in message order.
    queue: VecDeque<(u64, u64)>,
}

impl Answers {
    /// Records that message `number` answers `event`.
    pub(super) fn push(&mut self, number: u64, event: u64) {
        self.queue.push_back((number, event));
    }

    /// Number of the first message that must wait. Its event was not delivered on this attachment, so the
    /// core would ignore the acknowledgement. Events below `delivered` can be acknowledged.
    pub(super) fn limit(&self, delivered: u64) -> u64 {
        let waiting = self.queue.iter().find(|(_, event)| *event >= delivered);
        waiting.map_or(u64::MAX, |(number, _)| *number)
    }

    /// All events below the result are acknowledged once the core has taken all messages below `end`.
    pub(super) fn acknowledged_at(&self, end: u64) -> Option<u64> {
        let taken = self.queue.iter().take_while(|(number, _)| *number < end);
        taken.map(|(_, event)| event + 1).max()
    }

    /// Removes the answers below `confirmed`, which are durable.
    pub(super) fn free(&mut self, confirmed: u64) {
        while self.queue.front().is_some_and(|(number, _)| *number < confirmed) {
            self.queue.pop_front();
        }
    }
}
