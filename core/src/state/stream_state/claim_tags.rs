//! The claims that assigned the numbers of a stream: lookups in the tag history.
//!
//! Used by the detection of rollbacks and by deliveries. Changes nothing.

use minerva_proto::{ClaimTag, EventNumber, MessageNumber};

use super::StreamState;
use crate::state::tag_history::{NextNumbers, TagLine};

impl StreamState {
    /// The next number of each sequence.
    pub(super) fn next_numbers(&self) -> NextNumbers {
        let (c2s, event, s2c) = (self.window.next(), self.inbox.next(), self.outbox.next());
        NextNumbers { c2s, event, s2c }
    }

    /// The first unacknowledged number of each sequence. A c2s message is acknowledged with its event.
    pub(super) fn bases(&self) -> NextNumbers {
        // Skipped numbers may lie between the messages in the inbox.
        let skipped = self.session.as_ref().map_or(0, |session| session.skipped);
        let held = match self.inbox.messages() as u64 {
            0 => 0,
            messages => messages + skipped,
        };
        let c2s = MessageNumber(self.window.next().0.saturating_sub(held));
        NextNumbers { c2s, event: self.inbox.base(), s2c: self.outbox.first_held() }
    }

    /// Tag of the claim that created the stream; [`ClaimTag::UNKNOWN`] if stored without a tag.
    pub fn created_tag(&self) -> ClaimTag {
        self.tags.created()
    }

    /// Tag of the claim under which a c2s message was received. `None` if the message was not received, or the tag is
    /// unknown or pruned.
    pub fn tag_of_received(&self, number: MessageNumber) -> Option<ClaimTag> {
        self.has_received(number).then(|| self.tags.tag_of_received(number)).flatten()
    }

    /// Tag of the claim that assigned the number of an event, as [`Self::tag_of_received`].
    pub fn tag_of_event(&self, number: EventNumber) -> Option<ClaimTag> {
        (number < self.inbox.next()).then(|| self.tags.tag_of_event(number)).flatten()
    }

    /// Whether two s2c messages have the same claim tag; `first` is the lower number.
    pub(crate) fn has_same_tag(&self, first: MessageNumber, last: MessageNumber) -> bool {
        self.tags.lines().len() < 2 || self.tag_of_sent(first) == self.tag_of_sent(last)
    }

    /// Whether two events have the same claim tag; `first` is the lower number.
    pub(crate) fn has_same_event_tag(&self, first: EventNumber, last: EventNumber) -> bool {
        self.tags.lines().len() < 2 || self.tag_of_event(first) == self.tag_of_event(last)
    }

    /// Whether a claim with this tag assigned a number of this stream.
    pub(crate) fn has_tag(&self, tag: ClaimTag) -> bool {
        self.tags.created() == tag || self.tags.lines().iter().any(|line| line.tag == tag)
    }

    /// Tag of the claim that accepted the last send of the application. `None` if unknown: pushed messages between the
    /// sends may hide the claim.
    pub(crate) fn tag_of_last_send(&self) -> Option<ClaimTag> {
        let lines = self.lines_of_send(self.next_send().previous()?)?;
        let tag = lines.first()?.tag;
        lines.iter().all(|line| line.tag == tag).then_some(tag)
    }

    /// Returns false if another claim than that of `tag` accepted this send; unknown tags are not compared.
    pub(crate) fn can_have_tag_of_send(&self, send: MessageNumber, tag: ClaimTag) -> bool {
        let lines = self.lines_of_send(send).filter(|_| tag.is_known());
        lines.is_none_or(|lines| lines.iter().any(|line| line.tag == tag))
    }

    /// The lines of all s2c messages that can be the send with this number. Pushed messages precede some of them.
    fn lines_of_send(&self, send: MessageNumber) -> Option<&[TagLine]> {
        let pushed = self.outbox.next().saturating_sub(self.next_send());
        self.tags.lines_of_sent(send, send.saturating_add(pushed))
    }

    /// Tag of the claim that assigned the number of an s2c message, as [`Self::tag_of_received`].
    pub fn tag_of_sent(&self, number: MessageNumber) -> Option<ClaimTag> {
        (number < self.outbox.next()).then(|| self.tags.tag_of_sent(number)).flatten()
    }
}
