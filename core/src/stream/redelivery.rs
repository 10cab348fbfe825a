//! Count of app instances that died while events of a stream were in delivery.
//!
//! Used by assignments: the count of this file becomes durable with the next `Assigned` record. The partition decides
//! when and where a suspect stream is delivered again.

use minerva_proto::{EventNumber, Reset};

use super::Turn;
use super::end::FAILED;
use super::machine::Stream;
use crate::state::{Ended, EndedBy, Record, StreamState};

/// The deliveries before the current one, as far as they are not durable.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    /// An instance died since the last assignment, with unacknowledged events in delivery.
    has_died: bool,
    /// End of the events that were delivered to an earlier instance.
    end: EventNumber,
}

impl Redelivery {
    /// After a recovery every event may have been delivered.
    pub(super) fn recover(state: &StreamState) -> Self {
        let end = if state.redeliveries > 0 { state.inbox().next() } else { EventNumber(0) };
        Self { has_died: false, end }
    }

    /// The next assignment is recorded.
    pub(super) fn on_recorded(&mut self) {
        self.has_died = false;
    }

    /// First event after `event` that has another count of deliveries, if any.
    pub(super) fn boundary(&self, event: EventNumber) -> Option<EventNumber> {
        (event < self.end).then_some(self.end)
    }
}

impl Stream {
    /// The session ended, or the stream is withdrawn.
    ///
    /// `has_died`: the instance died, and this stream may be the cause.
    pub fn on_unassigned(&mut self, has_died: bool) {
        if let Some(app) = self.app.take().filter(|_| has_died)
            && self.state.inbox().base() < app.delivered
        {
            self.redelivery.has_died = true;
            self.redelivery.end = self.redelivery.end.max(app.delivered);
        }
    }

    /// App instances that died since the first unacknowledged event was delivered. 0 after an acknowledgement.
    pub fn redeliveries(&self) -> u32 {
        self.state.redeliveries.saturating_add(u32::from(self.redelivery.has_died))
    }

    /// The instance of the ended session is alive and holds the stream: nothing is delivered again.
    pub(super) fn on_instance_returned(&mut self) {
        self.redelivery.has_died = false;
    }

    /// Deliveries of the events from `event` on, the next one included: 1 for the first delivery.
    pub(super) fn attempts(&self, event: EventNumber) -> u32 {
        let is_again = self.redelivery.boundary(event).is_some();
        if is_again { self.redeliveries().saturating_add(1) } else { 1 }
    }

    /// Ends a stream at which too many instances died. The undelivered messages are dropped, so that the next instance
    /// receives the end alone. A stream whose end alone was delivered is forgotten.
    pub fn end_failed(&mut self, turn: &mut Turn<'_>) {
        self.redelivery = Redelivery::default();
        let inbox = self.state.inbox();
        let event = match inbox.ended() {
            Some((end, _)) if inbox.base() == end => Some(end),
            Some((end, _)) => end.previous(),
            None => inbox.next().previous(),
        };
        if let Some(event) = event.filter(|event| *event >= inbox.base()) {
            self.commit(Record::Acknowledged { event }, turn);
        }
        self.end(Ended { reset: Reset::new(FAILED, false), by: EndedBy::Core }, turn);
    }
}
