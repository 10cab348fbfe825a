//! The end of a gateway stream: the reset reasons that clients receive. `docs/app-guide.md` lists them.

use std::io::{Error, ErrorKind};

use crate::segment::SegmentError;

/// The reason for the end of a stream and the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The stream is over, or moves to another instance. No reset.
    Over,
    /// An earlier process had the stream: the connection is gone, and the last data to the backend is
    /// unknown.
    Restarted,
    /// The maximal number of connections is open.
    TooMany,
    /// The backend port is closed.
    Refused,
    /// The backend did not accept in time.
    Silent,
    /// The backend is unreachable, or the name cannot be resolved.
    Unreachable,
    /// The backend closed the connection.
    Closed,
    /// The connection broke.
    Failed,
    /// The backend took no data for a long time.
    Stalled,
    /// The client sent an invalid segment.
    InvalidSegment(SegmentError),
    /// The gateway is stopping.
    Stopping,
}

impl EndReason {
    /// Classifies a failed connection attempt.
    pub(crate) fn of_connect_error(error: &Error) -> Self {
        if error.kind() == ErrorKind::ConnectionRefused { Self::Refused } else { Self::Unreachable }
    }

    /// The reset reason, and whether an application decided: the backend counts as one, faults of the gateway
    /// do not.
    pub(crate) fn reason(self) -> Option<(&'static str, bool)> {
        Some(match self {
            Self::Over => return None,
            Self::Restarted => ("gateway restarted", false),
            Self::TooMany => ("too many connections", true),
            Self::Refused => ("backend refused", false),
            Self::Silent => ("backend does not answer", false),
            Self::Unreachable => ("backend unreachable", false),
            Self::Closed => ("backend closed", true),
            Self::Failed => ("backend failed", false),
            Self::Stalled => ("backend stalled", false),
            Self::InvalidSegment(SegmentError::NotBase64) => ("not base64", true),
            Self::InvalidSegment(SegmentError::TooLong) => ("segment too long", true),
            Self::Stopping => ("gateway stopping", false),
        })
    }

    /// Whether the gateway waits until the client has received the pending data of the backend. Behind a close of the
    /// backend the core does so.
    pub(crate) fn waits_for_delivery(self) -> bool {
        matches!(self, Self::Failed | Self::Stopping)
    }
}
