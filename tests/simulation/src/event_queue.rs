//! The event queue of the discrete-event simulation: events by time, and in insertion order at the same time.

use std::collections::BTreeMap;

use crate::clock::Time;

/// Future events.
#[derive(Debug)]
pub(crate) struct EventQueue<E> {
    events: BTreeMap<(Time, u64), E>,
    inserted: u64,
}

impl<E> EventQueue<E> {
    pub(crate) fn new() -> Self {
        Self { events: BTreeMap::new(), inserted: 0 }
    }

    pub(crate) fn schedule(&mut self, at: Time, event: E) {
        self.inserted += 1;
        self.events.insert((at, self.inserted), event);
    }

    /// Removes the next event that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<E> {
        let first = self.events.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Time of the next event.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }
}
