//! State of the handler of one stream between its turns.

use std::collections::BTreeMap;

use minerva_proto::EventNumber;
use minerva_proto::app::Messages;

use crate::clock::Time;
use crate::event::{Event, Life};
use crate::network::Network;

/// A handler.
pub(super) struct Handler {
    pub(super) client: usize,
    /// Instance in the upper 32 bits, its life in the lower ones.
    pub(super) instance: u64,
    /// The event to answer; acknowledged with the answer.
    pub(super) answering: Option<EventNumber>,
    pub(super) has_ended: bool,
    /// Whether the handler has finished the stream: it sends no more.
    pub(super) is_finishing: bool,
    /// The first known claim tag of each received event.
    tags: BTreeMap<u64, u64>,
    /// Whether a turn is scheduled.
    pub(super) is_scheduled: bool,
    due: Time,
}

impl Handler {
    pub(super) fn new(client: usize, instance: u64) -> Self {
        Self {
            client,
            instance,
            answering: None,
            has_ended: false,
            is_finishing: false,
            tags: BTreeMap::new(),
            is_scheduled: false,
            due: 0,
        }
    }

    /// Notes events that the machine receives. Returns the first one that was received before under another tag.
    pub(super) fn receive(&mut self, messages: &Messages) -> Option<u64> {
        let Messages { first_event, tag, messages, .. } = messages;
        let events = (*first_event..).take(messages.len()).filter(|_| *tag != 0);
        let mut other = None;
        for event in events {
            if *self.tags.entry(event).or_insert(*tag) != *tag {
                other = other.or(Some(event));
            }
        }
        other
    }

    /// Whether the handler sends on its own, as half of the handlers do; the others send one answer per message.
    pub(super) fn is_sender(&self) -> bool {
        self.client % 2 == 1
    }

    /// Schedules a turn, unless an earlier one is scheduled.
    pub(super) fn schedule(
        &mut self,
        at: Time,
        app: usize,
        life: Life,
        stream: u64,
        net: &mut Network,
    ) {
        let at = at.max(net.now + 1);
        if !self.is_scheduled || self.due > at {
            (self.is_scheduled, self.due) = (true, at);
            net.events.schedule(at, Event::AppWorks { app, life, stream });
        }
    }
}
