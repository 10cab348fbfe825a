//! Receive side of one stream: queues events for the handler in order, each once. Tracks the events delivered
//! on the current attachment, because only those can be acknowledged there. Pure; owned by the stream.

use std::collections::VecDeque;

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{EventNumber, Identity, MAX_MESSAGE, Message};

use super::error::ContractError;
use crate::event::{Ended, Event, Rejoin, TransportChange};

/// Most TransportChanged events queued for a slow handler; the oldest are dropped.
const MAX_CHANGES: usize = 64;
/// Most messages queued for a slow handler. Well above the inbox limit of any core, so only a core that
/// ignores acknowledgements reaches this bound.
const MAX_MESSAGES: usize = 65_536;

/// Messages with consecutive event numbers.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) first: EventNumber,
    pub(super) messages: Vec<Message>,
    /// Deliveries of these messages; `None` if unknown.
    pub(super) attempts: Option<u32>,
}

/// The queued events of one stream.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Number of the first event not received before. All events below have been queued or read.
    expected: EventNumber,
    /// All events below were delivered on this attachment or acknowledged before; at most `expected`.
    delivered: EventNumber,
    /// Events that the handler has not read.
    queue: VecDeque<Event>,
    /// Bytes of the messages in `queue`.
    bytes: usize,
    /// TransportChanged events in `queue`; at most [`MAX_CHANGES`].
    changes: usize,
}

impl Incoming {
    pub(super) fn starting_at(next_event: EventNumber) -> Self {
        // Event 0 is Started, which has been received by now.
        let next = next_event.max(EventNumber(1));
        Self { expected: next, delivered: next, queue: VecDeque::new(), bytes: 0, changes: 0 }
    }

    /// Starts a new attachment, on which the core delivers from `next_event` on; at most `expected`.
    pub(super) fn resume(&mut self, next_event: EventNumber) {
        self.delivered = next_event.max(EventNumber(1)).min(self.expected);
    }

    /// Number of the first event not received before.
    pub(super) fn expected(&self) -> EventNumber {
        self.expected
    }

    /// All events below this number can be acknowledged on this attachment.
    pub(super) fn delivered(&self) -> EventNumber {
        self.delivered
    }

    /// Queues messages. Returns whether any of them is new.
    ///
    /// # Errors
    /// If events before them are missing, or more than `window` bytes are unread.
    pub(super) fn on_messages(
        &mut self,
        Run { first, messages, attempts }: Run,
        window: usize,
    ) -> Result<bool, ContractError> {
        let end = self.check(first, messages.len())?;
        let new = end > self.expected;
        for (event, message) in (first.0..).map(EventNumber).zip(messages) {
            if event < self.expected && !mutation::is(Mutation::RepeatEvents) {
                continue;
            }
            // One message may exceed the window, so the maximal message length is added.
            if self.bytes > window + MAX_MESSAGE || self.queue.len() > MAX_MESSAGES {
                return Err(ContractError::Window);
            }
            self.bytes += message.len();
            self.expected = self.expected.max(event.next());
            self.queue.push_back(Event::Message { event, message, attempts });
        }
        self.delivered = self.delivered.max(end);
        Ok(new)
    }

    /// Queues a Rejoined event and returns whether the event is new.
    pub(super) fn on_rejoined(
        &mut self,
        event: EventNumber,
        rejoin: Rejoin,
    ) -> Result<bool, ContractError> {
        let end = self.check(event, 1)?;
        let new = end > self.expected;
        if new {
            if self.queue.len() > MAX_MESSAGES {
                return Err(ContractError::Window);
            }
            self.expected = end;
            self.queue.push_back(Event::Rejoined { event, rejoin: Box::new(rejoin) });
        }
        self.delivered = self.delivered.max(end);
        Ok(new)
    }

    /// Drops messages, of which the first is event `first`: the core has lost an event that was received before.
    ///
    /// # Errors
    /// If events before them are missing.
    pub(super) fn skip(&mut self, first: EventNumber, count: usize) -> Result<(), ContractError> {
        let end = self.check(first, count)?;
        self.expected = self.expected.max(end);
        self.delivered = self.delivered.max(end);
        Ok(())
    }

    /// Queues the last event and returns whether the event is new.
    pub(super) fn on_ended(
        &mut self,
        event: EventNumber,
        ended: Ended,
    ) -> Result<bool, ContractError> {
        let end = self.check(event, 1)?;
        let new = end > self.expected;
        if new {
            self.expected = end;
            self.queue.push_back(Event::Ended { event, ended });
        }
        self.delivered = self.delivered.max(end);
        Ok(new)
    }

    /// Ends the stream before events that were received already: the core has lost those events. The handler
    /// reads the end after them; the core gets an acknowledgement of the number it sent.
    pub(super) fn end_early(&mut self, event: EventNumber, ended: Ended) {
        self.queue.push_back(Event::Ended { event: self.expected, ended });
        self.expected = self.expected.next();
        self.delivered = event.saturating_add(1).min(self.expected);
    }

    pub(super) fn on_change(&mut self, change: TransportChange) {
        if self.changes == MAX_CHANGES {
            let oldest = self.queue.iter().position(|e| matches!(e, Event::TransportChanged(_)));
            oldest.and_then(|index| self.queue.remove(index));
        } else {
            self.changes += 1;
        }
        self.queue.push_back(Event::TransportChanged(change));
    }

    /// Queues the identity of a new token in place of an unread one.
    pub(super) fn on_renewed(&mut self, identity: Identity) {
        self.queue.retain(|event| !matches!(event, Event::Renewed { .. }));
        self.queue.push_back(Event::Renewed { identity: Box::new(identity) });
    }

    /// Takes the next event for the handler.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        match &event {
            Event::Message { message, .. } => self.bytes -= message.len(),
            Event::TransportChanged(_) => self.changes -= 1,
            Event::Rejoined { .. }
            | Event::Renewed { .. }
            | Event::Ended { .. }
            | Event::Released => {}
        }
        Some(event)
    }

    /// Drops all queued events, because no handler reads them.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
        self.changes = 0;
    }

    fn check(&self, first: EventNumber, count: usize) -> Result<EventNumber, ContractError> {
        if first > self.expected {
            return Err(ContractError::Gap);
        }
        first.checked_add(count as u64).ok_or(ContractError::Gap)
    }
}
