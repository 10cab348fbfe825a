//! The end of a turn: passed deadlines, flush of the touched streams, removal of finished streams, counters.

use minerva_proto::StreamNumber;
use minerva_proto::link::{CloseCause, CoreFrame, CoreMessage};

use super::super::assignment::NeededInstance;
use super::super::counters::{add, subtract};
use super::super::mailbox::MailReceiver;
use super::super::recovery::ForgottenStream;
use super::waiting_mail::WaitingMail;
use super::{PartitionStreams, recurring_lines};
use crate::clock;
use crate::state::{EndedBy, Record};
use crate::stream::{
    AppOutput, Effects, Intake, Millis, Output, RefusedReason, Stream, TransportKey,
};

impl PartitionStreams {
    /// Ends a turn: handles passed deadlines, then lets every touched stream write and deliver.
    ///
    /// `mail` is the mailbox with the mail that the turn has not taken.
    pub(in crate::partition) fn finish_turn(
        &mut self,
        mail: &mut MailReceiver,
        now: Millis,
        effects: &mut Effects,
    ) {
        self.flush_pushes(now, effects);
        self.end_grace(now, effects);
        self.accept_waiting(now, effects);
        self.retry_blocked(now, effects);
        self.shed(now, effects);
        if now >= self.expects_services_until {
            self.touched.append(&mut self.ended_early);
        }
        self.handle_timeouts(&mut WaitingMail::new(mail), now, effects);
        for number in std::mem::take(&mut self.touched) {
            self.assign_selected(number, now, effects);
            self.with_stream(number, now, effects, |stream, turn| stream.flush(turn));
            self.free_unserved(number, now, effects);
            self.end_probation(number);
            self.remove_if_done(number, now);
            self.trim_for_address(number, now, effects);
            self.count_retained(number);
        }
        self.trim_retained(now, effects);
        self.touched.clear();
        self.forget_closed_transports(effects);
        self.count(effects);
        self.report_losses(now);
    }

    fn handle_timeouts(
        &mut self,
        waiting: &mut WaitingMail<'_>,
        now: Millis,
        effects: &mut Effects,
    ) {
        while let Some(number) = self.deadlines.pop_due(now) {
            if self.postpone_timeout(number, now, waiting) {
                continue;
            }
            let was_forgotten = self.with_stream(number, now, effects, |stream, turn| {
                let was_ended = stream.state().is_ended();
                stream.on_timeout(turn);
                was_ended && stream.state().inbox().is_done()
            });
            add(&self.counters.forgotten, u64::from(was_forgotten == Some(true)));
            self.check_silence(number, now, effects);
        }
    }

    /// Lets streams continue whose messages waited for room in a budget.
    fn retry_blocked(&mut self, now: Millis, effects: &mut Effects) {
        for number in self.budgets.blocked.take_due(now) {
            let stream = self.streams.get(&number);
            match stream.map(|stream| stream.intake(&self.limits)) {
                Some(Intake::Nothing) => self.budgets.blocked.insert(number, now),
                Some(Intake::InOrder | Intake::All) => {
                    self.with_client_input(number, now, effects, Stream::on_intake);
                }
                None => {}
            }
        }
    }

    /// Assigns a stream whose client selected the service in this turn.
    fn assign_selected(&mut self, number: StreamNumber, now: Millis, effects: &mut Effects) {
        let Some(stream) = self.streams.get(&number) else { return };
        if stream.awaits_selection() || !self.selection.finish(number) {
            return;
        }
        if stream.state().inbox().is_done() {
            return;
        }
        let needed = NeededInstance::of(stream.state());
        if let Some(session) = self.assignment.add(number, needed, None).cloned() {
            self.with_stream(number, now, effects, |stream, turn| {
                stream.on_assigned(session.id, &session.instance_id, session.window, turn);
            });
        }
    }

    /// Frees an ended stream if its service has never had an instance: nobody has received an event of the stream.
    fn free_unserved(&mut self, number: StreamNumber, now: Millis, effects: &mut Effects) {
        let Some(stream) = self.streams.get(&number).filter(|stream| stream.may_be_unserved())
        else {
            return;
        };
        if self.assignment.is_known(stream.state().service()) {
            return;
        }
        if now < self.expects_services_until {
            self.ended_early.insert(number);
            return;
        }
        let is_freed =
            self.with_stream(number, now, effects, |stream, turn| stream.free_unserved(turn));
        add(&self.counters.freed_unserved, u64::from(is_freed == Some(true)));
    }

    /// Removes a stream from its session once the end is acknowledged, so that no later mail of the turn assigns the
    /// stream again: the assignment would be a record of a stream that recovery does not know any more.
    pub(super) fn unassign_if_done(&mut self, number: StreamNumber) {
        if let Some(stream) = self.streams.get(&number).filter(|one| one.state().inbox().is_done())
        {
            self.assignment.remove(number, stream.session());
        }
    }

