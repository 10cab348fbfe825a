//! Outputs for app instances; each mirrors an `Event` of the application API.
//!
//! The stream machine makes them, and the partition releases them once the records of the same turn are durable. The
//! API server encodes them.

use std::sync::Arc;

use minerva_proto::{
    ClaimTag, EventNumber, Identity, MessageNumber, Payload, StreamNumber, TransportKind,
    TransportNumber,
};

use crate::state::{Ended, Origin, Rejoin, SendState};
use crate::store::Epoch;

/// One event, or one answer to a command, for an app instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppOutput {
    /// The instance is assigned a stream.
    Started(Box<Started>),
    /// Messages of the client with consecutive event numbers.
    Messages {
        stream: StreamNumber,
        /// Event number of the first message.
        first_event: EventNumber,
        messages: Vec<Payload>,
        /// Tag of the claim that assigned the event numbers.
        tag: ClaimTag,
        /// Deliveries of the first event, this one included.
        attempts: u32,
    },
    /// A new generation of the client has adopted the stream.
    Rejoined {
        stream: StreamNumber,
        event: EventNumber,
        rejoin: Arc<Rejoin>,
        /// The present identity of the client.
        identity: Option<Arc<Identity>>,
    },
    /// The client has sent a new token. The last one is part of Started and Rejoined, so the event needs no number.
    Renewed { stream: StreamNumber, identity: Arc<Identity> },
    /// A transport was attached or detached.
    TransportChanged { stream: StreamNumber, change: TransportChange },
    /// The last event of a stream.
    Ended { stream: StreamNumber, event: EventNumber, end: Ended },
    /// Sends were accepted, or the outbox has more room.
    SendState {
        stream: StreamNumber,
        state: SendState,
        /// Tag of the claim that accepted the last send.
        tag: ClaimTag,
    },
    /// A send was rejected.
    SendRefused {
        stream: StreamNumber,
        /// Number of the first rejected message.
        first: MessageNumber,
        reason: RefusedReason,
        /// Number of the next message that the stream accepts.
        next_send: MessageNumber,
    },
    /// The stream is no longer assigned to the instance.
    Released { stream: StreamNumber },
    /// The store lost the stream. An instance that does not hold the stream ignores this output.
    Lost {
        stream: StreamNumber,
        /// Epoch of the partition; the partition sets it on the way out.
        epoch: Epoch,
    },
    /// The core owns a partition. All streams of the partition that the instance has were started before.
    PartitionOwned {
        partition: u32,
        epoch: Epoch,
        /// Count of streams that the partition has ever made.
        streams_made: u64,
    },
    /// The core no longer owns a partition.
    PartitionLeft { partition: u32 },
    /// The stream is in too many groups to join another one.
    GroupRefused { stream: StreamNumber, group: Arc<str> },
    /// All commands in front of a Sync are durable.
    Synced {
        stream: StreamNumber,
        /// Token of the Sync.
        token: u64,
    },
    /// A command other than a send is invalid and has no effect.
    CommandRefused {
        stream: StreamNumber,
        /// The wrong field and the rule.
        detail: String,
    },
}

/// Assignment of a stream to an app instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    pub stream: StreamNumber,
    pub origin: Arc<Origin>,
    /// Whether the stream was assigned to any instance before.
    pub resumed: bool,
    /// Reason of the finish by an instance, if any.
    pub finish: Option<Arc<str>>,
    /// The first unacknowledged event.
    pub next_event: EventNumber,
    pub send_state: SendState,
    /// Number of the assignment; another one shows that another instance had the stream. 0 if unknown.
    pub assignment: u64,
    /// Deliveries of the first unacknowledged event, this one included: one more than the instances that died.
    pub attempts: u32,
    /// Tag of the claim that created the stream.
    pub created_tag: ClaimTag,
    /// Tag of the claim that accepted the last send.
    pub send_tag: ClaimTag,
    /// Epoch of the partition; the partition sets it on the way out.
    pub epoch: Epoch,
    pub label: Option<Arc<str>>,
    /// The present identity of the client, if verified.
    pub identity: Option<Arc<Identity>>,
    pub groups: Vec<Arc<str>>,
}

/// Attachment or detachment of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportChange {
    /// Number in the client's hello.
    pub transport_number: TransportNumber,
    pub attached: bool,
    /// Whether the transport is, or was, the primary transport.
    pub primary: bool,
    pub kind: Option<TransportKind>,
    /// Count of attached transports after the change.
    pub transports: u32,
}

/// A command of an app instance that fails the checks of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCommand {
    /// Number of the first message, if the command is a send.
    pub send: Option<MessageNumber>,
    /// Position of the invalid message of a send.
    pub index: Option<u32>,
    /// The wrong field and the rule; never the value, which may be a secret.
    pub detail: String,
}

/// Reason of a rejected send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// The outbox is full.
    ResourceExhausted,
    /// The number leaves a gap.
    OutOfOrder,
    /// The stream has ended, or is not assigned to the instance.
    Ended,
    /// An instance has finished the stream.
    Finished,
    /// The send is invalid.
    Invalid {
        /// The wrong field and the rule.
        detail: String,
        /// Position of the invalid message, if one message is.
        index: Option<u32>,
    },
    /// The client does not accept the message at this position of the send.
    Unsupported(u32),
}
