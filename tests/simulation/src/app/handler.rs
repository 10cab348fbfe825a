//! What the handler of one stream remembers between its turns.

use minerva_proto::EventNumber;

use crate::agenda::Time;
use crate::event::{Event, Life};
use crate::network::Network;

/// The handler of one stream.
pub(super) struct Handler {
    pub(super) client: usize,
    /// Which life of which instance it belongs to.
    pub(super) instance: u64,
    /// The event that is being answered; it is acknowledged when the answer is sent.
    pub(super) answering: Option<EventNumber>,
    pub(super) has_ended: bool,
    /// It is on the agenda.
    pub(super) is_waiting: bool,
    due: Time,
}

impl Handler {
    pub(super) fn new(client: usize, instance: u64) -> Self {
        let (answering, has_ended, is_waiting, due) = (None, false, false, 0);
        Self { client, instance, answering, has_ended, is_waiting, due }
    }

    /// Half of the handlers send by themselves; the others send one string for each that they get.
    pub(super) fn pushes(&self) -> bool {
        self.client % 2 == 1
    }

    /// Puts it on the agenda, unless it is there for an earlier time.
    pub(super) fn wait_until(
        &mut self,
        at: Time,
        app: usize,
        life: Life,
        stream: u64,
        net: &mut Network,
    ) {
        let at = at.max(net.now + 1);
        if !self.is_waiting || self.due > at {
            (self.is_waiting, self.due) = (true, at);
            net.agenda.put(at, Event::AppWorks { app, life, stream });
        }
    }
}
