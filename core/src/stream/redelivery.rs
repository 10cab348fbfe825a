//! Count of app instances that died while events of a stream were in delivery.
//!
//! A death is recorded at once, so that the death of the core does not hide it; the return of the instance takes the
//! count back. The partition decides when and where a suspect stream is delivered again.

use minerva_proto::{EventNumber, Reset};

use super::Turn;
use super::end::FAILED;
use super::machine::Stream;
use crate::state::{Ended, EndedBy, Record, StreamState};

/// The deliveries before the current one, as far as they are not durable.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    change: Change,
    /// End of the events that were delivered to an earlier instance.
    end: EventNumber,
}

/// Change of the count since the last assignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Change {
    #[default]
    None,
    /// An instance died with unacknowledged events in delivery; the next assignment records the death.
    Died,
    /// The same, and the death is recorded.
    Recorded,
    /// The recorded death was none: the instance has returned. The next assignment takes the count back.
    Returned,
}

/// What the end of a session means for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unassigned {
    /// No event of this stream is the cause.
    Blameless,
    /// The instance died, and this stream may be the cause.
    Suspect,
    /// The same, but the instance has registered again, so that the next assignment follows at once.
    Replaced,
}

impl Redelivery {
    /// After a recovery every event may have been delivered.
    pub(super) fn recover(state: &StreamState) -> Self {
        let end = if state.redeliveries > 0 { state.inbox().next() } else { EventNumber(0) };
        Self { change: Change::None, end }
    }

    /// The next assignment is recorded.
    pub(super) fn on_recorded(&mut self) {
        self.change = Change::None;
    }

    /// First event after `event` that has another count of deliveries, if any.
    pub(super) fn boundary(&self, event: EventNumber) -> Option<EventNumber> {
        (event < self.end).then_some(self.end)
    }
}

impl Stream {
    /// The session ended, or the stream is withdrawn.
    pub fn on_unassigned(&mut self, why: Unassigned, turn: &mut Turn<'_>) {
        let Some(app) = self.app.take() else { return };
        if why == Unassigned::Blameless || self.state.inbox().base() >= app.delivered {
            return;
        }
        self.redelivery.change = Change::Died;
        self.redelivery.end = self.redelivery.end.max(app.delivered);
        if let (Unassigned::Suspect, Some(instance)) = (why, self.state.instance().cloned()) {
            let redeliveries = self.redeliveries();
            self.commit(Record::Assigned { instance, redeliveries }, turn);
            self.redelivery.change = Change::Recorded;
        }
    }

    /// App instances that died since the first unacknowledged event was delivered. 0 after an acknowledgement.
    pub fn redeliveries(&self) -> u32 {
        let recorded = self.state.redeliveries;
        match self.redelivery.change {
            Change::None | Change::Recorded => recorded,
            Change::Died => recorded.saturating_add(1),
            Change::Returned => recorded.saturating_sub(1),
        }
    }

    /// The instance of the ended session is alive and holds the stream: nothing is delivered again.
    pub(super) fn on_instance_returned(&mut self) {
        self.redelivery.change = match self.redelivery.change {
            Change::None | Change::Died => Change::None,
            Change::Recorded | Change::Returned => Change::Returned,
        };
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
