//! Access to the stream machine for the simulation (`tests/simulation`). Behind the feature `simulation`, which no
//! program enables.

use std::time::Duration;

use minerva_proto::v3::{Refusal, ResumeKey};
use minerva_proto::{Message, MessageNumber, StreamId, TransportNumber};

use crate::config::{Config, TransportKind};
use crate::error::Ended;
use crate::inbox::Inbox;
pub use crate::stream::Counters;
use crate::stream::{End, Output, Role, StreamMachine};
pub use crate::wire::{DecodeError, Frame, WireVersion, check_answer, decode, encode};

/// Output of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Open a transport: number, kind, and whether an upload.
    Open(TransportNumber, TransportKind, bool),
    /// Close the transport with its handshake.
    Close(TransportNumber),
    /// Drop the transport with the data in flight.
    Drop(TransportNumber),
}

/// The stream machine of a client with its inbox.
pub struct Machine {
    stream: StreamMachine,
    inbox: Inbox,
}

impl Machine {
    /// A stream without transports.
    pub fn new(config: Config, id: StreamId, key: ResumeKey, seed: u64) -> Self {
        let inbox = Inbox::new(&config);
        Self { stream: StreamMachine::new(config, id, key, seed), inbox }
    }

    /// Queues a message; `None` if the send queue is full, after a reset, and after the end.
    pub fn push(&mut self, now: Duration, message: Message) -> Option<MessageNumber> {
        self.stream.push(now, message).ok()
    }

    /// Moves deliverable messages to the inbox.
    pub fn fetch(&mut self, now: Duration) {
        while let Some((number, message)) = self.stream.pop() {
            self.inbox.push(number, message);
        }
        self.stream.withhold(now, self.inbox.withheld());
    }

    /// Takes the next message.
    pub fn take(&mut self, now: Duration) -> Option<Message> {
        let (_, message) = self.inbox.pop()?;
        self.stream.withhold(now, self.inbox.withheld());
        Some(message)
    }

    /// Whether the inbox holds messages.
    pub fn has_received(&self) -> bool {
        self.inbox.len() > 0
    }

    /// Whether a transport of this kind may be read. Responses to uploads contain no messages.
    pub fn may_read(&self, kind: TransportKind, is_upload: bool) -> bool {
        is_upload || self.stream.is_resetting() || self.inbox.may_read(kind)
    }

    /// Updates whether transports are read.
    pub fn update_reading(&mut self, now: Duration) {
        let reading = self.may_read(self.stream.kind(), false);
        self.stream.set_reading(now, reading);
    }

    /// The next output.
    pub fn next_action(&mut self) -> Option<Action> {
        Some(match self.stream.next_output()? {
            Output::Open { number, kind, role, server: _, version: _ } => {
                Action::Open(number, kind, role == Role::Upload)
            }
            Output::Close { number } => Action::Close(number),
            Output::Drop { number } => Action::Drop(number),
            // Machines of the simulation have no token source.
            Output::Renew => return self.next_action(),
        })
    }

    /// The frames to write to a transport now.
    pub fn take_frames(&mut self, now: Duration, number: TransportNumber) -> Vec<Frame> {
        self.stream.take_frames(now, number)
    }

    /// The version of an open transport.
    pub fn version(&self, number: TransportNumber) -> Option<WireVersion> {
        self.stream.version_of(number)
    }

    /// Continues with version 2 behind a transport whose server has no other; false if the stream needs version 3.
    pub fn fall_back(&mut self, now: Duration, number: TransportNumber) -> bool {
        self.stream.fall_back(now, number)
    }

    /// Handles a refusal in the response to a request.
    pub fn on_refusal(&mut self, now: Duration, number: TransportNumber, refusal: &Refusal) {
        self.stream.on_refusal(now, number, refusal);
    }

    /// Handles a received frame.
    pub fn on_frame(&mut self, now: Duration, number: TransportNumber, frame: Frame) {
        self.stream.on_frame(now, number, frame);
    }

    /// Whether a message was received, taken or not.
    pub fn holds(&self, number: MessageNumber) -> bool {
        self.stream.holds(number)
    }

    /// Handles the end of a transport; `finished` if an HTTP response was complete.
    pub fn on_end(&mut self, now: Duration, number: TransportNumber, finished: bool) {
        let end = if finished { End::Finished } else { End::Failed };
        self.stream.on_end(now, number, end);
    }

    /// Handles a timeout.
    pub fn on_timeout(&mut self, now: Duration) {
        self.stream.on_timeout(now);
    }

    /// Time of the next [`Machine::on_timeout`].
    pub fn next_timeout(&self, now: Duration) -> Option<Duration> {
        self.stream.next_timeout(now)
    }

    /// Moves to another kind of transport.
    pub fn switch(&mut self, now: Duration, kind: TransportKind) {
        self.stream.switch(now, kind);
    }

    /// Drops all transports.
    pub fn cut(&mut self, now: Duration) {
        self.stream.cut(now);
    }

    /// Resets the stream.
    pub fn reset(&mut self, now: Duration, reason: &str) {
        self.stream.reset(now, reason);
    }

    /// Whether two messages with one number have arrived, so that the stream is being reset.
    pub fn has_found_loss(&self) -> bool {
        self.stream.has_found_loss()
    }

    /// Whether the server has created or found the stream.
    pub fn is_ready(&self) -> bool {
        self.stream.is_ready()
    }

    /// The end of the stream; `None` before.
    pub fn ended(&self) -> Option<&Ended> {
        self.stream.ended()
    }

    /// All messages below this number are acknowledged.
    pub fn acknowledged(&self) -> MessageNumber {
        self.stream.acknowledged()
    }
}
