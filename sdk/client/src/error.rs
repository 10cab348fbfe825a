//! How streams end, and why a string was not sent.

use crate::tls::TlsError;

/// A stream is over; it ends once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended: {reason}")]
pub struct Ended {
    /// Why.
    pub reason: String,
    /// Whether an application ended it, not the machinery below.
    pub application_level: bool,
    /// Which side ended it.
    pub by: EndedBy,
}

/// Which side ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// This one.
    Client,
    /// The server or the application behind it; also if the server knows no such stream.
    Server,
}

/// Why a string was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The stream is over. The string may or may not have arrived, if it was queued.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// There is no room now; only [`crate::Stream::try_send`] says so, the others wait.
    #[error("the send queue is full")]
    Full,
    /// Strings have the bytes 0x20 to 0x7E only.
    #[error("a string has a byte outside 0x20-0x7E")]
    NotAllowed,
    /// Longer than a frame.
    #[error("a string is longer than 1 MiB less one byte")]
    TooLong,
}

/// Why a configuration cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Longer than the protocol allows.
    #[error("the credentials are longer than 8 KiB")]
    Credentials,
    /// More than the protocol allows, or none at all.
    #[error("the heartbeat is not between 1 and 600 seconds")]
    Heartbeat,
    /// The address, service or a header cannot be put into a request.
    #[error("the address, the service or a header has a character that a request cannot have")]
    Request,
    /// There can be no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Called outside a tokio runtime.
    #[error("a stream needs a tokio runtime to run in")]
    NoRuntime,
    /// The system gave no randomness for the stream id.
    #[error("no randomness for a stream id")]
    Randomness,
}
