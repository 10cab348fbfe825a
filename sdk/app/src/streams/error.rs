//! Why a call from outside did nothing, read from what a core says.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a call from outside did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// There is no stream with this number or id, or it is over and forgotten.
    #[error("there is no such stream")]
    NotFound,
    /// The stream has ended.
    #[error("the stream is over")]
    Ended,
    /// The stream's client is behind: send again later.
    #[error("the stream's outbox is full: it holds up to {bytes} bytes and {messages} messages")]
    Full {
        /// Bytes that the outbox holds.
        bytes: u64,
        /// Messages that it holds.
        messages: u64,
    },
    /// The stream is in as many groups as it may be in.
    #[error("the stream is in too many groups")]
    TooManyGroups,
    /// Something in the request is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field of the request.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No core answered for the stream, or not all did, as long as patience lasted. It may have been done.
    #[error("no answer from the cores: {0}")]
    Unavailable(String),
    /// A core says something else.
    #[error("a core refused: {0}")]
    Refused(String),
}

impl StreamsError {
    pub(super) fn invalid(field: &str, problem: &str) -> Self {
        Self::Invalid { field: field.to_owned(), problem: problem.to_owned() }
    }

    /// Whether another core, or another attempt, may bring something else.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<Status> for StreamsError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        if let Some(violation) = details.bad_request().and_then(|bad| bad.field_violations.first())
        {
            return Self::invalid(&violation.field, &violation.description);
        }
        let info = details.error_info();
        let limit = |name: &str| {
            let limit = info.and_then(|info| info.metadata.get(name)?.parse().ok());
            limit.unwrap_or_default()
        };
        match info.map_or("", |info| info.reason.as_str()) {
            "STREAM_NOT_FOUND" => Self::NotFound,
            "STREAM_ENDED" => Self::Ended,
            "OUTBOX_FULL" => {
                Self::Full { bytes: limit("outbox_bytes"), messages: limit("outbox_messages") }
            }
            "TOO_MANY_GROUPS" => Self::TooManyGroups,
            _ if is_transient(status.code()) => Self::Unavailable(status.message().to_owned()),
            _ => Self::Refused(format!("{}: {}", status.code(), status.message())),
        }
    }
}

/// Broken connections have several codes.
fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
    )
}
