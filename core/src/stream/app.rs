//! The stream and its application session: events out, acknowledgements and strings in.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::Reset;

use super::company::Company;
use super::{AppOutput, Millis, RefusedReason, SessionId, Started, Stream, Turn};
use crate::state::{Ended, EndedBy, Record, SendState};
use crate::store::Epoch;

/// What is known of the session that the stream is assigned to.
#[derive(Debug)]
pub(super) struct AppSide {
    session: SessionId,
    /// Bytes of unacknowledged strings that may be delivered.
    window: usize,
    /// Next event to deliver in this session.
    delivered: u64,
    /// Bytes of the strings that were delivered in this session and are not acknowledged.
    in_flight: usize,
    /// The room that the session was told of.
    told: SendState,
    /// Sends that were taken, or repeated, are to be confirmed.
    confirm: Company,
    /// A send was refused for want of room: it sends nothing until it is told of some, be it as much as it was
    /// told of before.
    was_refused: bool,
}

/// The session broke the contract; why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

impl AppSide {
    pub(super) fn session(&self) -> SessionId {
        self.session
    }
}

impl Stream {
    /// The stream is assigned to a session; everything that is not acknowledged is delivered to it.
    pub fn on_assigned(
        &mut self,
        session: SessionId,
        instance: &Arc<str>,
        window: usize,
        turn: &mut Turn<'_>,
    ) {
        let resumed = self.state.was_assigned();
        if self.state.instance() != Some(instance) {
            self.commit(Record::Assigned { instance: instance.clone() }, turn);
        }
        let send_state = self.state.room(turn.limits);
        let next_event = self.state.inbox().base();
        let started = Started {
            stream: self.number,
            origin: self.state.origin().clone(),
            resumed,
            next_event,
            send_state,
            epoch: Epoch::default(),
            label: self.state.marks().label.clone(),
            groups: self.state.marks().groups.iter().cloned().collect(),
        };
        turn.effects.app(session, AppOutput::Started(Box::new(started)));
        self.app = Some(AppSide {
            session,
            window,
            delivered: next_event.max(1),
            in_flight: 0,
            told: send_state,
            confirm: Company::default(),
            was_refused: false,
        });
    }

    /// The session is gone, or the stream is taken from it.
    pub fn on_unassigned(&mut self) {
        self.app = None;
    }

    /// Events are done with.
    ///
    /// # Errors
    /// If there is no such event; nothing is changed.
    pub fn on_acknowledge(
        &mut self,
        session: SessionId,
        event: u64,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        let Some(app) = self.app.as_ref().filter(|app| app.session == session) else {
            return Ok(());
        };
        if event < app.delivered {
            self.acknowledge(event, turn);
            return Ok(());
        }
        self.excuse(event)
    }

    /// An acknowledgement of what was not delivered in this session may have been under way while the
    /// partition was elsewhere and came back: it means nothing then, and what the session has done comes
    /// again when it has seen its Started.
    fn excuse(&self, event: u64) -> Result<(), Violation> {
        if event < self.state.inbox().next() {
            return Ok(());
        }
        let number = self.number;
        Err(Violation(format!("acknowledge.event: stream {number} has no event {event}")))
    }

    /// Strings for the client: all or none, with the acknowledgement or without either.
    ///
    /// # Errors
    /// As [`Stream::on_acknowledge`].
    pub fn on_send(
        &mut self,
        session: SessionId,
        first: u64,
        messages: Vec<Bytes>,
        acknowledge: Option<u64>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        let Some(app) = self.app.as_mut().filter(|app| app.session == session) else {
            self.refuse(session, first, RefusedReason::Ended, turn);
            return Ok(());
        };
        if let Some(event) = acknowledge
            && event >= app.delivered
        {
            return self.excuse(event);
        }
        let messages = match self.judge(first, messages, turn) {
            Ok(messages) => messages,
            Err(reason) => {
                self.refuse(session, first, reason, turn);
                return Ok(());
            }
        };
        if let Some(app) = &mut self.app {
            app.confirm.owe(turn.now, messages.len(), messages.iter().map(Bytes::len).sum());
        }
        if !messages.is_empty() {
            self.commit(Record::Sent { messages }, turn);
        }
        if let Some(event) = acknowledge {
            self.acknowledge(event, turn);
        }
        Ok(())
    }

    /// The application ends the stream.
    pub fn on_reset(&mut self, session: SessionId, reset: Reset, turn: &mut Turn<'_>) {
        if self.session() == Some(session) {
            self.end(Ended { reset, by: EndedBy::App }, turn);
        }
    }

