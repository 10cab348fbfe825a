//! Count of app instances that died while events of a stream were in delivery.
//!
//! A death is recorded at once, so that the death of the core does not hide it; the return of the instance takes the
//! count back. The partition decides when and where a suspect stream is delivered again.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{EventNumber, Reset};

use super::Turn;
use super::end::FAILED;
use super::machine::Stream;
use crate::state::{Ended, EndedBy, Record, StreamState};

/// Time from an assignment in which a death of the instance may be due to `Started`, which is not acknowledged.
pub const START_MS: u64 = 250;

/// Earlier deliveries and the suspicion against the stream.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    /// Deaths with the stream as the probable cause; not stored.
    suspicion: u32,
    last_death: LastDeath,
    /// End of the events that were delivered to an earlier instance.
    end: EventNumber,
}

/// The recorded death since the last assignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastDeath {
    #[default]
    None,
    Counted,
    /// The instance has returned: the next assignment takes the count back.
    Revoked,
}

/// The part of a stream in the end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    None,
    /// An instance died, and each stream in delivery may be the cause.
    Possible,
    /// An instance died with this stream among few suspects.
    Probable,
}

impl Redelivery {
    /// After a recovery every event may have been delivered, and each counted death was due to this stream.
    pub(super) fn recover(state: &StreamState) -> Self {
        let end = if state.redeliveries > 0 { state.inbox().next() } else { EventNumber(0) };
        Self { suspicion: state.redeliveries, last_death: LastDeath::None, end }
    }

    /// The next assignment is recorded.
    pub(super) fn on_recorded(&mut self) {
        self.last_death = LastDeath::None;
    }

    /// First event after `event` that has another count of deliveries, if any.
    pub(super) fn boundary(&self, event: EventNumber) -> Option<EventNumber> {
        (event < self.end).then_some(self.end)
    }
}

impl Stream {
    /// The session ended, or the stream is withdrawn.
    ///
    /// A death counts if the stream was in delivery: with unacknowledged events, or shortly after `Started`.
    pub fn on_unassigned(&mut self, blame: Blame, turn: &mut Turn<'_>) {
        let (Some(app), Some(instance)) = (self.app.take(), self.state.instance().cloned()) else {
            return;
        };
        let is_started = turn.now < app.assigned.after(START_MS);
        let is_in_delivery = is_started || self.state.inbox().base() < app.delivered;
        let is_ignored = mutation::is(Mutation::ForgetRedeliveries);
        if blame == Blame::None || !is_in_delivery || is_ignored {
            return;
        }
        let earlier = self.suspicion();
        let probable = earlier.saturating_add(u32::from(blame == Blame::Probable));
        self.redelivery.suspicion = probable.max(1);
        self.redelivery.last_death = LastDeath::Counted;
        self.redelivery.end = self.redelivery.end.max(app.delivered);
        let redeliveries = self.redeliveries().saturating_add(1);
        self.commit(Record::Assigned { instance, redeliveries }, turn);
    }

    /// App instances that died since the first unacknowledged event was delivered. 0 after an acknowledgement.
    pub fn redeliveries(&self) -> u32 {
        let returned = self.redelivery.last_death == LastDeath::Revoked;
        self.state.redeliveries.saturating_sub(u32::from(returned))
    }

    /// The deaths among the redeliveries that are probably due to this stream; at least 1 of any.
    pub fn suspicion(&self) -> u32 {
        self.redelivery.suspicion.min(self.redeliveries())
    }

    /// The instance of the ended session is alive and holds the stream: nothing is delivered again.
    pub(super) fn on_instance_returned(&mut self) {
        if self.redelivery.last_death == LastDeath::Counted {
            self.redelivery.last_death = LastDeath::Revoked;
        }
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
