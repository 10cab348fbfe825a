//! The checker's own list of a stream: the messages of both directions, and the numbers each end has seen.

use bytes::Bytes;

use crate::message::{self, Direction, Length};

/// Padding of a message, in bytes.
const LENGTH: Length = Length::UpTo(60);

/// One stream when the template was made.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) stream: usize,
    pub(super) partition: u32,
    /// Number of c2s messages; all were acknowledged to the client.
    pub(super) c2s: u64,
    /// Number of durable s2c messages.
    pub(super) s2c: u64,
    /// Number of s2c messages that the client has received.
    pub(super) received: u64,
    /// The last event that the application acknowledged.
    pub(super) handled: u64,
}

impl History {
    /// The planned number of c2s messages of a stream.
    pub(super) fn planned_c2s(stream: usize) -> u64 {
        4 + (stream % 5) as u64
    }

    /// The planned last acknowledged event.
    pub(super) fn planned_handled(stream: usize) -> u64 {
        Self::planned_c2s(stream) / 2
    }

    pub(super) fn id(&self) -> String {
        stream_id(self.stream)
    }
}

/// A stream id of valid length.
pub(super) fn stream_id(stream: usize) -> String {
    format!("damage-stream-{stream:010}")
}

/// A message of the list.
pub(super) fn listed(direction: Direction, stream: usize, number: u64) -> Bytes {
    message::write(direction, stream, number, LENGTH)
}

/// The message that a client sends after a restart.
pub(super) fn probe(round: u64, stream: usize) -> Bytes {
    format!("probe {round} of {stream}").into()
}

/// The application's answer.
pub(super) fn echo(round: u64, stream: usize) -> Bytes {
    format!("answer {round} of {stream}").into()
}
