//! Output of one stream: the commands for the current attachment. The order is settings, messages, reset, finish,
//! acknowledgement.

use minerva_proto::app::{Acknowledge, Command, Reset, command};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{EventNumber, MessageNumber};

use super::Stream;

impl Stream {
    /// Whether a command is ready.
    pub(in crate::session) fn has_commands(&self) -> bool {
        self.attachment.is_some()
            && (self.settings.has_commands(self.core.has_sync)
                || (self.outgoing.is_ready(self.sends_below()) && !self.closing)
                || self.reset.as_ref().is_some_and(|pending| !pending.sent)
                || self.is_finish_ready()
                || self.standalone_ack().is_some())
    }

    /// Takes the next command: settings, messages, reset, finish, acknowledgement, in this order. When the
    /// acknowledgement is durable, all settings before it are durable too.
    pub(in crate::session) fn next_command(&mut self) -> Option<Command> {
        self.attachment?;
        let command = self
            .settings
            .next_command(self.number, self.core.has_sync)
            .or_else(|| self.take_send())
            .or_else(|| self.take_reset())
            .or_else(|| self.take_finish())
            .or_else(|| self.take_ack())?;
        Some(Command { command: Some(command) })
    }

    fn take_send(&mut self) -> Option<command::Command> {
        let is_late =
            self.pending_ack().is_some() && mutation::is(Mutation::AcknowledgeBeforeSends);
        if self.closing || is_late {
            return None;
        }
        let (pending_ack, barrier) = (self.pending_ack(), self.barrier);
        let (limit, answers) = (self.sends_below(), &self.answers);
        let send = self.outgoing.take(self.number, limit, self.core.has_kinds, |end| {
            let all = pending_ack.filter(|_| barrier <= end);
            let below = all.max(answers.acknowledged_at(end).min(pending_ack))?;
            below.previous()
        })?;
        if let Some(event) = send.acknowledge {
            self.ack_sent = EventNumber(event).next();
        }
        Some(command::Command::Send(send))
    }

    fn take_ack(&mut self) -> Option<command::Command> {
        let below = self.standalone_ack()?;
        self.ack_sent = below;
        let event = below.previous()?.0;
        let acknowledge = Acknowledge { stream: self.number.0, event };
        Some(command::Command::Acknowledge(acknowledge))
    }

    fn take_reset(&mut self) -> Option<command::Command> {
        let pending = self.reset.as_mut().filter(|pending| !pending.sent)?;
        pending.sent = true;
        let (reason, application_level) = (pending.reason.clone(), pending.application_level);
        Some(command::Command::Reset(Reset { stream: self.number.0, reason, application_level }))
    }

    /// Messages below this number may be sent, within the credit.
    fn sends_below(&self) -> MessageNumber {
        self.answers.limit(self.incoming.delivered())
    }

    /// The pending acknowledgement covers all events below this number.
    pub(super) fn pending_ack(&self) -> Option<EventNumber> {
        let mut below = self.handled.min(self.incoming.delivered());
        if let Some(before_finish) = self.acknowledged_before_finish() {
            below = below.min(before_finish);
        }
        // An end numbered before received events is acknowledged together with the last of them.
        if let Some(last) = self.ended
            && self.handled < self.incoming.expected()
        {
            below = below.min(last);
        }
        (!self.lost && below > self.ack_sent).then_some(below)
    }

    /// The pending acknowledgement, if no message must carry the acknowledgement.
    fn standalone_ack(&self) -> Option<EventNumber> {
        self.pending_ack().filter(|_| self.is_over() || self.barrier <= self.outgoing.confirmed())
    }
}
