//! Errors of QAN: of the handler of a question, and of a question to the client.

use bytes::Bytes;

use crate::error::SendError;

/// Why a question was not answered.
#[derive(Debug)]
pub enum HandlerError {
    /// An error that the client knows how to read.
    Known(Bytes),
    /// Any other: goes to the log; the client gets `Uncaught exception`.
    Unknown(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::Unknown(error.into())
    }
}

/// Why a question to the client has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The client answered with an error that is meant to be read.
    #[error("known error: {}", String::from_utf8_lossy(.0))]
    Known(Bytes),
    /// The client answered with any other error.
    #[error("unknown error: {}", String::from_utf8_lossy(.0))]
    Unknown(Bytes),
    /// The stream is over, or its QAN layer.
    #[error("the stream is over")]
    Over,
    /// The client owes a thousand answers.
    #[error("too many questions without an answer")]
    TooMany,
    /// The question was not sent.
    #[error(transparent)]
    Send(SendError),
}

impl From<SendError> for QuestionError {
    fn from(error: SendError) -> Self {
        if error == SendError::Over { Self::Over } else { Self::Send(error) }
    }
}
