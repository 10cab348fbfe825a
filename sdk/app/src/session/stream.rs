//! The state of one stream in an app instance: received events, queued messages, acknowledgements and
//! settings. Pure; used by the session only.
//!
//! An acknowledgement never overtakes messages that were sent earlier, but travels in the same Send, or
//! waits until those messages are durable. A crash of the app therefore loses no effect of an acknowledged
//! event.

mod commands_out;
mod finish;
mod identity;
mod lost_numbers;
mod unacceptable;

use minerva_proto::app::{SendState, Started};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClaimTag, EventNumber, Identity, Message, MessageNumber, StreamNumber};

use self::finish::PendingFinish;
use self::lost_numbers::send_tag;
use super::answers::Answers;
use super::calls::{CallId, CoreTraits};
use super::error::{ContractError, QueueError};
use super::event_tags::{EventTags, differ};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::settings::Settings;
use crate::accepts::Accepts;
use crate::event::{Ended, Event, TransportChange};

/// Reset reason if the core lost confirmed messages, and end reason if the core lost the stream.
const STATE_LOST: &str = "state lost";

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    number: StreamNumber,
    /// Number of the assignment, as in the handles of the stream; 0 without handles.
    pub(super) assignment: u64,
    /// Number of the assignment at the core; 0 if unknown.
    core_assignment: u64,
    /// The id chosen by the client. After a store rollback another stream may have the same number, but not
    /// the same id.
    id: String,
    /// Time of creation in milliseconds since 1970.
    started_at_ms: u64,
    /// Tag of the claim that created the stream. After a store rollback another stream may have the same number.
    created_tag: ClaimTag,
    incoming: Incoming,
    /// Tags of the received events.
    event_tags: EventTags,
    outgoing: Outgoing,
    /// Tag of the last confirmed message.
    send_tag: ClaimTag,
    /// The core has lost an event that was received. The stream is reset, and later messages are dropped.
    has_lost_events: bool,
    /// The messages in `outgoing` that are paired with the acknowledgement of an event.
    answers: Answers,
    /// The call on which Started arrived; `None` while detached.
    attachment: Option<Attachment>,
    /// Limits and features of the current or last core.
    core: CoreTraits,
    /// The messages that the client accepts, as far as the core can deliver them.
    accepts: Accepts,
    /// The present identity of the client, as known to the handler.
    identity: Option<Identity>,
    /// The reader is gone: events are acknowledged unread.
    abandoned: bool,
    /// All events below are acknowledged by the handler; at most `incoming.expected()`.
    handled: EventNumber,
    /// Messages below this number must be durable before `handled` is acknowledged.
    barrier: MessageNumber,
    /// All events below are acknowledged on this attachment, or were when the attachment began.
    ack_sent: EventNumber,
    /// Number of the Ended event, once received.
    ended: Option<EventNumber>,
    /// The core accepts no more messages on this attachment: Ended or Released follows.
    closing: bool,
    /// No core knows the stream any more.
    lost: bool,
    reset: Option<PendingReset>,
    finish: Option<PendingFinish>,
    pub(super) settings: Settings,
    /// Is in the session's list of streams with commands ready.
    pub(super) scheduled: bool,
}

/// The call that serves a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) call: CallId,
    /// Epoch of the owner of the stream's partition.
    pub(super) epoch: u64,
}

/// A reset by the app, sent once per attachment until the stream ends.
#[derive(Debug)]
struct PendingReset {
    reason: String,
    application_level: bool,
    sent: bool,
}

/// How a repeated Started relates to the state held here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ResumeOutcome {
    /// The stream continues.
    Continues,
    /// Another instance had the stream meanwhile, or the number belongs to another stream: the held state is
    /// void.
    Replaced,
}

