//! How the gateway ends a stream: the reasons that clients get. `docs/app-guide.md` lists them.

use std::io::{Error, ErrorKind};

use crate::segment::Invalid;

/// Why a stream and its connection come to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The stream is over, or goes on with another instance: there is nothing to tell.
    Over,
    /// An earlier process had it: the connection is gone, and nobody knows what the backend got last.
    Restarted,
    /// As many connections as there may be.
    TooMany,
    /// The backend does not listen.
    Refused,
    /// It did not accept in time.
    Silent,
    /// It cannot be reached, or its name not be found.
    Unreachable,
    /// It closed the connection.
    Closed,
    /// The connection broke.
    Failed,
    /// It took nothing for a long time.
    Stalled,
    /// The client sent what is no segment.
    Invalid(Invalid),
    /// This program is being stopped.
    Stopping,
}

impl End {
    /// A connection could not be made.
    pub(crate) fn of_connecting(error: &Error) -> Self {
        if error.kind() == ErrorKind::ConnectionRefused { Self::Refused } else { Self::Unreachable }
    }

    /// The reason, and whether an application decided it: the backend is one, the gateway's own troubles are not.
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
            Self::Invalid(Invalid::NotBase64) => ("not base64", true),
            Self::Invalid(Invalid::TooLong) => ("segment too long", true),
            Self::Stopping => ("gateway stopping", false),
        })
    }

    /// The client gets what the backend said before it hears of this end.
    pub(crate) fn waits_for_delivery(self) -> bool {
        matches!(self, Self::Closed | Self::Failed | Self::Stopping)
    }
}
