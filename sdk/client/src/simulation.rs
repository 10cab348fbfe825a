//! What the simulation (`tests/simulation`) uses of the inside: the stream machine, so that it does what the
//! client does. Not built into any program.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::{Frame, StreamId};

use crate::config::{Config, TransportKind};
use crate::error::Ended;
use crate::inbox::Inbox;
pub use crate::stream::Counters;
use crate::stream::{End, Output, Role, StreamMachine};

/// What the machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Open a transport: its number, what carries it, whether it is an upload.
    Open(u64, TransportKind, bool),
    /// Close it as the protocol wants.
    Close(u64),
    /// Drop it.
    Drop(u64),
}

/// The client's stream machine, and what it received that the application has not taken.
pub struct Machine {
    stream: StreamMachine,
    inbox: Inbox,
}

impl Machine {
    /// A stream without transports.
    pub fn new(config: Config, id: StreamId, seed: u64) -> Self {
        let inbox = Inbox::new(&config);
        Self { stream: StreamMachine::new(config, id, seed), inbox }
    }

    /// Queues a string, if there is room.
    pub fn push(&mut self, now: Duration, string: Bytes) -> Option<u64> {
        self.stream.push(now, string)
    }

    /// Moves what was received in order to where the application takes it.
    pub fn fetch(&mut self, now: Duration) {
        while let Some(string) = self.stream.pop() {
            self.inbox.push(string);
        }
        self.stream.withhold(now, self.inbox.withheld());
    }

    /// The next string for the application.
    pub fn take(&mut self, now: Duration) -> Option<Bytes> {
        let string = self.inbox.pop()?;
        self.stream.withhold(now, self.inbox.withheld());
        Some(string)
    }

    /// Strings wait for the application.
    pub fn has_received(&self) -> bool {
        self.inbox.len() > 0
    }

    /// Whether a transport of this kind may be read. Answers to uploads bring no strings.
    pub fn may_read(&self, kind: TransportKind, is_upload: bool) -> bool {
        is_upload
            || if kind.is_socket() {
                self.inbox.may_read_socket()
            } else {
                self.inbox.may_read_response()
            }
    }

    /// Tells the machine whether its transports are read.
    pub fn tell_reading(&mut self, now: Duration) {
        let reading = self.may_read(self.stream.kind(), false);
        self.stream.set_reading(now, reading);
    }

    /// The next thing to do.
    pub fn next_wish(&mut self) -> Option<Wish> {
        Some(match self.stream.next_output()? {
            Output::Open { number, kind, role, server: _ } => {
                Wish::Open(number, kind, role == Role::Upload)
            }
            Output::Close { number } => Wish::Close(number),
            Output::Drop { number } => Wish::Drop(number),
        })
    }

    /// The frames to write to a transport now.
    pub fn take_frames(&mut self, now: Duration, number: u64) -> Vec<Frame> {
        self.stream.take_frames(now, number)
    }

    /// A frame came in.
    pub fn on_frame(&mut self, now: Duration, number: u64, frame: Frame) {
        self.stream.on_frame(now, number, frame);
    }

    /// A transport is gone; `finished`: its HTTP response came to its end.
    pub fn on_end(&mut self, now: Duration, number: u64, finished: bool) {
        let end = if finished { End::Finished } else { End::Failed };
        self.stream.on_end(now, number, end);
    }

    /// Its time has come.
    pub fn on_timeout(&mut self, now: Duration) {
        self.stream.on_timeout(now);
    }

    /// When [`Machine::on_timeout`] must be called.
    pub fn next_timeout(&self, now: Duration) -> Option<Duration> {
        self.stream.next_timeout(now)
    }

    /// Moves to another transport.
    pub fn switch(&mut self, now: Duration, kind: TransportKind) {
        self.stream.switch(now, kind);
    }

    /// Drops all transports.
    pub fn cut(&mut self, now: Duration) {
        self.stream.cut(now);
    }

    /// Gives the stream up.
    pub fn reset(&mut self, now: Duration, reason: &str) {
        self.stream.reset(now, reason);
    }

    /// The server made or found the stream.
    pub fn is_ready(&self) -> bool {
        self.stream.is_ready()
    }

    /// How the stream ended.
    pub fn ended(&self) -> Option<&Ended> {
        self.stream.ended()
    }

    /// All strings below are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.stream.acknowledged()
    }
}
