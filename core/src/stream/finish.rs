//! The end behind the outbox: an application has finished the stream, which ends once the client has acknowledged all
//! messages.
//!
//! ```text
//!         on_finish                 the outbox is empty
//!   open ───────────> finishing ──────────────────────────> ended by the application
//!                         │ reset by a side, idle limit, slow client
//!                         └──────────────────────────────> ended at once
//! ```

use std::sync::Arc;

use minerva_proto::Reset;
use minerva_proto::mutation::{self, Mutation};

use super::machine::Stream;
use super::{SessionId, Turn};
use crate::state::{Ended, EndedBy, Record};

/// Reset reason of a finished stream, unless the application gives another one.
pub(crate) const FINISHED: &str = "finished";

impl Stream {
    /// The instance finishes the stream. The first reason counts.
    ///
    /// While a live core reads an older stored version, the finish is kept in memory only. The instance repeats the
    /// finish after each Started.
    pub fn on_finish(&mut self, session: SessionId, reason: Arc<str>, turn: &mut Turn<'_>) {
        let is_late = self.state.is_ended() || self.state.is_finishing();
        if is_late || !self.is_assigned_to(session) {
            return;
        }
        let reason = if reason.is_empty() { FINISHED.into() } else { reason };
        let record = Record::Finishing { reason };
        if turn.stores_finish {
            self.commit(record, turn);
        } else if let Err(inconsistent) = self.state.apply(&record, turn.tag) {
            debug_assert!(false, "{inconsistent}");
        }
    }

    /// Ends a finished stream if the client has acknowledged all messages.
    pub(super) fn end_if_drained(&mut self, turn: &mut Turn<'_>) {
        let is_drained = self.state.outbox().is_empty() || mutation::is(Mutation::FinishDropsTail);
        let finish = self.state.attributes().finish.as_ref().filter(|_| is_drained);
        let Some(reason) = finish.filter(|_| !self.state.is_ended()) else { return };
        let reset = Reset::new(reason.as_ref(), true);
        self.end(Ended { reset, by: EndedBy::App }, turn);
    }
}
