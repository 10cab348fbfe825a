//! The receive window: accepts messages in any order and delivers them in the order of their numbers.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{MessageNumber, Sack};

/// Overhead of a waiting message beyond its length, in bytes, as in the original server.
const MESSAGE_OVERHEAD: usize = 30;

/// Limits of the messages that wait beyond a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Number of messages.
    pub messages: usize,
    /// Bytes; each message counts as its length plus 30.
    pub bytes: usize,
}

impl Default for WindowLimits {
    /// The minimum that version 2 guarantees to clients: 50 messages and 1 MiB.
    fn default() -> Self {
        Self { messages: 50, bytes: 1 << 20 }
    }
}

/// The outcome of an accepted or duplicate message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The message was received before.
    Duplicate,
    /// The message waits beyond a gap.
    Waiting,
    /// The message closed a gap or had none: [`ReceiveWindow::pop`] returns at least one message.
    Deliverable,
}

/// The message does not fit into the window beyond the gap; the window is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more messages beyond a gap than the receive window holds")]
pub struct WindowOverflowError;

/// Puts messages in order. The limits apply to messages beyond a gap. Deliverable messages are not counted: the caller
/// pops them, or stops receiving. A message is of type `M`: its bytes, or a payload with the kind.
#[derive(Debug, Clone)]
pub struct ReceiveWindow<M = Bytes> {
    /// The first missing number: all messages below were received.
    next: MessageNumber,
    /// Messages in order, not popped yet; the last one has the number `next - 1`.
    deliverable: VecDeque<M>,
    /// Messages beyond a gap; all numbers are above `next`.
    waiting: BTreeMap<MessageNumber, M>,
    /// Size of `waiting`, counted like [`WindowLimits::bytes`].
    waiting_bytes: usize,
    limits: WindowLimits,
}

impl<M: AsRef<[u8]>> ReceiveWindow<M> {
    /// An empty window that starts at message 0.
    pub fn new(limits: WindowLimits) -> Self {
        Self::starting_at(MessageNumber(0), limits)
    }

    /// An empty window that starts at `next`; all messages below count as received and popped.
    pub fn starting_at(next: MessageNumber, limits: WindowLimits) -> Self {
        let (deliverable, waiting) = (VecDeque::new(), BTreeMap::new());
        Self { next, deliverable, waiting, waiting_bytes: 0, limits }
    }

    /// Receives a message. The next message in order is accepted regardless of size.
    ///
    /// # Errors
    /// If the message is beyond a gap and exceeds the limits.
    pub fn receive(
        &mut self,
        number: MessageNumber,
        message: M,
    ) -> Result<Received, WindowOverflowError> {
        if number < self.next || self.waiting.contains_key(&number) {
            return Ok(Received::Duplicate);
        }
        if number == self.next {
            self.deliver(message);
            return Ok(Received::Deliverable);
        }
        let bytes = self.waiting_bytes.saturating_add(cost(&message));
        if self.waiting.len() >= self.limits.messages || bytes > self.limits.bytes {
            return Err(WindowOverflowError);
        }
        self.waiting_bytes = bytes;
        self.waiting.insert(number, message);
        Ok(Received::Waiting)
    }

    /// Removes the next message in order, with its number.
    pub fn pop(&mut self) -> Option<(MessageNumber, M)> {
        let number = MessageNumber(self.next.0 - self.deliverable.len() as u64);
        self.deliverable.pop_front().map(|message| (number, message))
    }

    /// The first missing number; all messages below were received.
    pub fn next(&self) -> MessageNumber {
        self.next
    }

    /// Size of the messages beyond a gap, counted like [`WindowLimits::bytes`].
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The SACK of all received messages, popped or not.
    pub fn sack(&self) -> Sack {
        let beyond = self.waiting.keys().copied().collect();
        Sack { acked: self.next.previous(), beyond }
    }

    /// The messages beyond a gap, in ascending order of their numbers.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = (MessageNumber, &M)> {
        self.waiting.iter().map(|(&number, message)| (number, message))
    }

    /// Delivers the next message in order, and the waiting messages up to the next gap.
    fn deliver(&mut self, message: M) {
        self.deliverable.push_back(message);
        self.next += 1;
        while let Some(message) = self.waiting.remove(&self.next) {
            self.waiting_bytes -= cost(&message);
            self.deliverable.push_back(message);
            self.next += 1;
        }
    }
}

fn cost(message: &impl AsRef<[u8]>) -> usize {
    message.as_ref().len().saturating_add(MESSAGE_OVERHEAD)
}
