//! The inbox of a stream: numbered events for the application, kept until acknowledged.
//!
//! Started is event 0. Message `n` of the client is event `n + 1`, less one if message 0 selected the service. Ended
//! is the last event. In version 3 a Rejoined event may follow any event, and skipped numbers are no events.

use std::collections::VecDeque;
use std::sync::Arc;

use minerva_proto::{EventNumber, Payload};

use super::facts::Ended;
use super::session::{NumberedRejoin, Rejoin};

/// The inbox of one stream.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    /// First unacknowledged event.
    base: EventNumber,
    /// Unacknowledged messages; the last one is event `next_message - 1`.
    messages: VecDeque<Payload>,
    /// Unacknowledged Rejoined events; each has an empty placeholder in `messages`.
    rejoins: VecDeque<NumberedRejoin>,
    /// Bytes of `messages` and `rejoins`.
    bytes: usize,
    /// Event number of the next message, from 1.
    next_message: EventNumber,
    /// The last event.
    ended: Option<Ended>,
}

impl Inbox {
    /// The inbox of a new stream, with Started unacknowledged.
    pub(super) fn new() -> Self {
        Self::restore(EventNumber(0), (Vec::new(), Vec::new()), EventNumber(1), None)
    }

    /// An inbox from a checkpoint. `next_message` is the event number after the last message.
    pub(super) fn restore(
        base: EventNumber,
        (messages, rejoins): (Vec<Payload>, Vec<NumberedRejoin>),
        next_message: EventNumber,
        ended: Option<Ended>,
    ) -> Self {
        let of_rejoins = rejoins.iter().map(|(_, rejoin)| rejoin.size());
        let bytes = messages.iter().map(Payload::len).chain(of_rejoins).sum();
        Self {
            base,
            messages: messages.into(),
            rejoins: rejoins.into(),
            bytes,
            next_message,
            ended,
        }
    }

    /// First unacknowledged event.
    pub fn base(&self) -> EventNumber {
        self.base
    }

    /// Number of the next event.
    pub fn next(&self) -> EventNumber {
        self.next_message + u64::from(self.ended.is_some())
    }

    /// Bytes of the unacknowledged messages and Rejoined events.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of unacknowledged messages and Rejoined events.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The message of an event; `None` if the event is not a message or is acknowledged.
    pub fn message(&self, event: EventNumber) -> Option<&Payload> {
        if self.rejoin(event).is_some() {
            return None;
        }
        let first = EventNumber(self.next_message.0 - self.messages.len() as u64);
        self.messages.get(usize::try_from(event.checked_sub(first)?).ok()?)
    }

    /// The content of an unacknowledged Rejoined event.
    pub fn rejoin(&self, event: EventNumber) -> Option<&Arc<Rejoin>> {
        self.rejoins.iter().find(|(number, _)| *number == event).map(|(_, rejoin)| rejoin)
    }

    /// The unacknowledged Rejoined events in order.
    pub(crate) fn rejoins(&self) -> impl ExactSizeIterator<Item = &NumberedRejoin> {
        self.rejoins.iter()
    }

    /// The unacknowledged messages in order, with an empty placeholder for each Rejoined event.
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

    pub(super) fn push_rejoin(&mut self, rejoin: Arc<Rejoin>) {
        self.bytes += rejoin.size();
        self.rejoins.push_back((self.next_message, rejoin));
        self.push(Payload::default());
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
        while self.rejoins.front().is_some_and(|(number, _)| *number < self.base) {
            if let Some((_, rejoin)) = self.rejoins.pop_front() {
                self.bytes -= rejoin.size();
            }
        }
    }
}
