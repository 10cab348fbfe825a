//! What a stream holds for the application: events with consecutive numbers, kept until acknowledged.
//! Started is event 0, string `n` of the client is event `n + 1`, Ended is the last.

use std::collections::VecDeque;

use bytes::Bytes;

use super::facts::Ended;

/// The inbox of one stream.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    /// First event that is not acknowledged.
    base: u64,
    /// The strings that are not acknowledged; the last one is event `next - 1`, before Ended.
    messages: VecDeque<Bytes>,
    /// Bytes of `messages`.
    bytes: usize,
    /// Number that the next string's event gets; 1 at first.
    next_message: u64,
    /// The last event.
    ended: Option<Ended>,
}

impl Inbox {
    /// The inbox of a new stream: Started waits in it.
    pub(super) fn new() -> Self {
        Self::restore(0, Vec::new(), 1, None)
    }

    /// An inbox from a checkpoint; `next_message` is the number behind the last string's event.
    pub(super) fn restore(
        base: u64,
        messages: Vec<Bytes>,
        next_message: u64,
        ended: Option<Ended>,
    ) -> Self {
        let bytes = messages.iter().map(Bytes::len).sum();
        Self { base, messages: messages.into(), bytes, next_message, ended }
    }

    /// First event that is not acknowledged.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Number that the next event gets.
    pub fn next(&self) -> u64 {
        self.next_message + u64::from(self.ended.is_some())
    }

    /// Bytes of the strings that are not acknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many strings are not acknowledged.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The string of an event, if it is one and not acknowledged.
    pub fn string(&self, event: u64) -> Option<&Bytes> {
        let first = self.next_message - self.messages.len() as u64;
        self.messages.get(usize::try_from(event.checked_sub(first)?).ok()?)
    }

    /// All strings that are not acknowledged, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.messages.iter()
    }

    /// How the stream ended, with the event's number.
    pub fn ended(&self) -> Option<(u64, &Ended)> {
        self.ended.as_ref().map(|ended| (self.next_message, ended))
    }

    /// The last event is acknowledged: nothing is left to be done.
    pub fn is_done(&self) -> bool {
        self.ended.is_some() && self.base == self.next()
    }

    pub(super) fn push(&mut self, string: Bytes) {
        self.bytes += string.len();
        self.next_message += 1;
        self.messages.push_back(string);
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// Frees all events up to `event`, which must be below `next`.
    pub(super) fn acknowledge(&mut self, event: u64) {
        self.base = self.base.max(event + 1);
        let kept =
            usize::try_from(self.next_message.saturating_sub(self.base)).unwrap_or(usize::MAX);
        while self.messages.len() > kept {
            if let Some(string) = self.messages.pop_front() {
                self.bytes -= string.len();
            }
        }
    }
}
