//! Strings that arrive in any order, handed out in the order of their numbers.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{MessageNumber, Sack};

/// What a waiting string costs beside its bytes; the original server counts the same.
const STRING_OVERHEAD: usize = 30;

/// How much may wait behind a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Strings.
    pub messages: usize,
    /// Bytes, each string counted as its length plus 30.
    pub bytes: usize,
}

impl Default for WindowLimits {
    /// What every version-2 client may count on: 50 strings and 1 MiB.
    fn default() -> Self {
        Self { messages: 50, bytes: 1 << 20 }
    }
}

/// What became of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was here before.
    Duplicate,
    /// It waits for the ones before it.
    Waiting,
    /// It and perhaps some that waited for it can be taken with [`ReceiveWindow::pop`].
    Deliverable,
}

/// The string does not fit behind the gap. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more strings past a gap than the receive window holds")]
pub struct Overflow;

/// Puts strings in order. The limits are for what waits behind a gap; what is deliverable is not
/// counted, so the caller pops it, or stops receiving, before it receives more.
#[derive(Debug, Clone)]
pub struct ReceiveWindow {
    /// All strings below this number were received.
    next: MessageNumber,
    /// Received in order, not yet popped; their numbers end right before `next`.
    deliverable: VecDeque<Bytes>,
    /// Received past a gap: all numbers are above `next`.
    waiting: BTreeMap<MessageNumber, Bytes>,
    /// What `waiting` costs, as [`WindowLimits::bytes`] counts.
    waiting_bytes: usize,
    limits: WindowLimits,
}

impl ReceiveWindow {
    /// A window that has received nothing.
    pub fn new(limits: WindowLimits) -> Self {
        Self::starting_at(MessageNumber(0), limits)
    }

    /// A window that has received, and handed out, all strings below `next`.
    pub fn starting_at(next: MessageNumber, limits: WindowLimits) -> Self {
        let (deliverable, waiting) = (VecDeque::new(), BTreeMap::new());
        Self { next, deliverable, waiting, waiting_bytes: 0, limits }
    }

    /// Takes a string. The one that is next is always taken, whatever its size.
    ///
    /// # Errors
    /// If it would wait behind a gap and does not fit there.
    pub fn receive(&mut self, number: MessageNumber, message: Bytes) -> Result<Received, Overflow> {
        if number < self.next || self.waiting.contains_key(&number) {
            return Ok(Received::Duplicate);
        }
        if number == self.next {
            self.deliver(message);
            return Ok(Received::Deliverable);
        }
        let bytes = self.waiting_bytes.saturating_add(cost(&message));
        if self.waiting.len() >= self.limits.messages || bytes > self.limits.bytes {
            return Err(Overflow);
        }
        self.waiting_bytes = bytes;
        self.waiting.insert(number, message);
        Ok(Received::Waiting)
    }

    /// The next string in order, with its number.
    pub fn pop(&mut self) -> Option<(MessageNumber, Bytes)> {
        let number = MessageNumber(self.next.0 - self.deliverable.len() as u64);
        self.deliverable.pop_front().map(|string| (number, string))
    }

    /// The first number that was not received; all below it were.
    pub fn next(&self) -> MessageNumber {
        self.next
    }

    /// Everything received, popped or not.
    pub fn sack(&self) -> Sack {
        let beyond = self.waiting.keys().copied().collect();
        Sack { acked: self.next.previous(), beyond }
    }

    /// What waits behind a gap, in the order of its numbers.
    pub fn waiting(&self) -> impl Iterator<Item = (MessageNumber, &Bytes)> {
        self.waiting.iter().map(|(&number, string)| (number, string))
    }

    /// Takes the string that is next, and those that waited for it alone.
    fn deliver(&mut self, string: Bytes) {
        self.deliverable.push_back(string);
        self.next += 1;
        while let Some(string) = self.waiting.remove(&self.next) {
            self.waiting_bytes -= cost(&string);
            self.deliverable.push_back(string);
            self.next += 1;
        }
    }
}

fn cost(string: &Bytes) -> usize {
    string.len().saturating_add(STRING_OVERHEAD)
}
