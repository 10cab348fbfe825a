//! Numbers that the core has lost and assigned again, detected by claim tags, and the report of the received numbers.
//!
//! A lost event, or a lost confirmed message, resets the stream with `state lost`.

use minerva_proto::app::{Held, SendState};
use minerva_proto::{ClaimTag, EventNumber, MessageNumber};

use super::super::error::ContractError;
use super::super::event_tags::differ;
use super::super::incoming::Run;
use super::{STATE_LOST, Stream};
use crate::event::{Ended, EndedBy, Rejoin};

impl Stream {
    /// Queues messages of the client. Returns whether any of them is new.
    pub(in crate::session) fn on_messages(
        &mut self,
        run: Run,
        tag: ClaimTag,
        window: usize,
    ) -> Result<bool, ContractError> {
        let expected = self.incoming.expected();
        let (first, count) = (run.first, run.messages.len());
        let end = first.saturating_add(count as u64);
        if self.ended.is_none() && self.event_tags.contradict(first, end.min(expected), tag) {
            self.has_lost_events = true;
            self.discard_sends_and_reset(STATE_LOST);
        }
        if self.has_lost_events {
            self.incoming.skip(first, count)?;
            // The core delivers the end behind the messages only within the window, so they are acknowledged unread.
            self.handled = self.incoming.expected();
            self.barrier = MessageNumber(0);
            self.discard_if_abandoned();
            return Ok(false);
        }
        let new = self.incoming.on_messages(run, window)?;
        if new {
            self.event_tags.note(expected, tag);
        }
        Ok(self.discard_if_abandoned() && new)
    }

    /// Queues a Rejoined event. Returns whether the event is new.
    pub(in crate::session) fn on_rejoined(
        &mut self,
        event: EventNumber,
        rejoin: Rejoin,
    ) -> Result<bool, ContractError> {
        if self.has_lost_events {
            self.incoming.skip(event, 1)?;
            self.handled = self.incoming.expected();
            self.discard_if_abandoned();
            return Ok(false);
        }
        self.note_identity(rejoin.identity.as_ref());
        let new = self.incoming.on_rejoined(event, rejoin)?;
        Ok(self.discard_if_abandoned() && new)
    }

    /// The progress to report to the next core; `None` if no claim tag is known.
    pub(in crate::session) fn held(&self) -> Option<Held> {
        let (stream, created_tag) = (self.number.0, self.created_tag.0);
        // The numbers of an ended or reset stream are not those of received events and confirmed messages.
        let held = if self.is_over() {
            Held { stream, created_tag, ..Held::default() }
        } else {
            Held {
                stream,
                created_tag,
                next_event: self.incoming.expected().0,
                event_tag: self.event_tags.last().0,
                next_send: self.confirmed().0,
                send_tag: self.send_tag.0,
            }
        };
        (held.created_tag | held.event_tag | held.send_tag != 0).then_some(held)
    }

    /// Whether this instance has kept the stream since the Started that began this state. Otherwise the core may have
    /// accepted sends of another instance under the numbers of unconfirmed messages.
    pub(super) fn has_assignment(&self, number: u64) -> bool {
        let own = self.core_assignment;
        own == 0 || number == 0 || own == number
    }

    /// Ends the stream because no core has the stream. Nothing is sent to a core. Returns the end unless the handler
    /// gets another one.
    pub(in crate::session) fn end_as_lost(&mut self) -> Option<Ended> {
        let reason = STATE_LOST.to_owned();
        let ended = Ended { reason, application_level: false, by: EndedBy::Core };
        self.detach();
        self.lost = true;
        let is_new = self.ended.is_none();
        if is_new {
            self.ended = Some(self.incoming.expected());
            self.incoming.end_early(EventNumber(0), ended.clone());
        }
        self.outgoing.clear();
        (self.barrier, self.reset, self.finish) = (MessageNumber(0), None, None);
        self.discard_if_abandoned();
        is_new.then_some(ended)
    }

    /// Whether the stream was lost and the handler has acknowledged the end.
    pub(in crate::session) fn is_lost_and_acknowledged(&self) -> bool {
        self.lost && self.ended.is_some_and(|last| self.handled > last)
    }

    /// Whether no core has the stream, so that no registration may list the number.
    pub(in crate::session) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the last confirmed message has another tag at the core: the core has lost this message.
    pub(super) fn has_lost_sends(&self, state: Option<&SendState>) -> bool {
        let same_number = |state: &&SendState| state.next_send == self.confirmed().0;
        differ(self.send_tag, send_tag(state.filter(same_number)))
    }
}

/// Tag of the last message below the next send.
pub(super) fn send_tag(state: Option<&SendState>) -> ClaimTag {
    state.map_or(ClaimTag::UNKNOWN, |state| ClaimTag(state.tag))
}
