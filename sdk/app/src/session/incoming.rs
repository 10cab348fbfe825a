//! What one stream's handler receives: events in order, each once. Drops what was seen before; knows
//! which of them were delivered at the stream's home, since no others may be acknowledged there. Pure; called by the
//! stream's state only.

use std::collections::VecDeque;

use bytes::Bytes;
use minerva_proto::MAX_MESSAGE;
use minerva_proto::mutation::{self, Mutation};

use super::ContractError;
use crate::event::{Ended, Event, TransportChange};

/// TransportChanged events kept for a handler that does not read; the oldest are left out.
const MAX_CHANGES: usize = 64;
/// Strings kept for a handler that does not read: well above any core's inbox limit, reached only if a
/// core delivers without regard to acknowledgements.
const MAX_MESSAGES: usize = 65_536;

/// The events of one stream.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Number of the next event not seen before; all below were queued for the handler or given to it.
    expected: u64,
    /// All events below were delivered at this home or acknowledged before; at most `expected`.
    delivered: u64,
    /// What the handler has not read.
    queue: VecDeque<Event>,
    /// Bytes of the strings in `queue`.
    bytes: usize,
    /// TransportChanged events in `queue`; at most [`MAX_CHANGES`].
    changes: usize,
}

impl Incoming {
    pub(super) fn starting_at(next_event: u64) -> Self {
        // Event 0 is Started itself: here it is.
        let next = next_event.max(1);
        Self { expected: next, delivered: next, queue: VecDeque::new(), bytes: 0, changes: 0 }
    }

    /// A new home, where the core goes on at `next_event`, which is at most `expected`.
    pub(super) fn resume(&mut self, next_event: u64) {
        self.delivered = next_event.max(1).min(self.expected);
    }

    /// Number of the next event not seen before.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// All events below may be acknowledged at this home.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Takes strings of which the first is event `first`; gives whether there was a new one.
    ///
    /// # Errors
    /// If events are missing before them, or the handler has more than `window` bytes to read already.
    pub(super) fn on_strings(
        &mut self,
        first: u64,
        messages: Vec<Bytes>,
        window: usize,
    ) -> Result<bool, ContractError> {
        let end = self.check(first, messages.len())?;
        let new = end > self.expected;
        for (event, string) in (first..).zip(messages) {
            if event < self.expected && !mutation::is(Mutation::RepeatEvents) {
                continue;
            }
            // One string may pass the window, in which case its length is the only bound.
            if self.bytes > window + MAX_MESSAGE || self.queue.len() > MAX_MESSAGES {
                return Err(ContractError::Window);
            }
            self.bytes += string.len();
            self.expected = self.expected.max(event + 1);
            self.queue.push_back(Event::String { event, string });
        }
        self.delivered = self.delivered.max(end);
        Ok(new)
    }

    /// Takes the last event; gives whether it is new.
    pub(super) fn on_ended(&mut self, event: u64, ended: Ended) -> Result<bool, ContractError> {
        let end = self.check(event, 1)?;
        let new = end > self.expected;
        if new {
            self.expected = end;
            self.queue.push_back(Event::Ended { event, ended });
        }
        self.delivered = self.delivered.max(end);
        Ok(new)
    }

    /// Takes an end that comes before events which were seen: the core has lost those. The handler gets it behind
    /// them; the core is to hear of its own number.
    pub(super) fn end_short(&mut self, event: u64, ended: Ended) {
        self.queue.push_back(Event::Ended { event: self.expected, ended });
        self.expected += 1;
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

    /// The next event for the handler.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        match &event {
            Event::String { string, .. } => self.bytes -= string.len(),
            Event::TransportChanged(_) => self.changes -= 1,
            Event::Ended { .. } | Event::Released => {}
        }
        Some(event)
    }

    /// Nobody reads any more.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
        self.changes = 0;
    }

    fn check(&self, first: u64, count: usize) -> Result<u64, ContractError> {
        if first > self.expected {
            return Err(ContractError::Gap);
        }
        first.checked_add(count as u64).ok_or(ContractError::Gap)
    }
}
