//! Public errors: the end of a stream, rejected messages and invalid configurations.

use minerva_proto::MessageNumber;

use crate::problem::FailedAttempt;
use crate::proxy::EnvironmentError;
use crate::session::SessionError;
use crate::tls::TlsError;

/// The end of a stream, returned by [`Stream::closed`](crate::Stream::closed). See [`Stream`](crate::Stream) for an
/// example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended: {reason}")]
pub struct Ended {
    /// Reason of the reset, at most 255 bytes of ASCII.
    pub reason: String,
    /// Whether the application ended the stream, rather than the protocol below.
    pub application_level: bool,
    /// Side that ended the stream.
    pub by: EndedBy,
}

/// Side that ended a stream. See [`Stream`](crate::Stream) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// This client.
    Client,
    /// The server or the application; also if the server has no such stream.
    Server,
}

/// Error of `send`, `queue`, `try_send` and `flush`. See [`Stream`](crate::Stream) for an example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The stream has ended. A message that was queued before may or may not have arrived.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// [`Stream::reset`](crate::Stream::reset) was called, and the server has not confirmed the end yet.
    #[error("the stream was reset and accepts no messages")]
    Resetting,
    /// The send queue is full; returned by [`crate::Stream::try_send`] only, the other calls wait.
    #[error("the send queue is full")]
    Full,
    /// For 20 s the inbox was full, and neither the application nor the server took a message: the server waits for this
    /// client to read. Call [`recv`](crate::Stream::recv) in another task, or between sends.
    #[error(
        "the inbox is full and the server takes no message until the application calls `recv`, concurrently with sends"
    )]
    Unread {
        /// Number of the message if it is queued, and so is delivered once the application reads.
        queued: Option<MessageNumber>,
    },
    /// The version of the stream does not carry the message. Version 2 carries only text of the bytes 0x20-0x7E.
    #[error(
        "a stream of version 2 carries only text of the bytes 0x20-0x7E; encode other messages, for example as JSON escapes"
    )]
    Unsupported,
    /// The message is longer than the limit of the server, at most 1,048,575 bytes.
    #[error("the message is longer than the server allows: at most 1,048,575 bytes")]
    TooLong,
}

/// Error of [`Stream::connect`](crate::Stream::connect) and [`Stream::open`](crate::Stream::open). See [`Stream`](crate::Stream) for an example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The credentials exceed the limit of the protocol.
    #[error("the credentials are longer than 8 KiB")]
    Credentials,
    /// The heartbeat interval is outside the range of the protocol.
    #[error("the heartbeat is not between 1 and 600 seconds")]
    Heartbeat,
    /// The service or a header is not valid in an HTTP request.
    #[error("the service or a header contains a character that is not valid in an HTTP request")]
    Request,
    /// An address is not `HOST:PORT`.
    #[error(
        "{address:?} is not an address: write HOST:PORT without a scheme, credentials or a path, such as example.com:443"
    )]
    Address {
        /// The address, without credentials.
        address: String,
    },
    /// A proxy variable of the environment is invalid; see [`crate::ProxyChoice`].
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The TLS configuration is invalid.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The session file cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A session with version 2, or with an id of its own.
    #[error(
        "a session needs version 3, and has the id of its file: leave `version` and `id` unset"
    )]
    SessionOptions,
    /// Called outside a tokio runtime.
    #[error("Stream::connect must be called within a tokio runtime")]
    NoRuntime,
    /// Every address failed with every kind of transport; returned by [`Stream::open`](crate::Stream::open).
    #[error("no connection: {}", list(attempts))]
    Failed {
        /// The failed attempts, in order; at most the last 16.
        attempts: Vec<FailedAttempt>,
    },
    /// The stream ended before the server had created it; returned by [`Stream::open`](crate::Stream::open).
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The operating system provides no random numbers for the stream id.
    #[error("the operating system provides no random numbers for the stream id")]
    Randomness,
}

fn list(attempts: &[FailedAttempt]) -> String {
    attempts.iter().map(FailedAttempt::to_string).collect::<Vec<_>>().join("; ")
}