impl Stream {
    pub(super) fn new(started: &Started, call: CallId, core: CoreTraits) -> Self {
        let next_event = EventNumber(started.next_event);
        let next_send = MessageNumber(started.next_send);
        Self {
            number: StreamNumber(started.stream),
            assignment: 0,
            core_assignment: started.assignment,
            id: started.stream_id.clone(),
            started_at_ms: started.started_at_ms,
            created_tag: ClaimTag(started.created_tag),
            incoming: Incoming::starting_at(next_event),
            event_tags: EventTags::default(),
            outgoing: Outgoing::starting_at(next_send, started.send_state.as_ref()),
            send_tag: send_tag(started.send_state.as_ref()),
            has_lost_events: false,
            answers: Answers::default(),
            attachment: Some(Attachment { call, epoch: started.epoch }),
            core,
            accepts: Accepts::from_proto(started.accepts()),
            identity: started.identity.clone().map(Into::into),
            abandoned: false,
            handled: next_event,
            barrier: MessageNumber(0),
            ack_sent: next_event,
            ended: None,
            closing: false,
            lost: false,
            reset: None,
            finish: None,
            settings: Settings::default(),
            scheduled: false,
        }
    }

    /// Restores a stream from a tombstone, after the core has started the stream again. If the acknowledgement
    /// of the end was lost, the core repeats the end. If the store has lost the end, the client may still be
    /// connected without a handler to read the messages, so the stream is reset.
    pub(super) fn after_tombstone(started: &Started, call: CallId, core: CoreTraits) -> Self {
        let mut stream = Self::new(started, call, core);
        stream.abandoned = true;
        stream.reset(STATE_LOST.to_owned(), false);
        stream
    }

    /// Whether Started is about this stream, and not about a later one with the same number. The time of creation
    /// distinguishes streams of a core without claim tags.
    pub(super) fn is_same(&self, started: &Started) -> bool {
        self.id == started.stream_id
            && self.started_at_ms == started.started_at_ms
            && !differ(self.created_tag, ClaimTag(started.created_tag))
    }

    pub(super) fn attachment(&self) -> Option<Attachment> {
        self.attachment
    }

    pub(super) fn is_attached_to(&self, call: CallId) -> bool {
        self.attachment.is_some_and(|attachment| attachment.call == call)
    }

    /// Detaches from the call: no command may be sent before the next Started.
    pub(super) fn detach(&mut self) {
        self.attachment = None;
        self.closing = false;
        self.scheduled = false;
        self.outgoing.detach();
        if let Some(reset) = &mut self.reset {
            reset.sent = false;
        }
        if let Some(finish) = &mut self.finish {
            finish.sent = false;
        }
        self.settings.detach();
    }

    /// Applies a repeated Started on this call.
    pub(super) fn resume(
        &mut self,
        started: &Started,
        call: CallId,
        core: CoreTraits,
    ) -> ResumeOutcome {
        let next_event = EventNumber(started.next_event);
        let next_send = MessageNumber(started.next_send);
        let sends = self.outgoing.confirmed()..=self.outgoing.next();
        let goes_on = self.is_same(started) && self.has_assignment(started.assignment);
        if !goes_on || next_event > self.incoming.expected() || next_send > *sends.end() {
            return ResumeOutcome::Replaced;
        }
        self.detach();
        self.attachment = Some(Attachment { call, epoch: started.epoch });
        (self.core, self.accepts) = (core, Accepts::from_proto(started.accepts()));
        if let Some(finish) = self.finish.as_mut().filter(|_| started.finishing) {
            finish.sent = true;
        }
        self.incoming.resume(next_event);
        self.update_identity(started.identity.clone().map(Into::into));
        self.ack_sent = next_event;
        if self.ended.is_some() {
            self.outgoing.clear();
        } else if sends.contains(&next_send) && !self.has_lost_sends(started.send_state.as_ref()) {
            self.send_tag = send_tag(started.send_state.as_ref());
            self.outgoing.resume(next_send, started.send_state.as_ref());
            self.answers.free(self.outgoing.confirmed());
            self.reset_if_unacceptable();
        } else {
            self.discard_sends_and_reset(STATE_LOST);
        }
        ResumeOutcome::Continues
    }

    pub(super) fn on_ended(
        &mut self,
        event: EventNumber,
        ended: Ended,
    ) -> Result<bool, ContractError> {
        let is_early = self.ended.is_none() && event < self.incoming.expected();
        let new = if is_early {
            self.incoming.end_early(event, ended);
            self.handled = self.handled.min(event);
            true
        } else {
            self.incoming.on_ended(event, ended)?
        };
        self.ended = Some(event);
        self.outgoing.clear();
        self.barrier = MessageNumber(0);
        (self.reset, self.finish) = (None, None);
        Ok(self.discard_if_abandoned() && new)
    }

