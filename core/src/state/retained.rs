//! The s2c messages of a stream of version 3 that the outbox keeps beyond their acknowledgement: retained messages for
//! later generations, and messages that the present generation has acknowledged beyond a gap.

use std::collections::{BTreeSet, VecDeque};

use minerva_proto::{MessageNumber, Payload};

/// Acknowledged messages of an outbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Retained {
    /// Consecutive messages; the last one precedes the base of the outbox.
    messages: VecDeque<Payload>,
    /// Bytes of `messages`.
    bytes: usize,
    /// Queued messages that the present generation has acknowledged beyond a gap. A new generation may not have them.
    pub(super) beyond: BTreeSet<MessageNumber>,
}

impl Retained {
    /// Number of retained messages.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message is retained.
    pub(super) fn has_no_messages(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of the retained messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The retained messages from position `skip` on.
    pub(super) fn range(&self, skip: usize) -> impl Iterator<Item = &Payload> {
        self.messages.range(skip.min(self.messages.len())..)
    }

    /// Retains a message that follows the last one.
    pub(super) fn push(&mut self, message: Payload) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    /// Drops the oldest message.
    pub(super) fn pop(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.len();
        }
    }

    /// Drops all messages: a gap follows.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    /// Drops the oldest messages beyond the limits.
    pub(super) fn trim(&mut self, (messages, bytes): (usize, usize)) {
        while self.messages.len() > messages || self.bytes > bytes {
            self.pop();
        }
    }

    /// Whether there is neither a retained message nor one beyond a gap.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.beyond.is_empty()
    }
}
