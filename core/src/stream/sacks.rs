//! SACKs of s2c messages, and which messages must be written again.

use std::borrow::Cow;

use minerva_proto::link::Attach;
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{MessageNumber, ReceivedTags, Sack};

use super::Turn;
use super::machine::Stream;
use crate::state::Record;

impl Stream {
    /// Applies a SACK of s2c messages; `tags` are those with which the client has received messages.
    ///
    /// Returns false if the SACK names messages that the client cannot have. Without a loss of the store, the valid part
    /// of such a SACK is applied, as by the original server.
    pub(super) fn recv_sack(
        &mut self,
        sack: Sack,
        tags: &ReceivedTags,
        turn: &mut Turn<'_>,
    ) -> bool {
        self.last_sack = sack;
        let sack = &self.last_sack;
        let is_valid = self.could_have_received(sack);
        if !self.agrees_with(tags, Some(sack)) || (!is_valid && self.may_be_outdated) {
            return false;
        }
        let valid = if is_valid { Cow::Borrowed(sack) } else { Cow::Owned(self.valid_part(sack)) };
        let news = self.state.outbox().newly_acked(&self.comparable(tags, &valid));
        if let Some(end) = end_of(&valid) {
            // The client has these messages, written or not.
            self.written_end = self.written_end.max(end);
        }
        self.note_received(valid.acked);
        if let Some(news) = news {
            self.commit(Record::Sacked(news), turn);
            self.slow_client.on_progress(turn.now);
        }
        self.retransmit_missing();
        is_valid
    }

    /// The part of a SACK that names queued messages.
    fn valid_part(&self, sack: &Sack) -> Sack {
        let next = self.state.outbox().next();
        let beyond = sack.beyond.iter().copied().filter(|&number| number < next).collect();
        Sack { acked: sack.acked.min(next.previous()), beyond }
    }

    /// Schedules the messages that the last SACK does not name, if some of them were presumed to be received.
    ///
    /// As by the original server, the messages that were written to this transport since are written again.
    fn retransmit_missing(&mut self) {
        let (from, presumed) = (self.first_missing(), std::mem::take(&mut self.presumed_end));
        let last_beyond = self.last_sack.beyond.iter().max();
        let Some(primary) = self.transports.primary_mut() else { return };
        // A transport delivers in order, so the messages in the gap were not written to this one.
        let resumed = last_beyond.map_or(MessageNumber(0), |last| primary.resumed_end.min(*last));
        if last_beyond.is_some() || from >= primary.resumed_end {
            primary.resumed_end = MessageNumber(0);
        }
        let written = if presumed > MessageNumber(0) { primary.cursor } else { presumed };
        let to = written.max(resumed);
        if from < to {
            let from = primary.retransmit.map_or(from, |(first, _)| first.min(from));
            primary.retransmit = Some((from, to));
        }
    }

    /// The first message that a new primary transport writes.
    pub(super) fn first_to_write(&self, attach: &Attach) -> MessageNumber {
        if mutation::is(Mutation::ForgetUnacked) {
            return self.state.outbox().next();
        }
        self.start_of(attach).max(self.presumed_end)
    }
}

/// The end of the messages that a SACK names; `None` for no message.
fn end_of(sack: &Sack) -> Option<MessageNumber> {
    sack.acked.iter().chain(&sack.beyond).max().map(|last| last.next())
}
