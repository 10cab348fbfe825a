//! What the core is told of a stream at its present home: settings, strings, the reset, acknowledgements, in that order.

use minerva_proto::app::{Acknowledge, Command, Reset, command};
use minerva_proto::planted::{self, Bug};

use super::Stream;

impl Stream {
    /// There is something to tell.
    pub(in crate::session) fn has_commands(&self) -> bool {
        self.home.is_some()
            && (self.settings.are_untold()
                || (self.outgoing.is_ready(self.sends_below()) && !self.closing)
                || self.reset.as_ref().is_some_and(|pending| !pending.told)
                || self.free_acknowledgement().is_some())
    }

    /// The next thing to tell: settings, sends, reset, acknowledgement, in that order. So whatever was set is durable
    /// when the acknowledgement is.
    pub(in crate::session) fn next_command(&mut self) -> Option<Command> {
        self.home?;
        let command = self
            .settings
            .take(self.number)
            .or_else(|| self.take_send())
            .or_else(|| self.take_reset())
            .or_else(|| self.take_acknowledgement())?;
        Some(Command { command: Some(command) })
    }

    fn take_send(&mut self) -> Option<command::Command> {
        let is_late = self.acknowledgement().is_some() && planted::is(Bug::AcknowledgeBeforeSends);
        if self.closing || is_late {
            return None;
        }
        let (acknowledgement, barrier) = (self.acknowledgement(), self.barrier);
        let (limit, answers) = (self.sends_below(), &self.answers);
        let send = self.outgoing.take(self.number, limit, |end| {
            let all = acknowledgement.filter(|_| barrier <= end);
            let below = all.max(answers.done_at(end).min(acknowledgement))?;
            below.checked_sub(1)
        })?;
        if let Some(event) = send.acknowledge {
            self.acknowledged = event + 1;
        }
        Some(command::Command::Send(send))
    }

    fn take_acknowledgement(&mut self) -> Option<command::Command> {
        let below = self.free_acknowledgement()?;
        self.acknowledged = below;
        let acknowledge = Acknowledge { stream: self.number, event: below - 1 };
        Some(command::Command::Acknowledge(acknowledge))
    }

    fn take_reset(&mut self) -> Option<command::Command> {
        let pending = self.reset.as_mut().filter(|pending| !pending.told)?;
        pending.told = true;
        let (reason, application_level) = pending.what.clone();
        Some(command::Command::Reset(Reset { stream: self.number, reason, application_level }))
    }

    /// Strings below this number may be sent now, if there is room.
    fn sends_below(&self) -> u64 {
        self.answers.limit(self.incoming.delivered())
    }

    /// All below this number is to be acknowledged.
    pub(super) fn acknowledgement(&self) -> Option<u64> {
        let mut below = self.done.min(self.incoming.delivered());
        // An end that came before events that were seen: it is done with when they are, too.
        if let Some(last) = self.ended
            && self.done < self.incoming.expected()
        {
            below = below.min(last);
        }
        (!self.lost && below > self.acknowledged).then_some(below)
    }

    /// The acknowledgement, if it needs no strings to go with it.
    fn free_acknowledgement(&self) -> Option<u64> {
        self.acknowledgement()
            .filter(|_| self.is_over() || self.barrier <= self.outgoing.confirmed())
    }
}
