//! One stream as an instance knows it: its events, its sends, what is acknowledged, and what still has to
//! be told to the core. Pure; called by the session only.
//!
//! An acknowledgement never overtakes the strings that were sent before it: it travels in the same Send, or
//! waits until they are durable. So an app that crashes loses no effect of an event that it acknowledged.

mod commands_out;

use bytes::Bytes;
use minerva_proto::app::{SendRefused, SendRefusedReason, SendState, Started};
use minerva_proto::mutation::{self, Mutation};

use super::answers::Answers;
use super::calls::CallId;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::settings::Settings;
use super::{QueueError, ContractError};
use crate::event::{Ended, EndedBy, Event, TransportChange};

/// The reason of the reset when the core has lost sends that it had confirmed, and of the end when it has lost the
/// stream.
const STATE_LOST: &str = "state lost";
/// The reason of the reset when the stream went to a core that takes shorter strings than are waiting.
const TOO_LONG: &str = "string too long";

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    number: u64,
    /// The id that the client chose; tells this stream from another one that got its number because the
    /// core's store went back in time.
    id: String,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Which of the strings in `outgoing` go with the acknowledgement of an event.
    answers: Answers,
    /// The call on which Started came, and only on which something may be said about the stream; `None`: apart.
    attachment: Option<Attachment>,
    /// Longest string that the core there takes, or the last one did.
    max_string: usize,
    /// Nobody reads: whatever comes is done with.
    abandoned: bool,
    /// All events below are done with; at most `incoming.expected()`.
    done: u64,
    /// Sends below this number must be durable before `done` is acknowledged.
    barrier: u64,
    /// All events below are acknowledged at this home, or were when the stream came to it.
    acknowledged: u64,
    /// Number of the Ended event, once that came.
    ended: Option<u64>,
    /// The core has said at this home that no more strings are taken: Ended or Released follows.
    closing: bool,
    /// No core knows it any more.
    lost: bool,
    reset: Option<Pending<(String, bool)>>,
    settings: Settings,
    /// It is in the session's list of streams with something to tell.
    pub(super) scheduled: bool,
}

/// Where a stream lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) call: CallId,
    /// The owner's, of the stream's partition.
    pub(super) epoch: u64,
}

/// Something that the core must be told at each home.
#[derive(Debug)]
struct Pending<T> {
    what: T,
    told: bool,
}

/// How a Started fits to what is known of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ResumeOutcome {
    /// It goes on.
    Here,
    /// Another instance had it in between, or it is another stream: what is known here is of no use.
    Elsewhere,
}

impl Stream {
    pub(super) fn new(started: &Started, call: CallId, max_string: usize) -> Self {
        let (next_event, next_send) = (started.next_event, started.next_send);
        Self {
            number: started.stream,
            id: started.stream_id.clone(),
            incoming: Incoming::starting_at(next_event),
            outgoing: Outgoing::starting_at(next_send, started.send_state.as_ref()),
            answers: Answers::default(),
            attachment: Some(Attachment { call, epoch: started.epoch }),
            max_string,
            abandoned: false,
            done: next_event,
            barrier: 0,
            acknowledged: next_event,
            ended: None,
            closing: false,
            lost: false,
            reset: None,
            settings: Settings::default(),
            scheduled: false,
        }
    }

    /// A stream that this instance has done with. Either the acknowledgement of its end was lost, and the end comes
    /// again; or the core's store has lost the end, and the client may be there still: nobody would read what it says,
    /// so it is told.
    pub(super) fn after_tombstone(started: &Started, call: CallId, max_string: usize) -> Self {
        let mut stream = Self::new(started, call, max_string);
        stream.abandoned = true;
        stream.reset(STATE_LOST.to_owned(), false);
        stream
    }

    pub(super) fn attachment(&self) -> Option<Attachment> {
        self.attachment
    }

    pub(super) fn is_attached_to(&self, call: CallId) -> bool {
        self.attachment.is_some_and(|attachment| attachment.call == call)
    }

    /// The home is lost: nothing may be said until Started comes again, there or elsewhere.
    pub(super) fn detach(&mut self) {
        self.attachment = None;
        self.closing = false;
        self.scheduled = false;
        self.outgoing.detach();
        if let Some(reset) = &mut self.reset {
            reset.told = false;
        }
        self.settings.detach();
    }

    /// Started came again, on this call.
    pub(super) fn resume(&mut self, started: &Started, call: CallId, max_string: usize) -> ResumeOutcome {
        let sends = self.outgoing.confirmed()..=self.outgoing.next();
        let goes_on = started.stream_id == self.id;
        if !goes_on
            || started.next_event > self.incoming.expected()
            || started.next_send > *sends.end()
        {
            return ResumeOutcome::Replaced;
        }
        self.detach();
        self.attachment = Some(Attachment { call, epoch: started.epoch });
        self.max_string = max_string;
        self.incoming.resume(started.next_event);
        self.acknowledged = started.next_event;
        if self.ended.is_some() {
            self.outgoing.clear();
        } else if sends.contains(&started.next_send) {
            self.outgoing.resume(started.next_send, started.send_state.as_ref());
            self.answers.free(self.outgoing.confirmed());
            if self.outgoing.has_longer_than(max_string) {
                self.fail(TOO_LONG);
            }
        } else {
            self.fail(STATE_LOST);
        }
        ResumeOutcome::Continues
    }

