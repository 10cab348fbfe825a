//! Errors of stream calls as gRPC statuses, with a machine-readable reason and the exceeded limit.

use std::collections::HashMap;

use minerva_proto::labels::MAX_GROUPS;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::stream::{JoinOutcome, PushOutcome};

/// Domain of the reasons.
const DOMAIN: &str = "minerva";

/// The failure of a stream call. A failed call had no effect, except that of `Interrupted` is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamCallError {
    /// The partition has no such stream.
    NotFound,
    /// Another core owns the partition.
    NotOwner,
    /// The partition was closed before the reply.
    Interrupted,
    /// The stream has ended.
    Ended,
    /// The client does not accept a message.
    Unsupported,
    /// The outbox is full; its limits.
    Full { bytes: usize, messages: usize },
    /// The stream has as many groups as a stream may have.
    TooManyGroups,
}

/// The error of a push to a single stream.
pub(super) fn of_push(outcome: PushOutcome) -> Option<StreamCallError> {
    match outcome {
        PushOutcome::Taken | PushOutcome::Repeated => None,
        PushOutcome::Full { bytes, messages } => Some(StreamCallError::Full { bytes, messages }),
        PushOutcome::Ended => Some(StreamCallError::Ended),
        PushOutcome::Unsupported => Some(StreamCallError::Unsupported),
    }
}

/// The error of a join of a single stream.
pub(super) fn of_join(outcome: JoinOutcome) -> Option<StreamCallError> {
    match outcome {
        JoinOutcome::Done => None,
        JoinOutcome::TooMany => Some(StreamCallError::TooManyGroups),
        JoinOutcome::Ended => Some(StreamCallError::Ended),
    }
}

impl StreamCallError {
    /// Code, reason and message of the status.
    fn status(self) -> (Code, &'static str, &'static str) {
        match self {
            Self::NotFound => (Code::NotFound, "STREAM_NOT_FOUND", "there is no such stream"),
            Self::NotOwner => (
                Code::Unavailable,
                "NOT_OWNER",
                "another core owns the partition: retry there or later",
            ),
            Self::Interrupted => (
                Code::Unavailable,
                "INTERRUPTED",
                "the outcome is unknown: retry with the same idempotency key",
            ),
            Self::Ended => (Code::FailedPrecondition, "STREAM_ENDED", "the stream has ended"),
            Self::Unsupported => (
                Code::FailedPrecondition,
                "MESSAGE_UNSUPPORTED",
                "the client accepts only text of bytes 0x20-0x7E",
            ),
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
            Self::NotFound
            | Self::NotOwner
            | Self::Interrupted
            | Self::Ended
            | Self::Unsupported => Vec::new(),
        }
    }
}

impl From<StreamCallError> for Status {
    fn from(error: StreamCallError) -> Self {
        let (code, reason, text) = error.status();
        let limits = error.limits().into_iter();
        let metadata: HashMap<String, String> =
            limits.map(|(name, limit)| (name.to_owned(), limit.to_string())).collect();
        let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        Self::with_error_details(code, text, details)
    }
}
