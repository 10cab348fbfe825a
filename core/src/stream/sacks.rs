//! SACKs of s2c messages, and which messages must be written again.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{MessageNumber, ReceivedTags, Sack};

use super::Turn;
use super::machine::Stream;
use crate::state::Record;

impl Stream {
    /// Applies a SACK of s2c messages; `tags` are those with which the client has received messages.
    ///
    /// Returns false if the SACK names messages that were never written, or were written by another owner.
    pub(super) fn recv_sack(
        &mut self,
        sack: Sack,
        tags: &ReceivedTags,
        turn: &mut Turn<'_>,
    ) -> bool {
        self.last_sack = sack;
        let sack = &self.last_sack;
        if !self.could_have_received(sack) || !self.agrees_with(tags, Some(sack)) {
            return false;
        }
        let news = self.state.outbox().newly_acked(&self.comparable(tags, sack));
        if let Some(news) = news {
            self.commit(Record::Sacked(news), turn);
            self.slow_client.on_progress(turn.now);
        }
        self.retransmit_missing();
        true
    }

    /// Schedules the messages that were presumed to be received and that the last SACK does not name.
    fn retransmit_missing(&mut self) {
        let (from, presumed) = (self.state.outbox().base(), std::mem::take(&mut self.presumed_end));
        let last_beyond = self.last_sack.beyond.iter().max();
        let Some(primary) = self.transports.primary_mut() else { return };
        // A transport delivers in order, so the messages in the gap were not written to this one.
        let resumed = last_beyond.map_or(MessageNumber(0), |last| primary.resumed_end.min(*last));
        if last_beyond.is_some() || from >= primary.resumed_end {
            primary.resumed_end = MessageNumber(0);
        }
        let to = presumed.max(resumed);
        if from < to {
            let from = primary.retransmit.map_or(from, |(first, _)| first.min(from));
            primary.retransmit = Some((from, to));
        }
    }

    /// The first message that a new primary transport writes.
    pub(super) fn first_to_write(&self) -> MessageNumber {
        if mutation::is(Mutation::ForgetUnacked) {
            return self.state.outbox().next();
        }
        self.state.outbox().base().max(self.presumed_end)
    }
}
