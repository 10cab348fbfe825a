//! What is going to happen, in the order of its time; what is due at one time, in the order in which it was
//! put down.

use std::collections::BTreeMap;

use crate::event::Event;

/// Virtual milliseconds since the run began.
pub(crate) type Time = u64;

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(Time, u64), Event>,
    put: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Time, event: Event) {
        self.put += 1;
        self.events.insert((at, self.put), event);
    }

    /// The next event that is due.
    pub(crate) fn take(&mut self, now: Time) -> Option<Event> {
        let first = self.events.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// When the next event is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }
}