    pub(super) fn on_strings(
        &mut self,
        first: u64,
        messages: Vec<Bytes>,
        window: usize,
    ) -> Result<bool, ContractError> {
        let new = self.incoming.on_strings(first, messages, window)?;
        Ok(self.discard_if_abandoned() && new)
    }

    pub(super) fn on_ended(&mut self, event: u64, ended: Ended) -> Result<bool, ContractError> {
        let is_short = self.ended.is_none() && event < self.incoming.expected();
        let new = if is_short {
            self.incoming.end_short(event, ended);
            self.done = self.done.min(event);
            true
        } else {
            self.incoming.on_ended(event, ended)?
        };
        self.ended = Some(event);
        self.outgoing.clear();
        self.barrier = 0;
        self.reset = None;
        Ok(self.discard_if_abandoned() && new)
    }

    /// No core knows the stream any more. It ends, and nobody is to be told of it.
    pub(super) fn end_as_lost(&mut self) -> Ended {
        let reason = STATE_LOST.to_owned();
        let ended = Ended { reason, application_level: false, by: EndedBy::Core };
        self.detach();
        self.lost = true;
        self.ended = Some(self.incoming.expected());
        self.incoming.end_short(0, ended.clone());
        self.outgoing.clear();
        (self.barrier, self.reset) = (0, None);
        self.discard_if_abandoned();
        ended
    }

    /// It was lost, and its handler has done with the end.
    pub(super) fn is_lost_and_acknowledged(&self) -> bool {
        self.lost && self.ended.is_some_and(|last| self.done > last)
    }

    /// No core may be asked for it.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn on_change(&mut self, change: TransportChange) {
        self.incoming.on_change(change);
        self.discard_if_abandoned();
    }

    pub(super) fn on_send_state(&mut self, state: &SendState) -> Result<(), ContractError> {
        if self.ended.is_none() && !self.is_reset() {
            self.outgoing.confirm(state)?;
            self.answers.free(self.outgoing.confirmed());
        }
        Ok(())
    }

    pub(super) fn on_refused(&mut self, refused: &SendRefused) -> Result<(), ContractError> {
        if self.ended.is_some() || self.is_reset() {
            // The acknowledgement is told again, alone.
            self.acknowledged = 0;
            return Ok(());
        }
        if refused.reason() == SendRefusedReason::Ended {
            self.closing = true;
            self.acknowledged = 0;
            return Ok(());
        }
        if self.outgoing.refuse(refused)? {
            self.acknowledged = 0;
        }
        Ok(())
    }

    /// The next event for the handler.
    pub(super) fn read(&mut self) -> Option<Event> {
        self.incoming.pop()
    }

    /// All events up to `event` are done with.
    pub(super) fn acknowledge(&mut self, event: u64) {
        let done = event.saturating_add(1).min(self.incoming.expected());
        if done > self.done {
            self.done = done;
            self.barrier = if self.ended.is_some() || mutation::is(Mutation::AcknowledgeBeforeSends) {
                0
            } else {
                self.outgoing.next()
            };
        }
    }

    pub(super) fn send(&mut self, string: Bytes, respect_pause: bool) -> Result<u64, QueueError> {
        if self.is_over() {
            return Err(QueueError::Over);
        }
        if !self.has_room(respect_pause) {
            return Err(QueueError::NoRoom);
        }
        Ok(self.outgoing.push(string))
    }

    /// Queues the string that answers an event, with which that is done with.
    pub(super) fn answer(&mut self, event: u64, string: Bytes) -> Result<u64, QueueError> {
        let number = self.send(string, true)?;
        self.answers.push(number, event);
        self.acknowledge(event);
        Ok(number)
    }

    /// No more strings are taken.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() || self.closing || self.is_reset()
    }

    pub(super) fn has_room(&self, respect_pause: bool) -> bool {
        self.outgoing.has_room() && !(respect_pause && self.outgoing.is_paused())
    }

    pub(super) fn max_string(&self) -> usize {
        self.max_string
    }

    pub(super) fn next_send(&self) -> u64 {
        self.outgoing.next()
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.outgoing.confirmed()
    }

    /// Ends the stream; the first reason counts.
    pub(super) fn reset(&mut self, reason: String, application_level: bool) {
        if self.ended.is_none() && !self.is_reset() {
            self.reset = Some(Pending { what: (reason, application_level), told: false });
        }
    }

    /// Changes what is set of it.
    pub(super) fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Nobody reads any more.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
        self.discard_if_abandoned();
    }

    /// Everything was told and confirmed.
    pub(super) fn is_flushed(&self) -> bool {
        let told = self.reset.as_ref().is_none_or(|reset| reset.told);
        let sent = self.is_over() || self.outgoing.is_empty();
        let set = self.is_over() || !self.settings.has_pending();
        told && sent && set && self.acknowledgement().is_none()
    }

    /// Its end is acknowledged: nothing is left to do here.
    pub(super) fn is_finished(&self) -> bool {
        self.attachment.is_some() && self.ended.is_some_and(|last| self.acknowledged > last)
    }

    /// What waits to be sent can never be.
    fn fail(&mut self, reason: &str) {
        self.outgoing.clear();
        self.reset(reason.to_owned(), false);
    }

    fn is_reset(&self) -> bool {
        self.reset.is_some()
    }

    /// Gives whether somebody reads; if not, everything that came is done with.
    fn discard_if_abandoned(&mut self) -> bool {
        if self.abandoned {
            self.incoming.clear();
            self.done = self.incoming.expected();
        }
        !self.abandoned
    }
}
