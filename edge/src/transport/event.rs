//! Inputs and outputs of the transport machine. The messages of the link are values of [`minerva_proto::link`].

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::link::{CoreMessage, EdgeMessage};
use minerva_proto::v3::Refusal;

/// An event for a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// One read of the socket, one WebSocket message, or one part of an HTTP body.
    Received {
        /// The bytes, in order of arrival.
        bytes: Bytes,
        /// End of the HTTP body.
        last: bool,
    },
    /// Length of a WebSocket message that is not complete yet, as received so far.
    Partial(usize),
    /// Data that cannot contain frames: a WebSocket message of the other kind.
    Garbled,
    /// A WebSocket message that is longer than allowed.
    TooLarge,
    /// The driver has written the oldest unreported [`Output::Write`].
    Written,
    /// The socket is closed, or the client has closed its sending direction of a socket.
    Gone,
    /// The owner of the stream is known and linked.
    OwnerFound,
    /// The owner has released the stream's partition, or the link has dropped the transport.
    OwnerLost,
    /// The link to the owner has failed.
    LinkLost,
    /// The edge drains: ask the client to move.
    Drain,
    /// A limit of the edge refuses the transport; its Attach is not sent.
    Limited {
        /// For the response body.
        reason: &'static str,
        /// Wait before the next attempt.
        retry_after: Duration,
    },
    /// The owner of the stream does not serve the version of the transport.
    VersionUnavailable,
    /// A message of the core.
    Core(CoreMessage),
}

/// A command for the driver, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes: whole frames; for a WebSocket, one message. Report with [`Input::Written`].
    Write(Bytes),
    /// Send a message to the core.
    ToCore(EdgeMessage),
    /// End the transport. At most a [`EdgeMessage::Detach`] follows.
    End(Ending),
}

/// Manner in which a transport ends, after all earlier chunks are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The HTTP response is complete.
    Complete,
    /// Close the socket, or abort the response.
    Closed,
    /// HTTP 503 if the response has not begun, else as [`Ending::Closed`].
    Unavailable {
        /// For the log and the response body.
        reason: String,
        /// Wait before the next attempt; zero: at once.
        retry_after: Duration,
    },
    /// HTTP 429 if the response has not begun, else as [`Ending::Closed`]. Unlike 503, proxies do not pass the request on
    /// to another edge.
    Limited {
        /// For the response body.
        reason: &'static str,
        /// Wait before the next attempt.
        retry_after: Duration,
    },
    /// A defect of the server: HTTP 500 if the response has not begun, else as [`Ending::Closed`]. Unlike 503, proxies
    /// do not pass the request on to another edge.
    Failed {
        /// For the log and the response body.
        reason: String,
    },
    /// Version 3 before the response has a frame: an HTTP error with the refusal. For a WebSocket, whose refusal is
    /// written: close with its code.
    Refused(Box<Refusal>),
    /// A hello of version 3 in a request of another content type: HTTP 415.
    ContentType,
    /// The body ended, or 10 s passed, without a complete first frame: HTTP 400, else as [`Ending::Closed`].
    NoHello,
}

impl Ending {
    /// Value of the metrics label `how`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Closed => "closed",
            Self::Unavailable { .. } => "unavailable",
            Self::Limited { .. } => "limited",
            Self::Failed { .. } => "failed",
            Self::Refused(_) | Self::ContentType => "refused",
            Self::NoHello => "no_hello",
        }
    }
}
