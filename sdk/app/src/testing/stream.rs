//! One stream as the kit's core keeps it: what is durable of it, and how far the call has come with it. Pure; the
//! state of the core calls it. The rules are those of `app.proto`.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use minerva_proto::app::{
    Ended, EndedBy, GroupRefused, Reset, Send, SendRefused, SendRefusedReason, SendState,
    SetLimits, Started, Messages, event,
};

use minerva_proto::marks::MAX_GROUPS;

use super::validate::Violation;

/// Bytes and strings that something holds at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) messages: usize,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// What is told each time that it is assigned, but for what changes.
    started: Started,
    was_assigned: bool,
    /// First event that is not acknowledged; 0 is Started itself.
    next_event: u64,
    /// The client's strings that are not acknowledged; the first is event `next_event`, or 1.
    inbox: Held,
    ended: Option<Ended>,
    next_send: u64,
    outbox: Held,
    bounds: Bounds,
    pub(super) label: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) max_idle_ms: Option<u64>,
    session: Option<Session>,
}

/// Strings in order.
#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

/// The part of a stream that is lost with the call.
#[derive(Debug)]
struct Session {
    window: usize,
    /// Next event to deliver.
    delivered: u64,
    /// Bytes of what was delivered and is not acknowledged.
    in_flight: usize,
}

impl Stream {
    pub(super) fn new(started: Started, bounds: Bounds) -> Self {
        Self {
            started,
            was_assigned: false,
            next_event: 0,
            inbox: Held::default(),
            ended: None,
            next_send: 0,
            outbox: Held::default(),
            bounds,
            label: String::new(),
            groups: BTreeSet::new(),
            max_idle_ms: None,
            session: None,
        }
    }

    // The client's side.

    /// Room for one more string of the client.
    pub(super) fn takes_string(&self, bounds: Bounds) -> bool {
        self.inbox.bytes < bounds.bytes && self.inbox.messages.len() < bounds.messages
    }

    /// A string of the client. It goes nowhere if the stream is over.
    pub(super) fn on_string(&mut self, string: Bytes, said: &mut Vec<event::Event>) {
        if self.ended.is_none() {
            self.inbox.push(string);
            self.deliver(said);
        }
    }

    /// The client takes a string.
    pub(super) fn take_string(&mut self, said: &mut Vec<event::Event>) -> Option<Bytes> {
        let string = self.outbox.pop()?;
        self.tell_room(said);
        Some(string)
    }

