//! Errors of the session machine: a full or ended send queue, and a core that breaks the contract.

/// A message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueError {
    NoRoom,
    Over,
    /// The app has finished the stream.
    Finished,
}

/// A core broke the contract, or a claim cannot be verified: the call must be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContractError {
    #[error("an event arrived before Registered")]
    NotRegistered,
    #[error("an event of a stream that was not started")]
    UnknownStream,
    #[error("an event number was skipped")]
    Gap,
    #[error("unacknowledged messages of a stream exceed its window")]
    Window,
    #[error("an invalid stream id")]
    StreamId,
    #[error("a send number outside of the queued range")]
    Number,
    #[error("a message without content, or a text that is not UTF-8")]
    Content,
    #[error("a partition was claimed under an older epoch than that of a lost call")]
    StaleEpoch,
}
