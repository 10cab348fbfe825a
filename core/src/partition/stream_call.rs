//! Stream calls: requests from outside of an app instance to one partition.
//!
//! The server of `StreamService` makes them, the partition carries them out, and the reply is released once the turn is
//! durable.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{Payload, Reset, StreamId, StreamNumber};
use tokio::sync::oneshot;

use crate::stream::{StreamCallId, StreamReply};

/// A request with the channel for the reply.
///
/// A partition that is closed drops its calls: the channel closes, and the caller cannot know the effect.
#[derive(Debug)]
pub struct StreamCall {
    /// Unique in the process.
    pub id: StreamCallId,
    /// The operation and the selected streams.
    pub request: StreamRequest,
    /// Receives the reply when the turn of this call is durable.
    pub reply: oneshot::Sender<StreamReply>,
}

/// An operation on selected streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRequest {
    /// Send messages to the clients of the streams.
    Push {
        /// The receivers.
        to: StreamSelector,
        /// Validated messages.
        messages: Vec<Payload>,
        /// Idempotency key: a stream takes one push per key.
        key: Option<Bytes>,
    },
    /// End the streams.
    Reset(StreamSelector, Reset),
    /// Add the streams to a group.
    Join(StreamSelector, Arc<str>),
    /// Remove the streams from a group.
    Leave(StreamSelector, Arc<str>),
    /// Set or remove the label of the streams.
    SetLabel(StreamSelector, Option<Arc<str>>),
    /// Describe the streams.
    Get(StreamSelector),
    /// Describe streams of a service, in the order of their numbers.
    List {
        /// Service of the streams.
        service: Arc<str>,
        /// The list starts behind this stream number.
        after: StreamNumber,
        /// Maximum number of streams.
        limit: usize,
    },
    /// List the members of a group, in the order of their numbers.
    ListGroup {
        /// Service of the group.
        service: Arc<str>,
        /// Name of the group.
        group: Arc<str>,
        /// The list starts behind this stream number.
        after: StreamNumber,
        /// Maximum number of members.
        limit: usize,
        /// List absent members, too.
        with_absent: bool,
    },
}

/// A set of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamSelector {
    /// Streams by number, ended ones included.
    Numbers(Vec<StreamNumber>),
    /// Streams of this service by number, ended ones included.
    NumbersOf(Arc<str>, Vec<StreamNumber>),
    /// The live stream with this requested service and stream id.
    Id(Arc<str>, StreamId),
    /// The live streams of a service with this label.
    Label(Arc<str>, Arc<str>),
    /// The live streams of a service in this group with a greater number.
    Group(Arc<str>, Arc<str>, StreamNumber),
}

impl StreamRequest {
    /// Bytes of messages in the request.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Push { messages, .. } => messages.iter().map(Payload::len).sum(),
            Self::Reset(..)
            | Self::Join(..)
            | Self::Leave(..)
            | Self::SetLabel(..)
            | Self::Get(_)
            | Self::List { .. }
            | Self::ListGroup { .. } => 0,
        }
    }
}
