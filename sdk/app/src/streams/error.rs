//! The error of requests to streams, decoded from a gRPC status.

use bytes::Bytes;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A request to streams failed.
///
/// ```no_run
/// # async fn example(streams: minerva_app::Streams) {
/// use minerva_app::{StreamNumber, StreamsError};
///
/// match streams.send(StreamNumber(7), ["news"]).await {
///     Ok(_) => {}
///     Err(StreamsError::Full { .. }) => println!("the client is behind: send later"),
///     Err(StreamsError::Unknown { key, .. }) => {
///         // The repeat is taken once, also if the first one was taken.
///         let _ = streams.send_once(StreamNumber(7), ["news"], key).await;
///     }
///     Err(error) => println!("not sent: {error}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// No stream has this number or id, or the stream is over and forgotten.
    #[error("there is no such stream")]
    NotFound,
    /// The stream has ended.
    #[error("the stream is over")]
    Ended,
    /// The outbox of the stream is full: send again later.
    #[error("the stream's outbox is full: it holds up to {bytes} bytes and {messages} messages")]
    Full {
        /// Capacity in bytes.
        bytes: u64,
        /// Capacity in messages.
        messages: u64,
    },
    /// The client of the stream does not accept a message: see [`Accepts`](crate::Accepts).
    #[error("the client does not accept a message: it accepts text of the bytes 0x20-0x7E only")]
    Unsupported,
    /// The stream is in the maximal number of groups.
    #[error("the stream is in too many groups")]
    TooManyGroups,
    /// A field of the request is invalid.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// The violated rule.
        problem: String,
    },
    /// The owner of the stream, or one of all cores, could not be reached before the timeout. The request was not
    /// applied.
    #[error("no answer from the cores: {0}")]
    Unavailable(String),
    /// The outcome is not known: a core that may have applied the request, or a part of it, did not answer before the
    /// timeout; or a core has applied its part and another one refused or did not answer. A send is repeated with its key:
    /// then each stream takes the messages once. Other requests may be repeated as they are.
    #[error("the outcome is not known: {problem}")]
    Unknown {
        /// The last problem.
        problem: String,
        /// Idempotency key of the send, for [`Streams::send_once`](crate::Streams::send_once) and the like; empty for
        /// other requests.
        key: Bytes,
    },
    /// Any other status of a core.
    #[error("a core refused: {0}")]
    Refused(String),
}

impl StreamsError {
    pub(super) fn invalid(field: &str, problem: &str) -> Self {
        Self::Invalid { field: field.to_owned(), problem: problem.to_owned() }
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
            "MESSAGE_UNSUPPORTED" => Self::Unsupported,
            "TOO_MANY_GROUPS" => Self::TooManyGroups,
            _ if is_transient(status.code()) => Self::Unavailable(status.message().to_owned()),
            _ => Self::Refused(format!("{}: {}", status.code(), status.message())),
        }
    }
}

/// The codes of broken connections.
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
