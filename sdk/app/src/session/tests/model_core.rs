//! A model of a core with one stream, written literally after the contract: durable state, and a call that
//! can be lost.

use std::collections::VecDeque;

use minerva_proto::app::{
    Command, Ended, EndedBy, Messages, Registered, Released, Send, SendRefused, SendRefusedReason,
    SendState, Started, command, event::Event,
};
use minerva_proto::{Feature, Features, Message, StreamNumber, app};

use crate::contents::Contents;

pub(super) const STREAM: StreamNumber = StreamNumber(9);
pub(super) const ID: &str = "abcdefghijklmnopqrstuvwxyz";
/// Unacknowledged messages that the core delivers.
const WINDOW: usize = 4;
/// Capacity of the outbox.
pub(super) const OUTBOX_MESSAGES: usize = 8;
pub(super) const OUTBOX_BYTES: usize = 100;

/// A message whose kind depends on the number.
pub(super) fn kind_by_number(number: usize, content: String) -> Message {
    if number.is_multiple_of(2) { content.into() } else { content.into_bytes().into() }
}

#[derive(Debug)]
pub(super) struct Model {
    /// All messages of the client: message `n` is event `n + 1`.
    pub(super) client_sent: Vec<Message>,
    /// All messages taken from the session.
    pub(super) taken: Vec<Message>,
    /// Number of taken messages that the client has received.
    client_took: usize,
    /// Events below are acknowledged.
    pub(super) acknowledged: u64,
    /// Events below were delivered on this call.
    delivered: u64,
    pub(super) ended: bool,
    started: bool,
    /// Epoch of the owner.
    pub(super) epoch: u64,
    /// Messages of other senders in the outbox.
    pub(super) used_by_others: usize,
    pub(super) events: VecDeque<Event>,
    pub(super) commands: VecDeque<Command>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            client_sent: Vec::new(),
            taken: Vec::new(),
            client_took: 0,
            acknowledged: 0,
            delivered: 0,
            ended: false,
            started: false,
            epoch: 0,
            used_by_others: 0,
            events: VecDeque::new(),
            commands: VecDeque::new(),
        }
    }

    pub(super) fn breaks(&mut self) {
        self.events.clear();
        self.commands.clear();
    }

    pub(super) fn register(&mut self, held: &[StreamNumber]) {
        assert!(held.iter().all(|&stream| stream == STREAM));
        assert!(held.len() <= 1);
        self.push_registered();
        self.start(!held.is_empty());
    }

    pub(super) fn push_registered(&mut self) {
        self.events.push_back(Event::Registered(Registered {
            core_id: String::new(),
            outbox_bytes: OUTBOX_BYTES as u32,
            outbox_messages: OUTBOX_MESSAGES as u32,
            max_message_bytes: 1000,
            features: Features::NONE.with(Feature::MessageKinds).names(),
            ..Registered::default()
        }));
    }

    /// The first events of the owner about the stream.
    pub(super) fn start(&mut self, held: bool) {
        if self.is_forgotten() {
            if held {
                self.events.push_back(Event::Released(Released {
                    stream: STREAM.0,
                    ..Released::default()
                }));
            }
            return;
        }
        self.delivered = self.acknowledged.max(1);
        self.events.push_back(Event::Started(Started {
            stream: STREAM.0,
            stream_id: ID.to_owned(),
            resumed: self.started,
            epoch: self.epoch,
            next_event: self.acknowledged,
            next_send: self.taken.len() as u64,
            send_state: Some(self.state()),
            accepts: app::Accepts::TextAndBinary.into(),
            ..Started::default()
        }));
        self.started = true;
    }

    /// Whether the owner has delivered events up to this one.
    pub(super) fn is_delivered(&self, event: u64) -> bool {
        event < self.delivered
    }

    pub(super) fn client_sends(&mut self) {
        if !self.ended {
            let number = self.client_sent.len();
            let message = kind_by_number(number, number.to_string());
            self.client_sent.push(message);
        }
    }

    pub(super) fn client_takes(&mut self, count: usize) {
        let before = self.state();
        self.client_took = (self.client_took + count).min(self.taken.len());
        let now = self.state();
        if now != before && !self.ended {
            self.events.push_back(Event::SendState(now));
        }
    }

    pub(super) fn deliver(&mut self, count: usize) {
        let first = self.delivered;
        let messages = self.client_sent.len() as u64 + 1;
        let end = messages.min(first + count as u64).min(self.acknowledged.max(1) + WINDOW as u64);
        if first < end {
            self.push_messages(first, end);
            self.delivered = end;
        }
        if self.ended && self.delivered == messages {
            self.delivered += 1;
            self.events.push_back(Event::Ended(Ended {
                stream: STREAM.0,
                event: messages,
                reason: "over".to_owned(),
                application_level: true,
                by: EndedBy::Client.into(),
            }));
        }
    }

    pub(super) fn deliver_again(&mut self) {
        let end = self.delivered.min(self.client_sent.len() as u64 + 1);
        let first = self.acknowledged.max(1);
        if first < end && !self.is_forgotten() {
            self.push_messages(first, end);
        }
    }

    fn push_messages(&mut self, first: u64, end: u64) {
        let contents = self.client_sent[first as usize - 1..end as usize - 1].to_vec();
        let contents = Contents::new(contents, true).contents;
        self.events.push_back(Event::Messages(Messages {
            stream: STREAM.0,
            first_event: first,
            contents,
            attempts: 1,
            ..Messages::default()
        }));
    }

    /// Ends the stream. Messages for the client are dropped, and the new credit wakes senders, which then
    /// learn of the end.
    pub(super) fn end(&mut self) {
        self.client_took = self.taken.len();
        self.used_by_others = 0;
        self.ended = true;
        self.events.push_back(Event::SendState(self.state()));
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.ended && self.acknowledged > self.client_sent.len() as u64 + 1
    }

    /// Applies one command and returns the acknowledged event. Returns `None` if no command is
    /// queued.
    #[expect(clippy::option_option, reason = "a command may acknowledge nothing")]
    pub(super) fn take(&mut self) -> Option<Option<u64>> {
        let command = self.commands.pop_front()?.command.unwrap();
        Some(match command {
            command::Command::Acknowledge(acknowledge) => self.acknowledge(acknowledge.event),
            command::Command::Send(send) => self.take_send(send),
            // No effect after the end.
            command::Command::Reset(_) if self.ended => None,
            command::Command::Register(_)
            | command::Command::Reset(_)
            | command::Command::Finish(_)
            | command::Command::SetLimits(_)
            | command::Command::SetLabel(_)
            | command::Command::JoinGroup(_)
            | command::Command::LeaveGroup(_)
            | command::Command::Sync(_) => panic!("unexpected: {command:?}"),
        })
    }

    fn acknowledge(&mut self, event: u64) -> Option<u64> {
        assert!(event < self.delivered, "INVALID_ARGUMENT: {event} was not delivered");
        self.acknowledged = self.acknowledged.max(event + 1);
        Some(event)
    }

    fn take_send(&mut self, send: Send) -> Option<u64> {
        assert!(send.messages.is_empty() && !send.contents.is_empty());
        let (messages, contents) = (send.messages, send.contents);
        let messages = Contents { messages, contents }.into_messages().unwrap();
        if self.ended {
            self.refuse(send.first, SendRefusedReason::Ended);
            return None;
        }
        let next = self.taken.len() as u64;
        if send.first > next {
            self.refuse(send.first, SendRefusedReason::OutOfOrder);
            return None;
        }
        let known = (next - send.first) as usize;
        let new = messages.get(known..).unwrap_or_default();
        let bytes: usize = new.iter().map(Message::len).sum();
        let state = self.state();
        let fits = bytes <= state.bytes_left as usize || (new.len() == 1 && state.bytes_left > 0);
        if !new.is_empty() && (!fits || new.len() > state.messages_left as usize) {
            self.refuse(send.first, SendRefusedReason::ResourceExhausted);
            return None;
        }
        self.taken.extend_from_slice(new);
        let acknowledged = send.acknowledge.and_then(|event| self.acknowledge(event));
        self.events.push_back(Event::SendState(self.state()));
        acknowledged
    }

    fn refuse(&mut self, first: u64, reason: SendRefusedReason) {
        let next_send = self.taken.len() as u64;
        let refused = SendRefused {
            stream: STREAM.0,
            first,
            reason: reason.into(),
            next_send,
            ..SendRefused::default()
        };
        self.events.push_back(Event::SendRefused(refused));
        if reason == SendRefusedReason::ResourceExhausted {
            // The messages of other senders leave the outbox later.
            self.used_by_others = 0;
            self.events.push_back(Event::SendState(self.state()));
        }
    }

    fn state(&self) -> SendState {
        let held = &self.taken[self.client_took..];
        let others = if self.ended { 0 } else { self.used_by_others };
        let messages = held.len() + others;
        let bytes: usize = held.iter().map(Message::len).sum();
        SendState {
            stream: STREAM.0,
            next_send: self.taken.len() as u64,
            bytes_left: OUTBOX_BYTES.saturating_sub(bytes) as u32,
            messages_left: OUTBOX_MESSAGES.saturating_sub(messages) as u32,
            paused: messages * 2 >= OUTBOX_MESSAGES || bytes * 2 >= OUTBOX_BYTES,
            tag: 0,
        }
    }
}
