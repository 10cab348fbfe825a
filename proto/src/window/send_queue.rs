//! The send queue: numbers messages and keeps them until they are acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{MessageNumber, Sack};

/// Messages with consecutive numbers, each kept until a SACK acknowledges it.
///
/// The queue is unbounded: the caller checks [`SendQueue::bytes`] and [`SendQueue::len`] before a push. A message
/// acknowledged beyond a gap frees its bytes at once and counts in `len` until the gap closes. Otherwise a peer that
/// never acknowledges the first message could let the queue grow without limit. A message is of type `M`: its bytes, or a
/// payload with the kind.
#[derive(Debug, Clone)]
pub struct SendQueue<M = Bytes> {
    /// Number of the first entry; all messages below are acknowledged.
    base: MessageNumber,
    /// Entry `i` has the number `base + i`; `None` is a message acknowledged beyond a gap. The first entry is `Some`.
    entries: VecDeque<Option<M>>,
    /// Bytes of the messages in `entries`.
    bytes: usize,
}

/// A SACK names messages that were never queued; the queue is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SACK names messages that were never sent")]
pub struct AckedUnsentError;

/// The space that a SACK has freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Decrease of [`SendQueue::len`].
    pub messages: usize,
    /// Decrease of [`SendQueue::bytes`].
    pub bytes: usize,
}

impl<M> Default for SendQueue<M> {
    fn default() -> Self {
        Self { base: MessageNumber(0), entries: VecDeque::new(), bytes: 0 }
    }
}

impl<M: AsRef<[u8]>> SendQueue<M> {
    /// An empty queue that starts at message 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty queue that starts at `next`; all messages below count as acknowledged.
    pub fn starting_at(next: MessageNumber) -> Self {
        Self { base: next, ..Self::default() }
    }

    /// Appends a message and returns its number.
    pub fn push(&mut self, message: M) -> MessageNumber {
        let number = self.next();
        self.bytes += message.as_ref().len();
        self.entries.push_back(Some(message));
        number
    }

    /// Gives no message a number below `next`; skipped numbers count as acknowledged. A queue with messages gets an entry per
    /// skipped number, so the caller bounds them.
    pub fn skip_to(&mut self, next: MessageNumber) {
        if self.entries.is_empty() {
            self.base = self.base.max(next);
        }
        while self.next() < next {
            self.entries.push_back(None);
        }
    }

    /// Frees the acknowledged messages. Old and repeated SACKs have no effect.
    ///
    /// # Errors
    /// If the SACK names a message that was never queued; no message is freed then.
    pub fn apply(&mut self, sack: &Sack) -> Result<Freed, AckedUnsentError> {
        let next = self.next();
        if sack.acked.iter().chain(&sack.beyond).any(|&number| number >= next) {
            return Err(AckedUnsentError);
        }
        let (messages, bytes) = (self.len(), self.bytes);
        for &number in &sack.beyond {
            self.free(number);
        }
        while sack.acked.is_some_and(|acked| self.base <= acked)
            || matches!(self.entries.front(), Some(None))
        {
            self.free(self.base);
            self.entries.pop_front();
            self.base += 1;
        }
        Ok(Freed { messages: messages - self.len(), bytes: bytes - self.bytes })
    }

    /// The unacknowledged messages from number `first` on, with their numbers.
    pub fn iter_from(&self, first: MessageNumber) -> impl Iterator<Item = (MessageNumber, &M)> {
        let skip = usize::try_from(first.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let start = skip.min(self.entries.len());
        let numbers = (self.base.0 + start as u64..).map(MessageNumber);
        let entries = numbers.zip(self.entries.range(start..));
        entries.filter_map(|(number, entry)| entry.as_ref().map(|message| (number, message)))
    }

    /// The number of the next message to push.
    pub fn next(&self) -> MessageNumber {
        self.base + self.entries.len() as u64
    }

    /// The first unacknowledged number, or [`SendQueue::next`] if there is none.
    pub fn base(&self) -> MessageNumber {
        self.base
    }

    /// Bytes of the unacknowledged messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of messages from the first unacknowledged one to the end of the queue.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if every message is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops the message with this number, if the queue still has one.
    fn free(&mut self, number: MessageNumber) {
        let offset = number.checked_sub(self.base).and_then(|offset| usize::try_from(offset).ok());
        let entry = offset.and_then(|offset| self.entries.get_mut(offset));
        if let Some(message) = entry.and_then(Option::take) {
            self.bytes -= message.as_ref().len();
        }
    }
}
