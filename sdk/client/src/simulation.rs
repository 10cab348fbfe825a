//! What the simulation (`tests/simulation`) uses of the inside: the stream machine, so that it does what the
//! client does. Not built into any program.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::{Frame, StreamId};

use crate::config::{Config, TransportKind};
use crate::error::Ended;
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

/// The client's stream machine.
pub struct Machine(StreamMachine);

impl Machine {
    /// A stream without transports.
    pub fn new(config: Config, id: StreamId, seed: u64) -> Self {
        Self(StreamMachine::new(config, id, seed))
    }

    /// Queues a string, if there is room.
    pub fn push(&mut self, now: Duration, string: Bytes) -> Option<u64> {
        self.0.push(now, string)
    }

    /// The next string for the application.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.0.pop()
    }

    /// The next thing to do.
    pub fn next_wish(&mut self) -> Option<Wish> {
        Some(match self.0.next_output()? {
            Output::Open { number, kind, role, .. } => {
                Wish::Open(number, kind, role == Role::Upload)
            }
            Output::Close { number } => Wish::Close(number),
            Output::Drop { number } => Wish::Drop(number),
        })
    }

    /// The frames to write to a transport now.
    pub fn take_frames(&mut self, now: Duration, number: u64) -> Vec<Frame> {
        self.0.take_frames(now, number)
    }

    /// A frame came in.
    pub fn on_frame(&mut self, now: Duration, number: u64, frame: Frame) {
        self.0.on_frame(now, number, frame);
    }

    /// A transport is gone; `finished`: its HTTP response came to its end.
    pub fn on_end(&mut self, now: Duration, number: u64, finished: bool) {
        let end = if finished { End::Finished } else { End::Failed };
        self.0.on_end(now, number, end);
    }

    /// Its time has come.
    pub fn on_timeout(&mut self, now: Duration) {
        self.0.on_timeout(now);
    }

    /// When [`Machine::on_timeout`] must be called.
    pub fn next_timeout(&self, now: Duration) -> Option<Duration> {
        self.0.next_timeout(now)
    }

    /// Moves to another transport.
    pub fn switch(&mut self, now: Duration, kind: TransportKind) {
        self.0.switch(now, kind);
    }

    /// Drops all transports.
    pub fn cut(&mut self, now: Duration) {
        self.0.cut(now);
    }

    /// Gives the stream up.
    pub fn reset(&mut self, now: Duration, reason: &str) {
        self.0.reset(now, reason);
    }

    /// Tells whether the driver reads.
    pub fn set_reading(&mut self, now: Duration, reading: bool) -> bool {
        self.0.set_reading(now, reading)
    }

    /// The server made or found the stream.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// How the stream ended.
    pub fn ended(&self) -> Option<&Ended> {
        self.0.ended()
    }

    /// All strings below are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged()
    }
}