    pub(super) fn on_change(&mut self, change: TransportChange) {
        self.incoming.on_change(change);
        self.discard_if_abandoned();
    }

    pub(super) fn on_send_state(&mut self, state: &SendState) -> Result<(), ContractError> {
        if self.ended.is_none() && !self.is_reset() {
            if self.has_lost_sends(Some(state)) {
                self.discard_sends_and_reset(STATE_LOST);
                return Ok(());
            }
            self.outgoing.confirm(state)?;
            self.settings.on_send_state(self.core.has_sync);
            self.send_tag = ClaimTag(state.tag);
            self.answers.free(self.outgoing.confirmed());
        }
        Ok(())
    }

    /// Takes the next event for the handler.
    pub(super) fn read(&mut self) -> Option<Event> {
        self.incoming.pop()
    }

    /// Acknowledges all events up to `event`.
    pub(super) fn acknowledge(&mut self, event: EventNumber) {
        let handled = event.saturating_add(1).min(self.incoming.expected());
        if handled > self.handled {
            self.handled = handled;
            self.barrier = if self.ended.is_some() || mutation::is(Mutation::AcknowledgeBeforeSends)
            {
                MessageNumber(0)
            } else {
                self.outgoing.next()
            };
        }
    }

    pub(super) fn send(
        &mut self,
        message: Message,
        respect_pause: bool,
    ) -> Result<MessageNumber, QueueError> {
        if self.is_over() {
            return Err(QueueError::Over);
        }
        if self.is_finishing() {
            return Err(QueueError::Finished);
        }
        if !self.has_room(respect_pause) {
            return Err(QueueError::NoRoom);
        }
        Ok(self.outgoing.push(message))
    }

    /// Queues the answer to an event and acknowledges the event.
    pub(super) fn answer(
        &mut self,
        event: EventNumber,
        message: Message,
    ) -> Result<MessageNumber, QueueError> {
        let number = self.send(message, true)?;
        self.answers.push(number, event);
        self.acknowledge(event);
        Ok(number)
    }

    /// Whether no more messages are accepted.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() || self.closing || self.is_reset()
    }

    pub(super) fn has_room(&self, respect_pause: bool) -> bool {
        self.outgoing.has_room() && !(respect_pause && self.outgoing.is_paused())
    }

    pub(super) fn next_send(&self) -> MessageNumber {
        self.outgoing.next()
    }

    pub(super) fn confirmed(&self) -> MessageNumber {
        self.outgoing.confirmed()
    }

    /// Ends the stream. The first reason counts.
    pub(super) fn reset(&mut self, reason: String, application_level: bool) {
        if self.ended.is_none() && !self.is_reset() {
            self.reset = Some(PendingReset { reason, application_level, sent: false });
        }
    }

    pub(super) fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Drops the reader.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
        self.discard_if_abandoned();
    }

    /// Whether everything is sent and confirmed.
    pub(super) fn is_flushed(&self) -> bool {
        let reset_sent = self.reset.as_ref().is_none_or(|reset| reset.sent);
        let sent = self.is_over() || self.outgoing.is_empty();
        let set = self.is_over() || !self.settings.has_pending();
        reset_sent && self.has_sent_finish() && sent && set && self.pending_ack().is_none()
    }

    /// Whether the end is acknowledged, so the stream becomes a tombstone.
    pub(super) fn is_end_acknowledged(&self) -> bool {
        self.attachment.is_some() && self.ended.is_some_and(|last| self.ack_sent > last)
    }

    /// Drops queued messages that can never be delivered, and resets the stream.
    fn discard_sends_and_reset(&mut self, reason: &str) {
        self.outgoing.clear();
        self.reset(reason.to_owned(), false);
    }

    fn is_reset(&self) -> bool {
        self.reset.is_some()
    }

    /// Acknowledges all received events if no reader is left. Returns whether a reader exists.
    fn discard_if_abandoned(&mut self) -> bool {
        if self.abandoned {
            self.incoming.clear();
            self.handled = self.incoming.expected();
        }
        !self.abandoned
    }
}
