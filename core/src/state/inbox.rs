//! The inbox of a stream: numbered events for the application, kept until acknowledged.
//!
//! Started is event 0. Message `n` of the client is event `n + 1`, less one if message 0 selected the service. Ended
//! is the last event.

use std::collections::VecDeque;

use minerva_proto::{EventNumber, Payload};

use super::facts::Ended;

/// The inbox of one stream.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    /// First unacknowledged event.
    base: EventNumber,
    /// Unacknowledged messages; the last one is event `next_message - 1`.
    messages: VecDeque<Payload>,
    /// Bytes of `messages`.
    bytes: usize,
    /// Event number of the next message, from 1.
    next_message: EventNumber,
    /// The last event.
    ended: Option<Ended>,
}

impl Inbox {
    /// The inbox of a new stream, with Started unacknowledged.
    pub(super) fn new() -> Self {
        Self::restore(EventNumber(0), Vec::new(), EventNumber(1), None)
    }

    /// An inbox from a checkpoint. `next_message` is the event number after the last message.
    pub(super) fn restore(
        base: EventNumber,
        messages: Vec<Payload>,
        next_message: EventNumber,
        ended: Option<Ended>,
    ) -> Self {
        let bytes = messages.iter().map(Payload::len).sum();
        Self { base, messages: messages.into(), bytes, next_message, ended }
    }

    /// First unacknowledged event.
    pub fn base(&self) -> EventNumber {
        self.base
    }

    /// Number of the next event.
    pub fn next(&self) -> EventNumber {
        self.next_message + u64::from(self.ended.is_some())
    }

    /// Bytes of the unacknowledged messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of unacknowledged messages.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The message of an event; `None` if the event is not a message or is acknowledged.
    pub fn message(&self, event: EventNumber) -> Option<&Payload> {
        let first = EventNumber(self.next_message.0 - self.messages.len() as u64);
        self.messages.get(usize::try_from(event.checked_sub(first)?).ok()?)
    }

    /// The unacknowledged messages in order.
    pub fn iter(&self) -> impl Iterator<Item = &Payload> {
        self.messages.iter()
    }

    /// The end of the stream with its event number.
    pub fn ended(&self) -> Option<(EventNumber, &Ended)> {
        self.ended.as_ref().map(|ended| (self.next_message, ended))
    }

    /// Whether Ended is acknowledged, so that the stream can be removed.
    pub fn is_done(&self) -> bool {
        self.ended.is_some() && self.base == self.next()
    }

    pub(super) fn push(&mut self, message: Payload) {
        self.bytes += message.len();
        self.next_message += 1;
        self.messages.push_back(message);
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// Removes all events up to `event`, which must be below `next`.
    pub(super) fn acknowledge(&mut self, event: EventNumber) {
        self.base = self.base.max(event.next());
        let kept =
            usize::try_from(self.next_message.saturating_sub(self.base)).unwrap_or(usize::MAX);
        while self.messages.len() > kept {
            if let Some(message) = self.messages.pop_front() {
                self.bytes -= message.len();
            }
        }
    }
}
