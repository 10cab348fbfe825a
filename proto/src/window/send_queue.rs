//! Numbered strings, kept until they are acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{MessageNumber, Sack};

/// Strings in the order of their numbers, each kept until a SACK names it. Not bounded by itself: the
/// caller looks at [`SendQueue::bytes`] and [`SendQueue::len`] before it pushes. A string that was
/// acknowledged past a gap gives its bytes back at once, but counts in `len` until the gap closes;
/// otherwise a peer that never acknowledges the first string could make the queue grow for ever.
#[derive(Debug, Clone, Default)]
pub struct SendQueue {
    /// Number of the first entry; all before it are acknowledged.
    base: MessageNumber,
    /// Entry `i` has the number `base + i`; `None` was acknowledged selectively. The first one holds a
    /// string.
    entries: VecDeque<Option<Bytes>>,
    /// Bytes of the strings held.
    bytes: usize,
}

/// A SACK named strings that were never queued. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SACK names strings that were never sent")]
pub struct AckedUnsent;

/// What a SACK freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// By how much [`SendQueue::len`] went down.
    pub messages: usize,
    /// By how much [`SendQueue::bytes`] went down.
    pub bytes: usize,
}

impl SendQueue {
    /// An empty queue whose first string gets the number 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty queue whose first string gets the number `next`; all before it count as acknowledged.
    pub fn starting_at(next: MessageNumber) -> Self {
        Self { base: next, ..Self::default() }
    }

    /// Queues a string and returns its number.
    pub fn push(&mut self, string: Bytes) -> MessageNumber {
        let number = self.next();
        self.bytes += string.len();
        self.entries.push_back(Some(string));
        number
    }

    /// Frees what the SACK names. Old and repeated SACKs are harmless.
    ///
    /// # Errors
    /// If it names a string that was never queued; nothing is freed then.
    pub fn apply(&mut self, sack: &Sack) -> Result<Freed, AckedUnsent> {
        let next = self.next();
        if sack.acked.iter().chain(&sack.beyond).any(|&number| number >= next) {
            return Err(AckedUnsent);
        }
        let (messages, bytes) = (self.len(), self.bytes);
        for &number in &sack.beyond {
            self.free(number);
        }
        while sack.acked.is_some_and(|acked| self.base <= acked)
            || self.entries.front() == Some(&None)
        {
            self.free(self.base);
            self.entries.pop_front();
            self.base += 1;
        }
        Ok(Freed { messages: messages - self.len(), bytes: bytes - self.bytes })
    }

    /// The strings from number `first` on that are not acknowledged, with their numbers.
    pub fn iter_from(&self, first: MessageNumber) -> impl Iterator<Item = (MessageNumber, &Bytes)> {
        let skip = usize::try_from(first.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let start = skip.min(self.entries.len());
        let numbers = (self.base.0 + start as u64..).map(MessageNumber);
        let entries = numbers.zip(self.entries.range(start..));
        entries.filter_map(|(number, entry)| entry.as_ref().map(|string| (number, string)))
    }

    /// The number that the next string will get.
    pub fn next(&self) -> MessageNumber {
        self.base + self.entries.len() as u64
    }

    /// The first number that is not acknowledged.
    pub fn base(&self) -> MessageNumber {
        self.base
    }

    /// Bytes of the strings that are not acknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many strings were queued from the first one on that is not acknowledged.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether every string is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives back the string of this number, if it is still held.
    fn free(&mut self, number: MessageNumber) {
        let offset = number.checked_sub(self.base).and_then(|offset| usize::try_from(offset).ok());
        let entry = offset.and_then(|offset| self.entries.get_mut(offset));
        if let Some(string) = entry.and_then(Option::take) {
            self.bytes -= string.len();
        }
    }
}
