//! Admission of received c2s messages, before any record is made.

use minerva_proto::Payload;
use minerva_proto::mutation::{self, Mutation};

use super::{MessageNumber, StreamState};
use crate::limits::Limits;

/// Overhead in bytes of a message beyond a gap, the same as in the receive window of the protocol.
const MESSAGE_OVERHEAD: usize = 30;

/// Decision about a received c2s message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The message has been received before.
    Duplicate,
    /// The message is accepted.
    Accept,
    /// The message exceeds the receive window: too much waits beyond a gap.
    Overflow,
}

impl StreamState {
    /// Decides whether to accept a received c2s message.
    pub fn admission(
        &self,
        number: MessageNumber,
        message: &Payload,
        limits: &Limits,
    ) -> Admission {
        if number <= self.window.next() {
            let is_next = number == self.window.next();
            let is_taken = is_next || mutation::is(Mutation::TakeDuplicates);
            return if is_taken { Admission::Accept } else { Admission::Duplicate };
        }
        if self.has_received(number) {
            return Admission::Duplicate;
        }
        let bytes = self.window.waiting_bytes() + message.len() + MESSAGE_OVERHEAD;
        let full = self.window.waiting().len() >= limits.rwin_messages || bytes > limits.rwin_bytes;
        if full { Admission::Overflow } else { Admission::Accept }
    }
}
