//! Why a call did nothing, as a gRPC status with details: a reason for programs, and the limit that was met.

use std::collections::HashMap;

use minerva_proto::marks::MAX_GROUPS;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::stream::{Joined, Pushed};

/// Who names the reasons.
const DOMAIN: &str = "minerva";

/// Why a call did nothing, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no such stream here.
    NotFound,
    /// Its partition is not this core's.
    NotOwner,
    /// The partition went away before it answered.
    Interrupted,
    /// The stream is over.
    Ended,
    /// The outbox is full, which holds so many bytes and strings.
    Full { bytes: usize, messages: usize },
    /// The stream is in as many groups as it may be in.
    TooManyGroups,
}

/// What a send to one stream says if it was not taken.
pub(super) fn of(pushed: Pushed) -> Option<Trouble> {
    match pushed {
        Pushed::Taken | Pushed::Repeated => None,
        Pushed::Full { bytes, messages } => Some(Trouble::Full { bytes, messages }),
        Pushed::Ended => Some(Trouble::Ended),
    }
}

/// What a stream that did not join says.
pub(super) fn of_join(joined: Joined) -> Option<Trouble> {
    match joined {
        Joined::Done => None,
        Joined::TooMany => Some(Trouble::TooManyGroups),
        Joined::Ended => Some(Trouble::Ended),
    }
}

impl Trouble {
    fn say(self) -> (Code, &'static str, &'static str) {
        match self {
            Self::NotFound => (Code::NotFound, "STREAM_NOT_FOUND", "there is no such stream"),
            Self::NotOwner => {
                (Code::Unavailable, "NOT_OWNER", "not this core's now: ask another one, or again")
            }
            Self::Interrupted => (
                Code::Unavailable,
                "INTERRUPTED",
                "it may have been done: repeat it with the same idempotency key",
            ),
            Self::Ended => (Code::FailedPrecondition, "STREAM_ENDED", "the stream is over"),
            Self::Full { .. } => {
                (Code::ResourceExhausted, "OUTBOX_FULL", "the client is behind: send again later")
            }
            Self::TooManyGroups => {
                (Code::ResourceExhausted, "TOO_MANY_GROUPS", "the stream must leave a group first")
            }
        }
    }

    fn limits(self) -> Vec<(&'static str, usize)> {
        match self {
            Self::Full { bytes, messages } => {
                vec![("outbox_bytes", bytes), ("outbox_messages", messages)]
            }
            Self::TooManyGroups => vec![("groups", MAX_GROUPS)],
            Self::NotFound | Self::NotOwner | Self::Interrupted | Self::Ended => Vec::new(),
        }
    }
}

impl From<Trouble> for Status {
    fn from(trouble: Trouble) -> Self {
        let (code, reason, text) = trouble.say();
        let limits = trouble.limits().into_iter();
        let metadata: HashMap<String, String> =
            limits.map(|(name, limit)| (name.to_owned(), limit.to_string())).collect();
        let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        Self::with_error_details(code, text, details)
    }
}
