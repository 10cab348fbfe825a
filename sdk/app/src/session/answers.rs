//! Pairs each answer of a stream with the answered event, so that the core takes answer and
//! acknowledgement in one step. Pure; owned by the stream.

use std::collections::VecDeque;

use minerva_proto::{EventNumber, MessageNumber};

/// The unconfirmed answers of one stream; at most one per queued message.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Number of the message and of the answered event, in message order.
    queue: VecDeque<(MessageNumber, EventNumber)>,
}

impl Answers {
    /// Records that message `number` answers `event`.
    pub(super) fn push(&mut self, number: MessageNumber, event: EventNumber) {
        self.queue.push_back((number, event));
    }

    /// Number of the first message that must wait. The event was not delivered on this attachment, so the
    /// core would ignore the acknowledgement. Events below `delivered` can be acknowledged.
    pub(super) fn limit(&self, delivered: EventNumber) -> MessageNumber {
        let waiting = self.queue.iter().find(|(_, event)| *event >= delivered);
        waiting.map_or(MessageNumber(u64::MAX), |(number, _)| *number)
    }

    /// All events below the result are acknowledged once the core has taken all messages below `end`.
    pub(super) fn acknowledged_at(&self, end: MessageNumber) -> Option<EventNumber> {
        let taken = self.queue.iter().take_while(|(number, _)| *number < end);
        taken.map(|(_, event)| event.next()).max()
    }

    /// Removes the answers below `confirmed`, which are durable.
    pub(super) fn free(&mut self, confirmed: MessageNumber) {
        while self.queue.front().is_some_and(|(number, _)| *number < confirmed) {
            self.queue.pop_front();
        }
    }
}
