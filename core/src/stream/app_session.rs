//! Inputs and outputs of the app instance: assignment, acknowledgements, sends; deliveries and the room for sends.

use std::sync::Arc;

use minerva_proto::{EventNumber, MessageNumber, Payload, Reset};

use super::app_side::AppSide;
use super::machine::Stream;
use super::{AppOutput, InvalidCommand, RefusedReason, SessionId, Started, Turn};
use crate::state::{Ended, EndedBy, Record};
use crate::store::Epoch;

impl Stream {
    /// Assigns the stream to a session, to which all unacknowledged events are delivered.
    pub fn on_assigned(
        &mut self,
        session: SessionId,
        instance: &Arc<str>,
        window: usize,
        turn: &mut Turn<'_>,
    ) {
        let resumed = self.state.was_assigned();
        let redeliveries = self.redeliveries();
        if self.state.instance() != Some(instance) || redeliveries != self.state.redeliveries {
            self.commit(Record::Assigned { instance: instance.clone(), redeliveries }, turn);
        }
        self.redelivery.on_recorded();
        let send_state = self.state.send_state(turn.limits);
        let next_event = self.state.inbox().base();
        let started = Started {
            stream: self.number,
            origin: self.state.origin().clone(),
            resumed,
            finish: self.state.attributes().finish.clone(),
            next_event,
            send_state,
            assignment: self.state.assignments,
            attempts: redeliveries.saturating_add(1),
            created_tag: self.state.created_tag(),
            send_tag: self.state.tag_of_last_send().unwrap_or_default(),
            epoch: Epoch::default(),
            label: self.state.attributes().label.clone(),
            identity: self.state.identity().cloned(),
            groups: self.state.attributes().groups.iter().cloned().collect(),
        };
        turn.effects.app(session, AppOutput::Started(Box::new(started)));
        self.app = Some(AppSide::new((session, turn.now), window, next_event, send_state));
    }

    /// The instance acknowledges all events up to `event`. Refused if there is no such event.
    pub fn on_acknowledge(&mut self, session: SessionId, event: EventNumber, turn: &mut Turn<'_>) {
        let Some(app) = self.app.as_ref().filter(|app| app.session == session) else { return };
        if event < app.delivered {
            self.acknowledge(event, turn);
        } else if let Err(detail) = self.check_event_exists("acknowledge.event", event) {
            let stream = self.number;
            turn.effects.app(session, AppOutput::CommandRefused { stream, detail });
        }
    }

    /// Checks an acknowledged event that was not delivered in this session.
    ///
    /// Such an acknowledgement is ignored if the event exists: the command may have been in flight while the partition
    /// moved away and back. The instance repeats the acknowledgement after Started.
    fn check_event_exists(&self, field: &str, event: EventNumber) -> Result<(), String> {
        if event < self.state.inbox().next() {
            return Ok(());
        }
        Err(format!("{field}: stream {} has no event {event}", self.number))
    }

    /// The instance sends an invalid command, which has no effect.
    pub fn on_invalid_command(
        &mut self,
        session: SessionId,
        command: InvalidCommand,
        turn: &mut Turn<'_>,
    ) {
        let InvalidCommand { send, index, detail } = command;
        match send {
            Some(first) if self.is_assigned_to(session) => {
                self.refuse_send(session, first, RefusedReason::Invalid { detail, index }, turn);
            }
            Some(first) => self.refuse_send(session, first, RefusedReason::Ended, turn),
            None => {
                let stream = self.number;
                turn.effects.app(session, AppOutput::CommandRefused { stream, detail });
            }
        }
    }

    /// The instance sends messages, and may acknowledge events in the same step; taken as a whole or not at all.
    pub fn on_send(
        &mut self,
        session: SessionId,
        first: MessageNumber,
        messages: Vec<Payload>,
        acknowledge: Option<EventNumber>,
        turn: &mut Turn<'_>,
    ) {
        let Some(app) = self.app.as_ref().filter(|app| app.session == session) else {
            return self.refuse_send(session, first, RefusedReason::Ended, turn);
        };
        if let Some(event) = acknowledge
            && event >= app.delivered
        {
            if let Err(detail) = self.check_event_exists("send.acknowledge", event) {
                let reason = RefusedReason::Invalid { detail, index: None };
                self.refuse_send(session, first, reason, turn);
            }
            return;
        }
        let messages = match self.new_messages(first, messages, turn) {
            Ok(messages) => messages,
            Err(reason) => return self.refuse_send(session, first, reason, turn),
        };
        if let Some(app) = &mut self.app {
            let bytes = messages.iter().map(Payload::len).sum();
            app.confirmation.on_received(turn.now, messages.len(), bytes);
        }
        if !messages.is_empty() {
            self.commit(Record::Sent { messages }, turn);
        }
        if let Some(event) = acknowledge {
            self.acknowledge(event, turn);
        }
    }

    /// The instance ends the stream.
    pub fn on_reset(&mut self, session: SessionId, reset: Reset, turn: &mut Turn<'_>) {
        if self.is_assigned_to(session) {
            self.end(Ended { reset, by: EndedBy::App }, turn);
        }
    }

