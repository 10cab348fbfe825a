//! The outputs of cores and SDKs in the terms of the checker. The drivers convert; the checker has no types of the
//! core or of an SDK.

use minerva_proto::{
    EventNumber, Message, MessageKind, MessageNumber, Payload, StreamNumber, Utf8Bytes,
};

use crate::checker::Attempt;
use crate::end::End;
use crate::messages::Body;

/// The assignment of a stream to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) number: StreamNumber,
    /// First unacknowledged event.
    pub(crate) next_event: EventNumber,
    /// Number of the next send, in the count of the instances.
    pub(crate) next_send: MessageNumber,
}

/// The reason for which a transport of a client is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransportRefusal {
    /// The stream is unknown or over, or the client is not its owner.
    UnknownStream,
    /// More messages behind a gap than the server holds.
    WindowOverflow,
    /// The client must try again later.
    Unavailable,
    /// The server or the stream does not have the version of the transport.
    Version,
    /// Any other reason. The text is that on the wire.
    Fault(String),
}

/// An output of a core for an instance.
#[derive(Debug, Clone)]
pub(crate) enum InstanceOutput {
    Started {
        assigned: Assigned,
        /// Number of the assignment; 0 if unknown.
        assignment: u64,
        attempt: Attempt,
    },
    Messages {
        stream: StreamNumber,
        first_event: EventNumber,
        messages: Vec<Body>,
    },
    Ended {
        stream: StreamNumber,
        event: EventNumber,
        end: End,
    },
    /// All sends below this number are durable.
    Sent {
        stream: StreamNumber,
        next_send: MessageNumber,
    },
    /// The store lost the stream.
    Lost {
        stream: StreamNumber,
    },
    /// The core has taken the stream back.
    Released {
        stream: StreamNumber,
    },
    /// A command is invalid.
    Refused(String),
    /// An output without a durable fact.
    Other,
}

impl From<&Payload> for Body {
    fn from(payload: &Payload) -> Self {
        let is_binary = payload.kind() == MessageKind::Binary;
        Self { bytes: payload.bytes().clone(), is_binary }
    }
}

impl From<&Message> for Body {
    fn from(message: &Message) -> Self {
        let is_binary = message.kind() == MessageKind::Binary;
        Self { bytes: message.as_bytes().clone(), is_binary }
    }
}

impl From<&Body> for Message {
    fn from(body: &Body) -> Self {
        if body.is_binary {
            return body.bytes.clone().into();
        }
        match Utf8Bytes::try_from(body.bytes.clone()) {
            Ok(text) => text.into(),
            Err(error) => unreachable!("{error}"),
        }
    }
}

impl From<&Body> for Payload {
    fn from(body: &Body) -> Self {
        if body.is_binary {
            return Self::binary(body.bytes.clone());
        }
        match Self::text(body.bytes.clone()) {
            Ok(text) => text,
            Err(error) => unreachable!("{error}"),
        }
    }
}
