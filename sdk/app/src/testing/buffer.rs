//! The queued messages of one direction of a stream in the kit's core.

use std::collections::VecDeque;

use minerva_proto::Message;

/// Queued messages.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) messages: VecDeque<Message>,
    /// Bytes of the messages.
    pub(super) bytes: usize,
}

impl Buffer {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}