    /// Adds tombstones for the streams that an earlier owner has removed since the checkpoint.
    pub(in crate::partition) fn add_tombstones(
        &mut self,
        forgotten: Vec<ForgottenStream>,
        now: Millis,
    ) {
        for ForgottenStream { origin, ended, protocol } in forgotten {
            let key = (origin.service.clone(), origin.id.clone());
            self.tombstones.add(key, &ended, protocol, now);
        }
    }

    /// Removes a stream whose end is acknowledged; updates the deadline of any other.
    fn remove_if_done(&mut self, number: StreamNumber, now: Millis) {
        let Some(stream) = self.streams.get(&number) else { return };
        let deadline = stream.next_deadline(&self.limits);
        if stream.state().inbox().is_done() {
            let origin = stream.state().origin();
            let key = (origin.service.clone(), origin.id.clone());
            if self.by_id.get(&key) == Some(&number) {
                self.by_id.remove(&key);
            }
            if let Some((_, ended)) = stream.state().inbox().ended() {
                self.tombstones.add(key, ended, stream.state().protocol(), now);
            }
            self.assignment.remove(number, stream.session());
            self.index.remove(number, stream.state());
            self.placeholders.remove(&number);
            self.streams.remove(&number);
            subtract(&self.counters.streams, 1);
        }
        self.deadlines.set(number, deadline);
    }

    fn forget_closed_transports(&mut self, effects: &Effects) {
        for output in &effects.outputs {
            if let Output::Edge(link, CoreFrame::Transport { transport, message }) = output
                && matches!(message, CoreMessage::Close(_))
            {
                self.forget_transport(TransportKey { link: *link, transport: *transport });
            }
        }
    }

    fn count(&mut self, effects: &Effects) {
        self.note_rollback(effects.proves_rollback);
        add(&self.counters.takeovers, effects.takeovers);
        for (stream, error) in &effects.dropped {
            recurring_lines::report_dropped(*stream, error, clock::now());
        }
        effects.records.iter().for_each(|(_, record)| self.count_record(record));
        effects.outputs.iter().for_each(|output| self.count_output(output));
        self.budgets.blocked.export();
        self.gauges.export(self.assignment.waiting());
    }

    fn count_record(&mut self, record: &Record) {
        if let Record::Ended(ended) = record
            && ended.is_loss()
        {
            self.tombstones.suspect_rollback();
            self.note_rollback(ended.by == EndedBy::App);
            self.losses.on_ended();
        }
        let counters = &self.counters;
        match record {
            Record::Opened { .. } => add(&counters.opened, 1),
            Record::Received { messages, .. } => add(&counters.messages_c2s, messages.len() as u64),
            Record::Sent { messages } => add(&counters.messages_s2c, messages.len() as u64),
            Record::Pushed(push) => add(&counters.messages_s2c, push.messages.len() as u64),
            Record::ServiceSelected { .. } => add(&counters.messages_c2s, 1),
            Record::Ended(ended) => counters.count_end(ended),
            Record::Assigned { .. }
            | Record::Sacked(_)
            | Record::Acknowledged { .. }
            | Record::LimitsSet { .. }
            | Record::Labelled { .. }
            | Record::JoinedGroup { .. }
            | Record::LeftGroup { .. }
            | Record::Finishing { .. }
            | Record::Adopted { .. }
            | Record::Trimmed { .. }
            | Record::Identified { .. } => {}
        }
    }

    fn count_output(&self, output: &Output) {
        match output {
            Output::Edge(_, frame) => match frame.close_cause() {
                Some(CloseCause::Unavailable { reason, .. }) => {
                    self.counters.count_unavailable(reason);
                }
                Some(CloseCause::Kill(_)) => add(&self.counters.killed, 1),
                Some(
                    CloseCause::Gentle
                    | CloseCause::Reset(_)
                    | CloseCause::Refused { .. }
                    | CloseCause::WrongVersion
                    | CloseCause::Superseded
                    | CloseCause::Moved,
                )
                | None => {}
            },
            Output::App(_, AppOutput::SendRefused { reason, .. })
                if *reason == RefusedReason::ResourceExhausted =>
            {
                add(&self.counters.sends_refused, 1);
            }
            Output::App(
                _,
                AppOutput::CommandRefused { .. }
                | AppOutput::SendRefused {
                    reason: RefusedReason::Invalid { .. } | RefusedReason::Unsupported(_),
                    ..
                },
            ) => add(&self.counters.commands_refused, 1),
            Output::App(..) | Output::Reply(..) => {}
        }
    }
}
