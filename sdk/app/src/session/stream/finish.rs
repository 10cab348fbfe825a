//! The end of a stream behind the sent messages. `Finish` is sent once all messages are confirmed, so that no message
//! of a refused Send is left behind the end.
//!
//! A core of release 0.1 has no Finish. The stream is then reset once the outbox is empty, which empty Sends find out:
//! the core answers each with the room.

use minerva_proto::app::{Command, Finish, Reset, Send, command};

use super::super::calls::CoreTraits;
use minerva_proto::EventNumber;

use super::Stream;

/// Reset reason of a finished stream at a core without Finish.
const FINISHED: &str = "finished";

/// A finish by the app, sent once per attachment until the stream ends.
#[derive(Debug)]
pub(super) struct PendingFinish {
    reason: String,
    pub(super) sent: bool,
    /// Events below were acknowledged by the handler before. Only these are acknowledged before the finish is sent.
    handled: EventNumber,
}

impl Stream {
    /// Ends the stream behind the queued messages, and accepts no more. The first reason counts.
    pub(in crate::session) fn finish(&mut self, reason: String) {
        if !self.is_over() && self.finish.is_none() {
            self.finish = Some(PendingFinish { reason, sent: false, handled: self.handled });
        }
    }

    /// Whether the app has finished the stream.
    pub(in crate::session) fn is_finishing(&self) -> bool {
        self.finish.is_some()
    }

    /// The stream as an instance of this service has finished it before: all events are acknowledged unread.
    /// A core that keeps the finish in memory forgets it with the ownership; it is then repeated with its reason.
    pub(in crate::session) fn finished_before(mut self, reason: String) -> Self {
        self.finish = Some(PendingFinish { reason, sent: true, handled: self.handled });
        self.abandon();
        self
    }

    /// Whether the finish is sent, or there is none.
    pub(super) fn has_sent_finish(&self) -> bool {
        self.finish.as_ref().is_none_or(|pending| pending.sent)
    }

    /// The end of the events that may be acknowledged before the finish is sent.
    pub(super) fn acknowledged_before_finish(&self) -> Option<EventNumber> {
        self.finish.as_ref().filter(|pending| !pending.sent).map(|pending| pending.handled)
    }

    pub(super) fn is_finish_ready(&self) -> bool {
        !self.has_sent_finish()
            && !self.is_over()
            && self.outgoing.is_empty()
            && (self.core.has_finish || self.is_drained())
    }

    /// Takes the command that ends the stream.
    pub(super) fn take_finish(&mut self) -> Option<command::Command> {
        if !self.is_finish_ready() {
            return None;
        }
        let pending = self.finish.as_mut()?;
        pending.sent = true;
        let (stream, reason) = (self.number.0, pending.reason.clone());
        if self.core.has_finish {
            return Some(command::Command::Finish(Finish { stream, reason }));
        }
        let reason = if reason.is_empty() { FINISHED.to_owned() } else { reason };
        Some(command::Command::Reset(Reset { stream, reason, application_level: true }))
    }

    /// An empty Send, if only the answer shows whether the client has acknowledged all messages, or whether changes of
    /// the settings are durable.
    pub(in crate::session) fn probe(&self) -> Option<Command> {
        let waits_for_end = !self.core.has_finish && !self.has_sent_finish() && !self.is_drained();
        let waits_for_change = !self.core.has_sync && self.settings.awaits_confirmation();
        let is_idle = !self.is_over() && self.outgoing.is_empty();
        if !is_idle || !(waits_for_end || waits_for_change) {
            return None;
        }
        let (stream, first) = (self.number.0, self.outgoing.next().0);
        let send =
            Send { stream, first, messages: Vec::new(), acknowledge: None, contents: Vec::new() };
        Some(Command { command: Some(command::Command::Send(send)) })
    }

    /// Whether the outbox of a core without Finish is empty, by the reported room.
    fn is_drained(&self) -> bool {
        let CoreTraits { outbox_messages, .. } = self.core;
        let limit = self.settings.outbox_messages().unwrap_or(outbox_messages);
        self.outgoing.messages_left() >= limit as usize
    }
}
