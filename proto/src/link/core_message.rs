//! Values that a core sends to an edge.

use std::time::Duration;

use super::{Run, TransportId};
use crate::{BatchNumber, ClaimTag, KillReason, MessageNumber, Reset, Sack, StreamNumber};

/// Value of `heartbeat_after` for a transport without an initial heartbeat.
pub const NO_HEARTBEAT: MessageNumber = MessageNumber(u64::MAX);

/// Reason of [`CloseCause::Unavailable`]: the service has never had an app instance.
pub const UNSERVED: &str = "unserved";

/// Reason of [`CloseCause::Unavailable`]: too many streams wait for an app instance.
pub const NO_APPLICATION: &str = "no application";

/// One message of a core: about one transport, or about the owned partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreFrame {
    /// A message about one transport.
    Transport {
        /// Number on the link.
        transport: TransportId,
        /// Content.
        message: CoreMessage,
    },
    /// The core owns these partitions from now on, besides those of earlier claims.
    Owned(Vec<Claim>),
    /// The core does not own these partitions any more, and has forgotten their transports.
    Released(Vec<u32>),
}

/// Content of a [`CoreFrame`] about one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreMessage {
    /// The transport is attached; the first message about every accepted transport.
    Opened {
        /// Write StreamCreated.
        created: bool,
        /// Write this SACK after StreamCreated.
        sack: Option<Sack>,
        /// Number of the stream, for [`Resume`](super::Resume).
        stream: StreamNumber,
        /// Tag of the claim that created the stream, for [`CreatedStream`](super::CreatedStream).
        created_tag: ClaimTag,
        /// End of the s2c messages that precede the initial heartbeat; see [`NO_HEARTBEAT`].
        heartbeat_after: MessageNumber,
        /// Positions of a new generation, for the welcome.
        positions: Option<Positions>,
    },
    /// Write a SACK of c2s messages.
    Sack(Sack),
    /// Write s2c messages.
    Messages(Run),
    /// Claim tag of the messages that follow on this transport; see `Messages.tag` in `link.proto`.
    Tag(ClaimTag),
    /// Whether the messages that follow on this transport may be compressed; see `Messages.compress` in `link.proto`.
    Compress(bool),
    /// Ask the client for new credentials within this time; see `Messages.renew_within_ms` in `link.proto`.
    Renew(Duration),
    /// Write the last frames, then end the transport; the last message about every transport.
    Close(Box<Close>),
    /// The batches up to this number are durable, and the core has room for more.
    Taken(BatchNumber),
}

/// Positions of a new generation of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// First s2c message that is written to the generation (`from`).
    pub from: MessageNumber,
    /// First c2s number that the client may assign to a new message (`own`).
    pub own: MessageNumber,
}

/// Instructions for the end of a transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Close {
    /// Write this SACK of c2s messages.
    pub sack: Option<Sack>,
    /// Write this StreamStatus: the client's last SACK.
    pub status: Option<Sack>,
    /// Reason of the end.
    pub cause: CloseCause,
}

/// Reason of the end of a transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CloseCause {
    /// A regular end.
    #[default]
    Gentle,
    /// An offence of the client. The stream goes on.
    Kill(KillReason),
    /// The end of the stream.
    Reset(Reset),
    /// The core cannot serve the stream at present. The client should connect again.
    Unavailable {
        /// For the log of the edge and the response body.
        reason: String,
        /// Wait before the next attempt, in whole milliseconds; zero if the core has no estimate.
        retry_after: Duration,
    },
    /// A frame of the edge about this transport breaks the contract. The edge must not attach the transport again.
    Refused {
        /// The offending field and the rule.
        reason: String,
    },
    /// The stream has another version of the client protocol. Only for transports of version 3.
    WrongVersion,
    /// A newer generation has the stream. Only for transports of version 3.
    Superseded,
    /// The core does not own the stream's partition. The edge keeps the socket and attaches the transport to the owner.
    Moved,
}

/// Ownership of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// From 0 to the partition count of `CoreHello` minus 1.
    pub partition: u32,
    /// Fencing token of the owner; the highest one is valid.
    pub epoch: u64,
}

impl CoreMessage {
    /// Whether this is a Close with [`CloseCause::Moved`], after which the transport waits for another owner.
    pub fn is_moved(&self) -> bool {
        matches!(self, Self::Close(close) if close.cause == CloseCause::Moved)
    }
}

impl CoreFrame {
    /// The transport, unless the frame is about partitions.
    pub fn transport(&self) -> Option<TransportId> {
        match self {
            Self::Transport { transport, .. } => Some(*transport),
            Self::Owned(_) | Self::Released(_) => None,
        }
    }

    /// The message, unless the frame is about partitions.
    pub fn message(&self) -> Option<&CoreMessage> {
        match self {
            Self::Transport { message, .. } => Some(message),
            Self::Owned(_) | Self::Released(_) => None,
        }
    }

    /// The cause, if the frame closes a transport.
    pub fn close_cause(&self) -> Option<&CloseCause> {
        match self {
            Self::Transport { message: CoreMessage::Close(close), .. } => Some(&close.cause),
            Self::Transport { .. } | Self::Owned(_) | Self::Released(_) => None,
        }
    }

    /// A [`CoreMessage::Close`] without SACK and status.
    pub fn close(transport: TransportId, cause: CloseCause) -> Self {
        let message = CoreMessage::Close(Box::new(Close { cause, ..Close::default() }));
        Self::Transport { transport, message }
    }
}
