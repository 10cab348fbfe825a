//! Results of stream calls: the unary calls of `StreamService`, which address streams from outside of an instance.
//!
//! Plain values. The stream machine makes the outcomes, the partition collects them into a reply, and the server of
//! `StreamService` encodes the reply.

use std::sync::Arc;

use minerva_proto::TransportKind;
use minerva_proto::{EventNumber, StreamNumber};

use super::Connection;
use crate::state::{Ended, SendState};

/// Number of a stream call, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamCallId(pub u64);

/// The reply of one partition: an entry for each stream found, in the order of the stream numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamReply {
    /// Reply to `Push`.
    Pushed(Vec<(StreamNumber, PushOutcome)>),
    /// Reply to `Join`.
    Joined(Vec<(StreamNumber, JoinOutcome)>),
    /// Reply to `Reset`, `Leave` and `SetLabel`.
    Done(Vec<StreamNumber>),
    /// Reply to `Get` and `List`.
    Infos(Vec<StreamInfo>),
    /// Reply to `ListGroup`.
    Members(Vec<GroupMember>),
}

impl StreamReply {
    /// Returns true if the partition found no stream.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pushed(streams) => streams.is_empty(),
            Self::Joined(streams) => streams.is_empty(),
            Self::Done(streams) => streams.is_empty(),
            Self::Infos(streams) => streams.is_empty(),
            Self::Members(members) => members.is_empty(),
        }
    }
}

/// The outcome of a push to one stream; a push is taken as a whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The messages are in the outbox.
    Taken,
    /// A push with the same idempotency key was taken before; this one had no effect.
    Repeated,
    /// The outbox has no room for the messages.
    Full {
        /// Limit of the outbox in bytes.
        bytes: usize,
        /// Limit of the outbox in messages.
        messages: usize,
    },
    /// The stream has ended.
    Ended,
    /// The client does not accept a message.
    Unsupported,
}

/// The outcome of a join for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinOutcome {
    /// The stream is a member of the group, now or since an earlier join.
    Done,
    /// The stream has as many groups as a stream may have.
    TooMany,
    /// The stream has ended.
    Ended,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub stream: StreamNumber,
    /// Label set by the application.
    pub label: Option<Arc<str>>,
    /// Whether the client is connected.
    pub connection: Connection,
    /// Begin of the connection, or of the time without, in milliseconds since 1970.
    pub since_ms: u64,
}

/// The description of a stream by `Get` and `List`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    pub stream: StreamNumber,
    /// The selected service, or else the requested one.
    pub service: Arc<str>,
    /// Label set by the application.
    pub label: Option<Arc<str>>,
    /// Groups of the stream, sorted.
    pub groups: Vec<Arc<str>>,
    /// Wall-clock time of the first hello, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Kind of the primary transport; `None` if there is none or its kind is unknown.
    pub primary: Option<TransportKind>,
    /// Number of attached transports.
    pub transports: usize,
    /// Idle limit in milliseconds.
    pub max_idle_ms: u64,
    /// The last assigned app instance.
    pub instance: Option<Arc<str>>,
    /// The last assigned app instance is registered now.
    pub is_served: bool,
    /// First unacknowledged event, and the number of the next event.
    pub events: (EventNumber, EventNumber),
    /// Size of the inbox in bytes and messages.
    pub inbox: (usize, usize),
    /// Size of the outbox in bytes and messages.
    pub outbox: (usize, u64),
    /// Room of the outbox.
    pub room: SendState,
    /// The inbox is full, so c2s messages are not taken.
    pub is_inbox_full: bool,
    /// The end of an ended stream.
    pub ended: Option<Ended>,
}
