//! Errors of QAN: of the handler of a question, and of a question to the client.

use minerva_proto::Message;

use crate::error::SendError;

/// A question was not answered. See the [module](super) for an example.
#[derive(Debug)]
pub enum HandlerError {
    /// An error that the client understands: the body is sent.
    Known(Message),
    /// Any other error: logged, and sent as `Uncaught exception`.
    Unknown(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::Unknown(error.into())
    }
}

/// A question to the client has no answer. Returned by [`Peer::ask`](super::Peer::ask); see the
/// [module](super) for an example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The client answered with an error to be understood by the app.
    #[error("known error: {}", display(.0))]
    Known(Message),
    /// The client answered with any other error.
    #[error("unknown error: {}", display(.0))]
    Unknown(Message),
    /// The stream is over, or the QAN layer was dropped.
    #[error("the stream is over")]
    Over,
    /// A thousand questions are open.
    #[error("too many questions without an answer")]
    TooMany,
    /// The question was not sent.
    #[error(transparent)]
    Send(SendError),
}

fn display(body: &Message) -> &str {
    body.as_text().unwrap_or("a binary body")
}

impl From<SendError> for QuestionError {
    fn from(error: SendError) -> Self {
        if error == SendError::Over { Self::Over } else { Self::Send(error) }
    }
}
