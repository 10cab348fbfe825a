//! The end of a stream: once, with one reason for both sides.

use minerva_proto::Reset;
use minerva_proto::link::CloseCause;

use super::machine::Stream;
use super::{AppOutput, Millis, Turn};
use crate::state::{Ended, EndedBy, Record};

/// Reset reason after the idle limit; the same text as in the original server.
pub(crate) const IDLE: &str = "no activity from peer";
/// Reset reason of a stream at which too many app instances died.
pub(crate) const FAILED: &str = "application failed";
/// Reset reason of a connected client that acknowledges nothing.
pub(crate) const SLOW: &str = "slow client";
/// Reset reason after the limit for acknowledgements of the application.
pub(crate) const SILENT: &str = "application timeout";
/// Reset reason of a stream of an address above its budget while memory is short.
pub(crate) const ABOVE_BUDGET: &str = "too much unacknowledged data of this address";

impl Stream {
    /// Ends the stream and all transports. No effect on an ended stream.
    ///
    /// A client that resets the stream needs no Reset in answer: as in the original server, all transports end gently.
    pub(super) fn end(&mut self, ended: Ended, turn: &mut Turn<'_>) {
        if self.state.is_ended() {
            return;
        }
        // A reset carries no SACK.
        self.flush_batch_ack(turn);
        for key in self.transports.keys(|_| true) {
            if ended.by == EndedBy::Client {
                self.close(key, CloseCause::Gentle, turn);
            } else {
                self.close_bare(key, CloseCause::Reset(ended.reset.clone()), turn);
            }
        }
        self.commit(Record::Ended(ended), turn);
        self.ended_at = turn.now;
        if self.services.take().is_some() {
            // A stream without a service has no application that could acknowledge the end.
            self.acknowledge_end(turn);
        }
    }

    /// Ends the stream, because memory is short and its address is above the budget.
    pub fn end_above_budget(&mut self, turn: &mut Turn<'_>) {
        self.end(Ended { reset: Reset::new(ABOVE_BUDGET, false), by: EndedBy::Core }, turn);
    }

    /// Gives up an end that the application has not acknowledged in time.
    pub(super) fn forget_end(&mut self, turn: &mut Turn<'_>) {
        if self.acknowledge_end(turn)
            && let Some(session) = self.session()
        {
            turn.effects.app(session, AppOutput::Released { stream: self.number });
        }
    }

    /// Frees an ended stream of this owner that no instance ever had; the caller has decided that none is to come.
    ///
    /// Returns false if the stream is another one.
    pub fn free_unserved(&mut self, turn: &mut Turn<'_>) -> bool {
        self.may_be_unserved() && self.acknowledge_end(turn)
    }

    /// Returns true for an ended stream of this owner that no instance ever had.
    pub fn may_be_unserved(&self) -> bool {
        // An earlier owner may have known an instance of the service.
        !self.may_be_outdated
            && self.state.is_ended()
            && !self.state.inbox().is_done()
            && !self.state.was_assigned()
    }

    /// The time at which the client has reset the stream, if it has.
    pub fn reset_by_client_at(&self) -> Option<Millis> {
        let (_, ended) = self.state.inbox().ended()?;
        (ended.by == EndedBy::Client).then_some(self.ended_at)
    }

    fn acknowledge_end(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some((event, _)) = self.state.inbox().ended() else { return false };
        self.commit(Record::Acknowledged { event }, turn);
        true
    }
}
