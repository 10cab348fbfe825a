//! Detection of a store rollback by the reports of clients and edges.
//!
//! A recovered stream with fewer messages than the peers report has lost acknowledged writes. Such a stream ends, so
//! that both sides learn of the loss.

use minerva_proto::link::{Attach, Resume};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{MessageNumber, Reset, Sack};

use super::Turn;
use super::machine::Stream;
use crate::state::{Ended, EndedBy, STATE_LOST};

impl Stream {
    /// Returns true if a hello or a resumption proves that the store lost acknowledged writes of this stream.
    ///
    /// A stream that this owner created has lost nothing; a wrong report is then an error of the client.
    pub(super) fn store_lost_writes(&self, attach: &Attach) -> bool {
        let seen = &attach.seen_ack;
        self.is_recovered
            && (seen.acked > self.state.sack().acked
                || mutation::is(Mutation::ResetWithoutProof)
                    && seen.acked.is_some()
                    && seen.acked == self.state.sack().acked
                || seen.beyond.iter().any(|&number| !self.state.has_received(number))
                || attach.sack.as_ref().is_some_and(|sack| !self.could_have_received(sack))
                || attach.resume.is_some_and(|resume| self.lacks_written(resume)))
    }

    /// Returns true if an edge has written a message that this stream does not have, or has from another claim.
    ///
    /// After a rollback the numbers of lost messages are assigned again, under another claim tag.
    fn lacks_written(&self, resume: Resume) -> bool {
        let Some(next) = resume.next_s2c else { return false };
        let own = next.previous().and_then(|last| self.state.tag_of_sent(last));
        let has_other_tag = resume.tag.is_known() && own.is_some_and(|own| own != resume.tag);
        next > self.written_end || has_other_tag
    }

    /// Returns true if the client can have received all s2c messages that a SACK names.
    ///
    /// The number of a queued message is no proof: the numbers of lost messages are assigned again.
    pub(super) fn could_have_received(&self, sack: &Sack) -> bool {
        let next = self.state.outbox().next();
        let end = if mutation::is(Mutation::TrustNumbers) { next } else { self.written_end };
        sack.acked.iter().chain(&sack.beyond).all(|&number| number < end)
    }

    /// The first s2c message that neither this owner nor an earlier one has written; `None` if all were written.
    pub fn unwritten_from(&self) -> Option<MessageNumber> {
        (self.written_end < self.state.outbox().next()).then_some(self.written_end)
    }

    /// The earlier owner wrote no message from this number on.
    pub fn set_unwritten_from(&mut self, from: MessageNumber) {
        self.written_end = self.written_end.min(from);
    }

    /// Returns true if the stream ended because the store lost a part of the state.
    pub fn is_lost(&self) -> bool {
        self.state.inbox().ended().is_some_and(|(_, ended)| ended.is_loss())
    }

    /// Ends the stream with `state lost`; returns the reset.
    pub(super) fn end_lost(&mut self, turn: &mut Turn<'_>) -> Reset {
        let reset = Reset::new(STATE_LOST, false);
        self.end(Ended { reset: reset.clone(), by: EndedBy::Core }, turn);
        reset
    }
}
