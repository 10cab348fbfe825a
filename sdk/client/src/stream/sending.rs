//! Acceptance of messages into the send queue.

use minerva_proto::{Message, MessageNumber};

use super::{StreamMachine, Time};
use crate::error::SendError;

impl StreamMachine {
    /// Queues a message. Refused after a reset, because the repeated reset follows all unacknowledged messages.
    pub(crate) fn push(&mut self, now: Time, message: Message) -> Result<MessageNumber, SendError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone().into());
        }
        if self.is_resetting() {
            return Err(SendError::Resetting);
        }
        self.check(&message)?;
        if !self.has_room(message.len()) {
            return Err(SendError::Full);
        }
        self.negotiation.on_queued(&message);
        let number = self.queue.push(message);
        self.plan(now);
        Ok(number)
    }

    /// Checks that the version of the stream carries a message.
    pub(crate) fn check(&self, message: &Message) -> Result<(), SendError> {
        self.negotiation.check(message)
    }

    /// Whether a message of `length` bytes fits into the send queue. An empty queue accepts every message.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        let bytes = self.queue.bytes().saturating_add(length);
        if self.resumption.is_adopting() {
            // The server names the first number for new messages.
            return false;
        }
        self.queue.is_empty()
            || (self.queue.len() < self.config.max_queued_messages
                && bytes <= self.config.max_queued_bytes)
    }

    /// Whether [`Self::push`] accepts messages, if the queue has room.
    pub(crate) fn accepts_messages(&self) -> bool {
        !self.is_resetting() && self.ended.is_none()
    }

    /// The version of an open transport.
    #[cfg(feature = "simulation")]
    pub(crate) fn version_of(
        &self,
        number: minerva_proto::TransportNumber,
    ) -> Option<crate::wire::WireVersion> {
        self.transports.get(&number).map(|transport| transport.version)
    }

    /// Whether a message was received, popped or not.
    #[cfg(feature = "simulation")]
    pub(crate) fn holds(&self, number: MessageNumber) -> bool {
        number < self.window.next() || self.window.waiting().any(|(waiting, _)| waiting == number)
    }
}