    /// Ends, unless it has ended before.
    pub(super) fn end(&mut self, ended: Ended, said: &mut Vec<event::Event>) {
        if self.ended.is_none() {
            self.ended = Some(Ended { event: self.next_number(), ..ended });
            self.outbox = Held::default();
            self.deliver(said);
            self.tell_room(said);
        }
    }

    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// All that happened was acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.next_event == self.next_number() + u64::from(self.ended.is_some())
    }

    /// Strings of the client that are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.inbox.messages.len()
    }

    // The app's side.

    /// It is over, and its end was acknowledged.
    pub(super) fn is_forgotten(&self) -> bool {
        self.ended.is_some() && self.is_acknowledged()
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn assign(&mut self, window: usize, said: &mut Vec<event::Event>) {
        said.push(event::Event::Started(Started {
            resumed: self.was_assigned,
            next_event: self.next_event,
            next_send: self.next_send,
            send_state: Some(self.room()),
            ..self.started.clone()
        }));
        self.was_assigned = true;
        self.session = Some(Session { window, delivered: self.next_event.max(1), in_flight: 0 });
        self.deliver(said);
    }

    pub(super) fn unassign(&mut self) {
        self.session = None;
    }

    pub(super) fn on_acknowledge(
        &mut self,
        event: u64,
        said: &mut Vec<event::Event>,
    ) -> Result<(), Violation> {
        if self.may_acknowledge("acknowledge.event", event)? {
            self.acknowledge(event);
            self.deliver(said);
        }
        Ok(())
    }

    pub(super) fn on_send(
        &mut self,
        send: Send,
        said: &mut Vec<event::Event>,
    ) -> Result<(), Violation> {
        if self.session.is_none() {
            said.push(refused(&send, SendRefusedReason::Ended, self.next_send));
            return Ok(());
        }
        if let Some(event) = send.acknowledge
            && !self.may_acknowledge("send.acknowledge", event)?
        {
            return Ok(());
        }
        match self.judge(&send) {
            Ok(repeated) => {
                for string in send.messages.into_iter().skip(repeated) {
                    self.outbox.push(string);
                    self.next_send += 1;
                }
                if let Some(event) = send.acknowledge {
                    self.acknowledge(event);
                    self.deliver(said);
                }
                self.tell_room(said);
            }
            Err(reason) => said.push(refused(&send, reason, self.next_send)),
        }
        Ok(())
    }

    /// The app ends it.
    pub(super) fn on_reset(&mut self, reset: &Reset, said: &mut Vec<event::Event>) {
        let (stream, reason) = (reset.stream, reset.reason.clone());
        let (application_level, by) = (reset.application_level, EndedBy::App.into());
        self.end(Ended { stream, event: 0, reason, application_level, by }, said);
    }

    pub(super) fn on_limits(&mut self, limits: &SetLimits, said: &mut Vec<event::Event>) {
        self.max_idle_ms = limits.max_idle_ms.or(self.max_idle_ms);
        let set = |limit: &mut usize, to: Option<u32>| *limit = to.map_or(*limit, |to| to as usize);
        set(&mut self.bounds.bytes, limits.outbox_bytes);
        set(&mut self.bounds.messages, limits.outbox_messages);
        self.tell_room(said);
    }

    pub(super) fn join(&mut self, group: String, said: &mut Vec<event::Event>) {
        if self.groups.len() < MAX_GROUPS || self.groups.contains(&group) {
            self.groups.insert(group);
        } else {
            let stream = self.started.stream;
            said.push(event::Event::GroupRefused(GroupRefused { stream, group }));
        }
    }

    /// Tells the app how much room there is, if it has the stream.
    fn tell_room(&self, said: &mut Vec<event::Event>) {
        if self.is_assigned() {
            said.push(event::Event::SendState(self.room()));
        }
    }

    fn room(&self) -> SendState {
        let Bounds { bytes, messages } = self.bounds;
        let (held_bytes, held_strings) = (self.outbox.bytes, self.outbox.messages.len());
        let left = |most: usize, held| u32::try_from(most.saturating_sub(held)).unwrap_or(u32::MAX);
        SendState {
            stream: self.started.stream,
            next_send: self.next_send,
            bytes_left: left(bytes, held_bytes),
            messages_left: left(messages, held_strings),
            paused: held_bytes >= bytes.div_ceil(2) || held_strings >= messages.div_ceil(2),
        }
    }

    /// How many of the strings were taken before, or why none is taken.
    fn judge(&self, send: &Send) -> Result<usize, SendRefusedReason> {
        if self.ended.is_some() {
            return Err(SendRefusedReason::Ended);
        }
        let repeated =
            self.next_send.checked_sub(send.first).ok_or(SendRefusedReason::OutOfOrder)?;
        let repeated = usize::try_from(repeated).unwrap_or(usize::MAX);
        let new = send.messages.get(repeated..).unwrap_or_default();
        let Some((_, but_last)) = new.split_last() else { return Ok(repeated) };
        let before_last: usize = but_last.iter().map(Bytes::len).sum();
        let room = self.room();
        let fits =
            new.len() <= room.messages_left as usize && before_last < room.bytes_left as usize;
        if fits { Ok(repeated) } else { Err(SendRefusedReason::ResourceExhausted) }
    }

    /// Whether an acknowledgement counts: of what was delivered on this call.
    fn may_acknowledge(&self, field: &'static str, event: u64) -> Result<bool, Violation> {
        if event >= self.next_number() + u64::from(self.ended.is_some()) {
            let stream = self.started.stream;
            return Err(Violation::new(field, format!("stream {stream} has no event {event}")));
        }
        Ok(self.session.as_ref().is_some_and(|session| event < session.delivered))
    }

    fn acknowledge(&mut self, event: u64) {
        let first = self.next_event.max(1);
        let freed: usize = (first..=event).filter_map(|_| self.inbox.pop()).map(|s| s.len()).sum();
        self.next_event = self.next_event.max(event + 1);
        if let Some(session) = &mut self.session {
            session.in_flight = session.in_flight.saturating_sub(freed);
        }
    }

    /// Number of the end, if the stream has ended, else of the next event.
    fn next_number(&self) -> u64 {
        self.ended.as_ref().map_or_else(
            || self.next_event.max(1) + self.inbox.messages.len() as u64,
            |ended| ended.event,
        )
    }

    /// Says what there is and the window allows.
    fn deliver(&mut self, said: &mut Vec<event::Event>) {
        let (stream, first) = (self.started.stream, self.next_event.max(1));
        let Some(session) = &mut self.session else { return };
        let first_event = session.delivered;
        let seen = usize::try_from(first_event.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut messages = Vec::new();
        for string in self.inbox.messages.iter().skip(seen) {
            if session.in_flight > 0 && session.in_flight + string.len() > session.window {
                break;
            }
            session.in_flight += string.len();
            session.delivered += 1;
            messages.push(string.clone());
        }
        if !messages.is_empty() {
            said.push(event::Event::Messages(Messages { stream, first_event, messages }));
        }
        if let Some(ended) = self.ended.as_ref().filter(|ended| ended.event == session.delivered) {
            session.delivered += 1;
            said.push(event::Event::Ended(ended.clone()));
        }
    }
}

impl Held {
    fn push(&mut self, string: Bytes) {
        self.bytes += string.len();
        self.messages.push_back(string);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let string = self.messages.pop_front()?;
        self.bytes -= string.len();
        Some(string)
    }
}

pub(super) fn refused(send: &Send, reason: SendRefusedReason, next_send: u64) -> event::Event {
    let (stream, first, reason) = (send.stream, send.first, reason.into());
    event::Event::SendRefused(SendRefused { stream, first, reason, next_send })
}
