//! One stream in the kit's core: the durable state, and the delivery on the open call. Pure; owned by
//! `state`. Follows the rules of `app.proto`.

use std::collections::BTreeSet;

use minerva_proto::app::{
    Ended, EndedBy, Finish, GroupRefused, Messages, Reset, Send, SendRefused, SendRefusedReason,
    SendState, SetLimits, Started, event,
};

use minerva_proto::labels::MAX_GROUPS;
use minerva_proto::{EventNumber, Message, MessageNumber};

use super::buffer::Buffer;
use super::validate::CommandError;
use crate::accepts::Accepts;
use crate::contents::Contents;

/// Default reason of a finished stream.
const FINISHED: &str = "finished";

/// Bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) messages: usize,
}

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The constant part of each `Started`.
    started: Started,
    was_assigned: bool,
    /// First unacknowledged event; 0 is Started.
    next_event: EventNumber,
    /// Unacknowledged messages of the client; the first is event `next_event`, or 1.
    inbox: Buffer,
    ended: Option<Ended>,
    /// Reason of the end that follows the outbox.
    finish: Option<String>,
    next_send: MessageNumber,
    outbox: Buffer,
    bounds: Bounds,
    pub(super) label: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) max_idle_ms: Option<u64>,
    delivery: Option<Delivery>,
    /// Deliveries of the first unacknowledged event; 0 after an acknowledgement.
    attempts: u32,
}

/// Delivery state, lost with the call.
#[derive(Debug)]
struct Delivery {
    window: usize,
    /// Whether messages have kinds.
    has_kinds: bool,
    /// Next event to deliver.
    delivered: EventNumber,
    /// Bytes of delivered, unacknowledged messages.
    in_flight: usize,
}

impl Stream {
    pub(super) fn new(started: Started, bounds: Bounds) -> Self {
        Self {
            started,
            was_assigned: false,
            next_event: EventNumber(0),
            inbox: Buffer::default(),
            ended: None,
            finish: None,
            next_send: MessageNumber(0),
            outbox: Buffer::default(),
            bounds,
            label: String::new(),
            groups: BTreeSet::new(),
            max_idle_ms: None,
            delivery: None,
            attempts: 0,
        }
    }

    /// Whether the inbox has room for a message of the client.
    pub(super) fn has_inbox_room(&self, bounds: Bounds) -> bool {
        self.inbox.bytes < bounds.bytes && self.inbox.messages.len() < bounds.messages
    }

    /// Queues a message of the client, unless the stream has ended.
    pub(super) fn on_message(&mut self, message: Message, events: &mut Vec<event::Event>) {
        if self.ended.is_none() {
            self.inbox.push(message);
            self.deliver(events);
        }
    }

    /// Takes a message for the client.
    pub(super) fn take_message(&mut self, events: &mut Vec<event::Event>) -> Option<Message> {
        let message = self.outbox.pop()?;
        self.push_send_state(events);
        self.end_if_drained(events);
        Some(message)
    }