    /// Delivers events and reports the room for sends.
    ///
    /// The room of an ended stream is reported too: a send that waits for room is then refused and returns the end.
    pub(super) fn flush_app(&mut self, turn: &mut Turn<'_>) {
        let mut is_due = false;
        while let Some((session, output)) = self.next_delivery() {
            let has_messages = matches!(output, AppOutput::Messages { .. });
            turn.effects.app(session, output);
            if let Some(app) = self.app.as_mut().filter(|_| has_messages) {
                is_due |= app.confirmation.piggyback(turn.now);
            }
        }
        let room = self.state.send_state(turn.limits);
        let (stream, is_ended) = (self.number, self.state.is_ended());
        let (base, next) = (self.state.inbox().base(), self.state.inbox().next());
        let Some(app) = &mut self.app else { return };
        app.silence.update(turn.now, app.delivered.0.saturating_sub(base.0), next.0 - base.0);
        is_due |= app.confirmation.is_due(turn.now) || (is_ended && app.confirmation.is_pending());
        if is_due || app.must_report(room, self.state.attributes().outbox.of(turn.limits)) {
            app.confirmation.flush_alone(turn.now);
            (app.reported, app.was_refused) = (room, false);
            let tag = self.state.tag_of_last_send().unwrap_or_default();
            turn.effects.app(app.session, AppOutput::SendState { stream, state: room, tag });
        }
    }

    fn acknowledge(&mut self, event: EventNumber, turn: &mut Turn<'_>) {
        let base = self.state.inbox().base();
        if event < base {
            return;
        }
        let freed: usize = (base.0..=event.0)
            .filter_map(|event| self.state.inbox().message(EventNumber(event)))
            .map(Payload::len)
            .sum();
        self.commit(Record::Acknowledged { event }, turn);
        if let Some(app) = &mut self.app {
            app.in_flight = app.in_flight.saturating_sub(freed);
            app.silence.on_progress();
        }
        self.accept_parked(turn);
    }

    /// The messages of a send without those of earlier sends, or the reason to refuse the send.
    fn new_messages(
        &self,
        first: MessageNumber,
        mut messages: Vec<Payload>,
        turn: &Turn<'_>,
    ) -> Result<Vec<Payload>, RefusedReason> {
        if self.state.is_ended() {
            return Err(RefusedReason::Ended);
        }
        if self.state.is_finishing() {
            let is_repeated = first.0 + messages.len() as u64 <= self.state.next_send().0;
            return if is_repeated { Ok(Vec::new()) } else { Err(RefusedReason::Finished) };
        }
        let room = self.state.send_state(turn.limits);
        let repeated = room.next_send.checked_sub(first).ok_or(RefusedReason::OutOfOrder)?;
        let repeated = messages.len().min(usize::try_from(repeated).unwrap_or(usize::MAX));
        messages.drain(..repeated);
        if let Some(index) = self.state.origin().unsupported(&messages) {
            let index = u32::try_from(repeated + index).unwrap_or(u32::MAX);
            return Err(RefusedReason::Unsupported(index));
        }
        if room.admits(&messages) { Ok(messages) } else { Err(RefusedReason::ResourceExhausted) }
    }

    fn refuse_send(
        &mut self,
        session: SessionId,
        first: MessageNumber,
        reason: RefusedReason,
        turn: &mut Turn<'_>,
    ) {
        let (stream, next_send) = (self.number, self.state.next_send());
        if let Some(app) = self.app.as_mut().filter(|app| app.session == session) {
            app.was_refused |= reason == RefusedReason::ResourceExhausted;
        }
        turn.effects.app(session, AppOutput::SendRefused { stream, first, reason, next_send });
    }

    /// The next output for the session: events in order, each transport change at the right place between them.
    fn next_delivery(&mut self) -> Option<(SessionId, AppOutput)> {
        let (stream, state) = (self.number, &self.state);
        let inbox = state.inbox();
        let delivered = self.app.as_ref()?.delivered;
        let attempts = self.attempts(delivered);
        let boundary = self.redelivery.boundary(delivered);
        let app = self.app.as_mut()?;
        if std::mem::take(&mut app.must_report_identity)
            && let Some(identity) = state.identity().cloned()
        {
            return Some((app.session, AppOutput::Renewed { stream, identity }));
        }
        if self.changes.front().is_some_and(|(event, _)| *event <= app.delivered)
            && let Some((_, change)) = self.changes.pop_front()
        {
            return Some((app.session, AppOutput::TransportChanged { stream, change }));
        }
        let change = self.changes.front().map(|(event, _)| *event);
        let until = change.into_iter().chain(boundary).min().unwrap_or(EventNumber(u64::MAX));
        let first_event = app.delivered;
        let mut messages = Vec::new();
        while app.delivered < until
            && let Some(message) = inbox.message(app.delivered)
            && (app.in_flight == 0 || app.in_flight + message.len() <= app.window)
            && state.has_same_event_tag(first_event, app.delivered)
        {
            app.in_flight += message.len();
            app.delivered += 1;
            messages.push(message.clone());
        }
        if !messages.is_empty() {
            let tag = state.tag_of_event(first_event).unwrap_or_default();
            let output = AppOutput::Messages { stream, first_event, messages, tag, attempts };
            return Some((app.session, output));
        }
        if app.delivered < until
            && let Some(rejoin) = inbox.rejoin(app.delivered).cloned()
        {
            let event = app.delivered;
            app.delivered += 1;
            let identity = state.identity().cloned();
            return Some((app.session, AppOutput::Rejoined { stream, event, rejoin, identity }));
        }
        let (event, end) = inbox.ended().filter(|(event, _)| *event == app.delivered)?;
        app.delivered += 1;
        Some((app.session, AppOutput::Ended { stream, event, end: end.clone() }))
    }
}
