//! Detection of a store rollback by the reports of clients and edges.
//!
//! A recovered stream with fewer messages than the peers report has lost acknowledged writes. Such a stream ends, so
//! that both sides learn of the loss.

use std::borrow::Cow;

use minerva_proto::link::{Attach, CreatedStream, Resume};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClaimTag, MessageNumber, ReceivedTags, Reset, Sack};

use super::Turn;
use super::held::differ;
use super::machine::Stream;
use crate::state::{Ended, EndedBy, STATE_LOST};

/// The peer whose report shows that a stream lost acknowledged writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LossReporter {
    /// The client, which can invent numbers and tags: decides about the own stream only.
    Client,
    /// An edge or an app instance: proves a rollback of the partition.
    Server,
}

impl Stream {
    /// Returns true if a hello or a resumption proves that the store lost acknowledged writes of this stream.
    ///
    /// A stream that this owner created has lost nothing; a wrong report is then an error of the client.
    pub(super) fn store_lost_writes(&self, attach: &Attach) -> bool {
        let seen = &attach.seen_ack;
        self.may_be_outdated
            && (seen.acked > self.state.sack().acked
                || mutation::is(Mutation::ResetWithoutProof)
                    && seen.acked.is_some()
                    && seen.acked == self.state.sack().acked
                || seen.beyond.iter().any(|&number| !self.state.has_received(number))
                || attach.sack.as_ref().is_some_and(|sack| !self.could_have_received(sack))
                || attach.resume.is_some_and(|resume| self.lacks_written(resume))
                || !self.agrees_with(&attach.tag_history, attach.sack.as_ref()))
    }

    /// The reporter of the loss that a hello or a resumption shows.
    pub(super) fn loss_reporter(&self, attach: &Attach) -> LossReporter {
        match attach.resume {
            Some(resume) if self.may_be_outdated && self.lacks_written(resume) => {
                LossReporter::Server
            }
            _ => LossReporter::Client,
        }
    }

    /// Takes the proofs that an earlier owner has written messages: an equal tag proves an equal message.
    ///
    /// After a rollback the claim of that owner, and all that it has recorded, may be lost while its messages are not.
    pub(super) fn note_written(&mut self, attach: &Attach) {
        if !self.may_be_outdated {
            return;
        }
        let resumed =
            attach.resume.and_then(|resume| Some((resume.next_s2c?.previous()?, resume.tag)));
        let received = attach.tag_history.last_messages();
        let named = attach.sack.iter().flat_map(|sack| sack.acked.iter().chain(&sack.beyond));
        let named = named.filter_map(|&number| Some((number, attach.tag_history.tag_of(number)?)));
        let is_own =
            |tag: ClaimTag, number| tag.is_known() && self.state.tag_of_sent(number) == Some(tag);
        let written = received.chain(named).chain(resumed);
        let written =
            written.filter(|(number, tag)| is_own(*tag, *number)).map(|(last, _)| last.next());
        self.written_end = written.fold(self.written_end, MessageNumber::max);
    }

    /// Returns true if a client reports that another stream was created for its stream id.
    pub(super) fn is_other_stream(&self, created: CreatedStream) -> bool {
        created.stream != self.number || differ(self.state.created_tag(), created.tag)
    }

    /// Returns false if a client has received a message that this stream has never sent or has from another claim.
    ///
    /// Compared are the messages that a SACK names and the last message of each claim. An equal tag of a message
    /// proves equal messages up to its number, because one owner has one history.
    pub(super) fn agrees_with(&self, tags: &ReceivedTags, sack: Option<&Sack>) -> bool {
        if tags.is_empty() {
            return true;
        }
        let agrees = |number: MessageNumber, tag: ClaimTag| {
            !differ(self.state.tag_of_sent(number).unwrap_or_default(), tag)
        };
        let mut named = sack.into_iter().flat_map(|sack| sack.acked.iter().chain(&sack.beyond));
        tags.last_messages().all(|(last, tag)| last < self.written_end && agrees(last, tag))
            && named.all(|&number| agrees(number, tags.tag_of(number).unwrap_or_default()))
    }

    /// The messages of a SACK that this owner can compare. A message with a tag that this owner has dropped frees
    /// nothing.
    pub(super) fn comparable<'a>(&self, tags: &ReceivedTags, sack: &'a Sack) -> Cow<'a, Sack> {
        let is_comparable = |number: &MessageNumber| {
            tags.tag_of(*number).is_none() || self.state.tag_of_sent(*number).is_some()
        };
        if tags.is_empty() || sack.acked.iter().chain(&sack.beyond).all(is_comparable) {
            return Cow::Borrowed(sack);
        }
        let beyond = sack.beyond.iter().copied().filter(is_comparable).collect();
        Cow::Owned(Sack { acked: sack.acked.filter(is_comparable), beyond })
    }

    /// Returns true if an edge has written a message that this stream does not have, or has from another claim.
    ///
    /// After a rollback the numbers of lost messages are assigned again, under another claim tag.
    fn lacks_written(&self, resume: Resume) -> bool {
        let Some(next) = resume.next_s2c else { return false };
        let own = next.previous().and_then(|last| self.state.tag_of_sent(last));
        next > self.written_end || differ(own.unwrap_or_default(), resume.tag)
    }

    /// Returns true if the client can have received all s2c messages that a SACK names.
    ///
    /// After a rollback the number of a queued message is no proof: the numbers of lost messages are assigned again.
    /// Where the store has lost nothing, every queued message counts, written or not, as in the original server.
    pub(super) fn could_have_received(&self, sack: &Sack) -> bool {
        let next = self.state.outbox().next();
        let checks_written = self.may_be_outdated && !mutation::is(Mutation::TrustNumbers);
        let end = if checks_written { self.written_end } else { next };
        sack.acked.iter().chain(&sack.beyond).all(|&number| number < end)
    }

    /// The first s2c message that neither this owner nor an earlier one has written; `None` if all were written.
    pub fn unwritten_from(&self) -> Option<MessageNumber> {
        (self.written_end < self.state.outbox().next()).then_some(self.written_end)
    }

    /// Another owner may have changed the stream since the last turn.
    pub fn on_ownership_gap(&mut self) {
        self.may_be_outdated = true;
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
    pub(super) fn end_lost(&mut self, reporter: LossReporter, turn: &mut Turn<'_>) -> Reset {
        turn.effects.proves_rollback |= reporter == LossReporter::Server;
        let reset = Reset::new(STATE_LOST, false);
        self.end(Ended { reset: reset.clone(), by: EndedBy::Core }, turn);
        reset
    }
}