    /// Ends the stream once.
    pub(super) fn end(&mut self, ended: Ended, events: &mut Vec<event::Event>) {
        if self.ended.is_none() {
            self.ended = Some(Ended { event: self.next_number().0, ..ended });
            self.outbox = Buffer::default();
            self.deliver(events);
            self.push_send_state(events);
        }
    }

    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Whether all events are acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.next_event == self.next_number() + u64::from(self.ended.is_some())
    }

    /// Number of unacknowledged messages of the client.
    pub(super) fn unacknowledged(&self) -> usize {
        self.inbox.messages.len()
    }

    /// Whether the stream has ended and the end is acknowledged.
    pub(super) fn is_forgotten(&self) -> bool {
        self.ended.is_some() && self.is_acknowledged()
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.delivery.is_some()
    }

    /// The messages that the client accepts.
    pub(super) fn accepts(&self) -> Accepts {
        Accepts::from_proto(self.started.accepts())
    }

    pub(super) fn assign(
        &mut self,
        window: usize,
        has_kinds: bool,
        events: &mut Vec<event::Event>,
    ) {
        self.attempts += 1;
        events.push(event::Event::Started(Started {
            resumed: self.was_assigned,
            next_event: self.next_event.0,
            next_send: self.next_send.0,
            finishing: self.finish.is_some(),
            finish_reason: self.finish.clone().unwrap_or_default(),
            attempts: self.attempts,
            send_state: Some(self.room()),
            ..self.started.clone()
        }));
        self.was_assigned = true;
        let delivered = self.next_event.max(EventNumber(1));
        self.delivery = Some(Delivery { window, has_kinds, delivered, in_flight: 0 });
        self.deliver(events);
    }

    pub(super) fn unassign(&mut self) {
        let delivered = self.delivery.take().map_or(EventNumber(0), |delivery| delivery.delivered);
        if delivered <= self.next_event {
            self.attempts = 0;
        }
    }

    pub(super) fn on_acknowledge(
        &mut self,
        event: EventNumber,
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
        let acknowledged = send.acknowledge.map(EventNumber);
        if let Some(event) = acknowledged
            && !self.may_acknowledge("send.acknowledge", event)?
        {
            return Ok(());
        }
        let messages = self.checked_messages(&send)?;
        match self.classify(send.first, &messages) {
            Ok(repeated) => {
                for message in messages.into_iter().skip(repeated) {
                    self.outbox.push(message);
                    self.next_send = self.next_send.next();
                }
                if let Some(event) = acknowledged {
                    self.acknowledge(event);
                    self.deliver(events);
                }
                self.push_send_state(events);
            }
            Err(reason) => events.push(refused(&send, reason, self.next_send)),
        }
        Ok(())
    }

    /// Ends the stream on behalf of the app.
    pub(super) fn on_reset(&mut self, reset: &Reset, events: &mut Vec<event::Event>) {
        let (stream, reason) = (reset.stream, reset.reason.clone());
        let (application_level, by) = (reset.application_level, EndedBy::App.into());
        self.end(Ended { stream, event: 0, reason, application_level, by }, events);
    }

    /// Ends the stream on behalf of the app once the client has received all messages.
    pub(super) fn on_finish(&mut self, finish: Finish, events: &mut Vec<event::Event>) {
        let reason = if finish.reason.is_empty() { FINISHED.to_owned() } else { finish.reason };
        self.finish.get_or_insert(reason);
        self.end_if_drained(events);
    }

    fn end_if_drained(&mut self, events: &mut Vec<event::Event>) {
        if let Some(reason) = self.finish.clone().filter(|_| self.outbox.messages.is_empty()) {
            let reset = Reset { stream: self.started.stream, reason, application_level: true };
            self.on_reset(&reset, events);
        }
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

    /// Queues the send credit, if the stream is assigned.
    fn push_send_state(&self, events: &mut Vec<event::Event>) {
        if self.is_assigned() {
            events.push(event::Event::SendState(self.room()));
        }
    }

    fn room(&self) -> SendState {
        let Bounds { bytes, messages } = self.bounds;
        let (held_bytes, held_messages) = (self.outbox.bytes, self.outbox.messages.len());
        let left = |most: usize, held| u32::try_from(most.saturating_sub(held)).unwrap_or(u32::MAX);
        SendState {
            stream: self.started.stream,
            next_send: self.next_send.0,
            bytes_left: left(bytes, held_bytes),
            messages_left: left(messages, held_messages),
            paused: held_bytes >= bytes.div_ceil(2) || held_messages >= messages.div_ceil(2),
            ..SendState::default()
        }
    }

    /// The messages of a Send, all of which the client accepts.
    fn checked_messages(&self, send: &Send) -> Result<Vec<Message>, CommandError> {
        let (messages, contents) = (send.messages.clone(), send.contents.clone());
        let invalid = |problem: &str| CommandError::new("send.contents", problem);
        let messages = Contents { messages, contents }.into_messages();
        let messages = messages.map_err(|_| invalid("not UTF-8, or without content"))?;
        let accepts = self.accepts();
        match messages.iter().find_map(|message| accepts.check(message).err()) {
            Some(problem) => Err(invalid(&problem.to_string())),
            None => Ok(messages),
        }
    }

    /// Number of repeated messages in a Send, or the reason to refuse all.
    fn classify(&self, first: u64, messages: &[Message]) -> Result<usize, SendRefusedReason> {
        if self.ended.is_some() || self.finish.is_some() {
            return Err(SendRefusedReason::Ended);
        }
        let repeated = self
            .next_send
            .checked_sub(MessageNumber(first))
            .ok_or(SendRefusedReason::OutOfOrder)?;
        let repeated = usize::try_from(repeated).unwrap_or(usize::MAX);
        let new = messages.get(repeated..).unwrap_or_default();
        let Some((_, but_last)) = new.split_last() else { return Ok(repeated) };
        let before_last: usize = but_last.iter().map(Message::len).sum();
        let room = self.room();
        let fits =
            new.len() <= room.messages_left as usize && before_last < room.bytes_left as usize;
        if fits { Ok(repeated) } else { Err(SendRefusedReason::ResourceExhausted) }
    }

    /// Whether an acknowledgement counts: the event was delivered on this call.
    fn may_acknowledge(
        &self,
        field: &'static str,
        event: EventNumber,
    ) -> Result<bool, CommandError> {
        if event >= self.next_number() + u64::from(self.ended.is_some()) {
            let stream = self.started.stream;
            return Err(CommandError::new(field, format!("stream {stream} has no event {event}")));
        }
        Ok(self.delivery.as_ref().is_some_and(|delivery| event < delivery.delivered))
    }

    fn acknowledge(&mut self, event: EventNumber) {
        let first = self.next_event.max(EventNumber(1));
        let freed: usize =
            (first.0..=event.0).filter_map(|_| self.inbox.pop()).map(|s| s.len()).sum();
        if event >= self.next_event {
            self.attempts = 0;
        }
        self.next_event = self.next_event.max(event.next());
        if let Some(delivery) = &mut self.delivery {
            delivery.in_flight = delivery.in_flight.saturating_sub(freed);
        }
    }

    /// Number of the next event, or of the end.
    fn next_number(&self) -> EventNumber {
        self.ended.as_ref().map_or_else(
            || self.next_event.max(EventNumber(1)) + self.inbox.messages.len() as u64,
            |ended| EventNumber(ended.event),
        )
    }

    /// Queues the undelivered events that fit into the window.
    fn deliver(&mut self, events: &mut Vec<event::Event>) {
        let (stream, first) = (self.started.stream, self.next_event.max(EventNumber(1)));
        let Some(delivery) = &mut self.delivery else { return };
        let first_event = delivery.delivered.0;
        let seen = usize::try_from(first_event.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let mut messages = Vec::new();
        for message in self.inbox.messages.iter().skip(seen) {
            if delivery.in_flight > 0 && delivery.in_flight + message.len() > delivery.window {
                break;
            }
            delivery.in_flight += message.len();
            delivery.delivered = delivery.delivered.next();
            messages.push(message.clone());
        }
        if !messages.is_empty() {
            let is_first = first_event == first.0;
            let attempts = if is_first { self.attempts.max(1) } else { 1 };
            let Contents { messages, contents } = Contents::new(messages, delivery.has_kinds);
            let tag = 0;
            let run = Messages { stream, first_event, messages, tag, attempts, contents };
            events.push(event::Event::Messages(run));
        }
        if let Some(ended) = self.ended.as_ref().filter(|ended| ended.event == delivery.delivered.0)
        {
            delivery.delivered = delivery.delivered.next();
            events.push(event::Event::Ended(ended.clone()));
        }
    }
}

pub(super) fn refused(
    send: &Send,
    reason: SendRefusedReason,
    next_send: MessageNumber,
) -> event::Event {
    let (stream, first, reason) = (send.stream, send.first, reason.into());
    let next_send = next_send.0;
    event::Event::SendRefused(SendRefused {
        stream,
        first,
        reason,
        next_send,
        ..SendRefused::default()
    })
}
