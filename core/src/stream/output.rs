//! What a stream says: to edges, mirroring `CoreFrame` of the link, and to application instances,
//! mirroring `Event` of the application API.
//!
//! The stream machine makes them, the partition releases them when the state that implies them is
//! durable, the link and application servers turn them into protobuf.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{StreamNumber, TransportKind};

use crate::state::{Ended, Origin, SendState};
use crate::store::Epoch;

/// One thing to tell an application instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppOutput {
    /// A stream is assigned to the instance.
    Started(Box<Started>),
    /// Strings from the client.
    Messages {
        /// The stream's number.
        stream: StreamNumber,
        /// Event number of the first one.
        first_event: u64,
        /// The strings, with consecutive numbers.
        messages: Vec<Bytes>,
    },
    /// A transport came or went.
    TransportChanged {
        /// The stream's number.
        stream: StreamNumber,
        /// What happened.
        change: TransportChange,
    },
    /// The stream is over.
    Ended {
        /// The stream's number.
        stream: StreamNumber,
        /// Event number.
        event: u64,
        /// Why.
        end: Ended,
    },
    /// Sends were taken, or there is more room for them.
    SendState {
        /// The stream's number.
        stream: StreamNumber,
        /// How much room there is.
        state: SendState,
    },
    /// A send was not taken.
    SendRefused {
        /// The stream's number.
        stream: StreamNumber,
        /// The send's first number.
        first: u64,
        /// Why.
        reason: RefusedReason,
        /// Number of the next send that would be taken.
        next_send: u64,
    },
    /// The stream is not this instance's any more.
    Released {
        /// The stream's number.
        stream: StreamNumber,
    },
    /// All streams of a partition that are the instance's were started before this.
    PartitionOwned {
        /// The partition.
        partition: u32,
        /// Its owner's epoch.
        epoch: Epoch,
        /// How many streams it has ever made.
        streams_made: u64,
    },
    /// The core owns a partition no longer.
    PartitionLeft {
        /// The partition.
        partition: u32,
    },
    /// A stream is in too many groups to join another one.
    GroupRefused {
        /// The stream's number.
        stream: StreamNumber,
        /// The group.
        group: Arc<str>,
    },
    /// The instance broke the contract: the call ends with INVALID_ARGUMENT and this text.
    ContractViolation(String),
}

/// Assignment of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The stream's number.
    pub stream: StreamNumber,
    /// What was known when it was made.
    pub origin: Arc<Origin>,
    /// The stream was assigned before.
    pub resumed: bool,
    /// First event that is not acknowledged.
    pub next_event: u64,
    /// Number that the next string to send has, and how much room there is.
    pub send_state: SendState,
    /// The partition's epoch, which its owner puts in.
    pub epoch: Epoch,
    /// The stream's label.
    pub label: Option<Arc<str>>,
    /// The groups that it is in.
    pub groups: Vec<Arc<str>>,
}

/// A transport came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportChange {
    /// The transport's number, chosen by the client.
    pub transport_number: u64,
    /// It came; otherwise it went.
    pub attached: bool,
    /// It is, or was, the primary transport.
    pub primary: bool,
    /// What it is.
    pub kind: Option<TransportKind>,
    /// How many transports the stream has now.
    pub transports: u32,
}

/// Why a send was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// The outbox is full.
    ResourceExhausted,
    /// The number leaves a gap.
    OutOfOrder,
    /// The stream has ended or is not this instance's.
    Ended,
}
