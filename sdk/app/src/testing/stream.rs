//! One stream as the kit's core keeps it: what is durable of it, and how far the call has come with it. Pure; the
//! state of the core calls it. The rules are those of `app.proto`.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use minerva_proto::app::{
    Ended, EndedBy, GroupRefused, Messages, Reset, Send, SendRefused, SendRefusedReason, SendState,
    SetLimits, Started, event,
};

use minerva_proto::marks::MAX_GROUPS;

use super::validate::CommandError;

/// Bytes and messages that something holds at most.
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
    /// The client's messages that are not acknowledged; the first is event `next_event`, or 1.
    inbox: Buffer,
    ended: Option<Ended>,
    next_send: u64,
    outbox: Buffer,
    bounds: Bounds,
    pub(super) label: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) max_idle_ms: Option<u64>,
    delivery: Option<Delivery>,
}

/// Messages in order.
#[derive(Debug, Default)]
struct Buffer {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

/// The part of a stream that is lost with the call.
#[derive(Debug)]
struct Delivery {
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
            inbox: Buffer::default(),
            ended: None,
            next_send: 0,
            outbox: Buffer::default(),
            bounds,
            label: String::new(),
            groups: BTreeSet::new(),
            max_idle_ms: None,
            delivery: None,
        }
    }

    // The client's side.

    /// Room for one more message of the client.
    pub(super) fn has_inbox_room(&self, bounds: Bounds) -> bool {
        self.inbox.bytes < bounds.bytes && self.inbox.messages.len() < bounds.messages
    }

    /// A message of the client. It goes nowhere if the stream is over.
    pub(super) fn on_message(&mut self, message: Bytes, events: &mut Vec<event::Event>) {
        if self.ended.is_none() {
            self.inbox.push(message);
            self.deliver(events);
        }
    }

    /// The client takes a message.
    pub(super) fn take_message(&mut self, events: &mut Vec<event::Event>) -> Option<Bytes> {
        let message = self.outbox.pop()?;
        self.push_send_state(events);
        Some(message)
    }

    /// Ends, unless it has ended before.
    pub(super) fn end(&mut self, ended: Ended, events: &mut Vec<event::Event>) {
        if self.ended.is_none() {
            self.ended = Some(Ended { event: self.next_number(), ..ended });
            self.outbox = Buffer::default();
            self.deliver(events);
            self.push_send_state(events);
        }
    }

    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// All that happened was acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.next_event == self.next_number() + u64::from(self.ended.is_some())
    }

    /// Messages of the client that are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.inbox.messages.len()
    }

    // The app's side.

    /// It is over, and its end was acknowledged.
    pub(super) fn is_forgotten(&self) -> bool {
        self.ended.is_some() && self.is_acknowledged()
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.delivery.is_some()
    }

    pub(super) fn assign(&mut self, window: usize, events: &mut Vec<event::Event>) {
        events.push(event::Event::Started(Started {
            resumed: self.was_assigned,
            next_event: self.next_event,
            next_send: self.next_send,
            send_state: Some(self.room()),
            ..self.started.clone()
        }));
        self.was_assigned = true;
        self.delivery = Some(Delivery { window, delivered: self.next_event.max(1), in_flight: 0 });
        self.deliver(events);
    }

    pub(super) fn unassign(&mut self) {
        self.delivery = None;
    }

    pub(super) fn on_acknowledge(
        &mut self,
        event: u64,
        events: &mut Vec<event::Event>,
    ) -> Result<(), CommandError> {
        if self.may_acknowledge("acknowledge.event", event)? {
            self.acknowledge(event);
            self.deliver(events);
        }
        Ok(())
    }

    pub(super) fn on_send(
        &mut self,
        send: Send,
        events: &mut Vec<event::Event>,
    ) -> Result<(), CommandError> {
        if self.delivery.is_none() {
            events.push(refused(&send, SendRefusedReason::Ended, self.next_send));
            return Ok(());
        }
        if let Some(event) = send.acknowledge
            && !self.may_acknowledge("send.acknowledge", event)?
        {
            return Ok(());
        }
        match self.classify(&send) {
            Ok(repeated) => {
                for message in send.messages.into_iter().skip(repeated) {
                    self.outbox.push(message);
                    self.next_send += 1;
                }
                if let Some(event) = send.acknowledge {
                    self.acknowledge(event);
                    self.deliver(events);
                }
                self.push_send_state(events);
            }
            Err(reason) => events.push(refused(&send, reason, self.next_send)),
        }
        Ok(())
    }

    /// The app ends it.
    pub(super) fn on_reset(&mut self, reset: &Reset, events: &mut Vec<event::Event>) {
        let (stream, reason) = (reset.stream, reset.reason.clone());
        let (application_level, by) = (reset.application_level, EndedBy::App.into());
        self.end(Ended { stream, event: 0, reason, application_level, by }, events);
    }

    pub(super) fn on_limits(&mut self, limits: &SetLimits, events: &mut Vec<event::Event>) {
        self.max_idle_ms = limits.max_idle_ms.or(self.max_idle_ms);
        let set = |limit: &mut usize, to: Option<u32>| *limit = to.map_or(*limit, |to| to as usize);
        set(&mut self.bounds.bytes, limits.outbox_bytes);
        set(&mut self.bounds.messages, limits.outbox_messages);
        self.push_send_state(events);
    }

    pub(super) fn join(&mut self, group: String, events: &mut Vec<event::Event>) {
        if self.groups.len() < MAX_GROUPS || self.groups.contains(&group) {
            self.groups.insert(group);
        } else {
            let stream = self.started.stream;
            events.push(event::Event::GroupRefused(GroupRefused { stream, group }));
        }
    }

    /// Tells the app how much room there is, if it has the stream.
    fn push_send_state(&self, events: &mut Vec<event::Event>) {
        if self.is_assigned() {
            events.push(event::Event::SendState(self.room()));
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

    /// How many of the messages were taken before, or why none is taken.
    fn classify(&self, send: &Send) -> Result<usize, SendRefusedReason> {
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
    fn may_acknowledge(&self, field: &'static str, event: u64) -> Result<bool, CommandError> {
        if event >= self.next_number() + u64::from(self.ended.is_some()) {
            let stream = self.started.stream;
            return Err(CommandError::new(field, format!("stream {stream} has no event {event}")));
        }
        Ok(self.delivery.as_ref().is_some_and(|delivery| event < delivery.delivered))
    }

    fn acknowledge(&mut self, event: u64) {
        let first = self.next_event.max(1);
        let freed: usize = (first..=event).filter_map(|_| self.inbox.pop()).map(|s| s.len()).sum();
        self.next_event = self.next_event.max(event + 1);
        if let Some(delivery) = &mut self.delivery {
            delivery.in_flight = delivery.in_flight.saturating_sub(freed);
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
    fn deliver(&mut self, events: &mut Vec<event::Event>) {
        let (stream, first) = (self.started.stream, self.next_event.max(1));
        let Some(delivery) = &mut self.delivery else { return };
        let first_event = delivery.delivered;
        let seen = usize::try_from(first_event.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut messages = Vec::new();
        for message in self.inbox.messages.iter().skip(seen) {
            if delivery.in_flight > 0 && delivery.in_flight + message.len() > delivery.window {
                break;
            }
            delivery.in_flight += message.len();
            delivery.delivered += 1;
            messages.push(message.clone());
        }
        if !messages.is_empty() {
            events.push(event::Event::Messages(Messages { stream, first_event, messages }));
        }
        if let Some(ended) = self.ended.as_ref().filter(|ended| ended.event == delivery.delivered) {
            delivery.delivered += 1;
            events.push(event::Event::Ended(ended.clone()));
        }
    }
}

impl Buffer {
    fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

pub(super) fn refused(send: &Send, reason: SendRefusedReason, next_send: u64) -> event::Event {
    let (stream, first, reason) = (send.stream, send.first, reason.into());
    event::Event::SendRefused(SendRefused { stream, first, reason, next_send })
}