    /// Delivers what can be delivered and tells of room. An ended stream tells it too: its outbox is empty,
    /// so a send that waits for room goes on, is refused, and learns of the end.
    pub(super) fn flush_app(&mut self, turn: &mut Turn<'_>) {
        let mut is_due = false;
        while let Some((session, output)) = self.next_delivery() {
            let has_messages = matches!(output, AppOutput::Messages { .. });
            turn.effects.app(session, output);
            if let Some(app) = self.app.as_mut().filter(|_| has_messages) {
                is_due |= app.confirm.join(turn.now);
            }
        }
        let room = self.state.room(turn.limits);
        let stream = self.number;
        let Some(app) = &mut self.app else { return };
        is_due |= app.confirm.is_due(turn.now) || (self.state.is_ended() && app.confirm.waits());
        if is_due || app.is_worth_telling(room, self.state.marks().outbox.of(turn.limits)) {
            app.confirm.go_alone(turn.now);
            (app.told, app.was_refused) = (room, false);
            turn.effects.app(app.session, AppOutput::SendState { stream, state: room });
        }
    }

    fn acknowledge(&mut self, event: u64, turn: &mut Turn<'_>) {
        let base = self.state.inbox().base();
        if event < base {
            return;
        }
        let freed: usize = (base..=event)
            .filter_map(|event| self.state.inbox().string(event))
            .map(Bytes::len)
            .sum();
        self.commit(Record::Acknowledged { event }, turn);
        if let Some(app) = &mut self.app {
            app.in_flight = app.in_flight.saturating_sub(freed);
        }
        self.take_parked(turn);
    }

    /// The strings of a send that are new, or why it is refused.
    fn judge(
        &self,
        first: u64,
        mut messages: Vec<Bytes>,
        turn: &Turn<'_>,
    ) -> Result<Vec<Bytes>, RefusedReason> {
        if self.state.is_ended() {
            return Err(RefusedReason::Ended);
        }
        let room = self.state.room(turn.limits);
        let repeated = room.next_send.checked_sub(first).ok_or(RefusedReason::OutOfOrder)?;
        messages.drain(..messages.len().min(usize::try_from(repeated).unwrap_or(usize::MAX)));
        if room.admits(&messages) { Ok(messages) } else { Err(RefusedReason::ResourceExhausted) }
    }

    fn refuse(
        &mut self,
        session: SessionId,
        first: u64,
        reason: RefusedReason,
        turn: &mut Turn<'_>,
    ) {
        let (stream, next_send) = (self.number, self.state.marks().next_send(self.state.outbox()));
        turn.effects.app(session, AppOutput::SendRefused { stream, first, reason, next_send });
        if let Some(app) = self.app.as_mut().filter(|app| app.session == session) {
            app.was_refused |= reason == RefusedReason::ResourceExhausted;
        }
    }

    /// The next thing to deliver, in the order of events.
    fn next_delivery(&mut self) -> Option<(SessionId, AppOutput)> {
        let stream = self.number;
        let inbox = self.state.inbox();
        let app = self.app.as_mut()?;
        if self.changes.front().is_some_and(|(behind, _)| *behind <= app.delivered)
            && let Some((_, change)) = self.changes.pop_front()
        {
            return Some((app.session, AppOutput::TransportChanged { stream, change }));
        }
        let until = self.changes.front().map_or(u64::MAX, |(behind, _)| *behind);
        let first_event = app.delivered;
        let mut messages = Vec::new();
        while app.delivered < until
            && let Some(string) = inbox.string(app.delivered)
            && (app.in_flight == 0 || app.in_flight + string.len() <= app.window)
        {
            app.in_flight += string.len();
            app.delivered += 1;
            messages.push(string.clone());
        }
        if !messages.is_empty() {
            return Some((app.session, AppOutput::Messages { stream, first_event, messages }));
        }
        let (event, end) = inbox.ended().filter(|(event, _)| *event == app.delivered)?;
        app.delivered += 1;
        Some((app.session, AppOutput::Ended { stream, event, end: end.clone() }))
    }
}

impl AppSide {
    /// When it is told at the latest that its sends were taken.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.confirm.deadline()
    }

    /// Whether the session should hear of the room that there is now, be there something to confirm or not: when it
    /// may pause or go on, and otherwise in steps of a quarter.
    fn is_worth_telling(&self, room: SendState, (bytes, messages): (usize, usize)) -> bool {
        let has_room = room.bytes_left > 0 && room.messages_left > 0;
        let had_room = !self.was_refused && self.told.bytes_left > 0 && self.told.messages_left > 0;
        let grew = |now: u32, told: u32, limit: usize| {
            now > told && (now - told) as usize >= limit.div_ceil(4)
        };
        room.paused != self.told.paused
            || (has_room && !had_room)
            || grew(room.bytes_left, self.told.bytes_left, bytes)
            || grew(room.messages_left, self.told.messages_left, messages)
    }
}
