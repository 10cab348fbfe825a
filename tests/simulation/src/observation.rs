//! The outputs of cores and SDKs in the terms of the checker. The drivers convert; the checker has no types of the
//! core or of an SDK.

use bytes::Bytes;
use minerva_proto::{EventNumber, MessageNumber, StreamNumber};

use crate::checker::Attempt;
use crate::end::End;

/// The assignment of a stream to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) number: StreamNumber,
    /// First unacknowledged event.
    pub(crate) next_event: EventNumber,
    /// Number of the next send, in the count of the instances.
    pub(crate) next_send: MessageNumber,
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
        messages: Vec<Bytes>,
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
