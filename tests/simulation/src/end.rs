//! The end of a stream in the terms of the checker: reason, level and side.

/// Reason of a stream that an application has finished: all s2c messages are acknowledged.
pub(crate) const FINISHED: &str = "app is done";
/// Reason of a stream that an instance without Finish has reset after its own messages were acknowledged.
pub(crate) const FINISHED_BY_OLD_APP: &str = "old app is done";

/// The end of a stream, as stored or as one side receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reason: String,
    /// Whether an application decided.
    pub(crate) application_level: bool,
    pub(crate) by: EndedBy,
}

impl End {
    /// Whether the client was informed that the stream is unknown, without the reason of the end.
    pub(crate) fn is_unknown_stream(&self) -> bool {
        matches!(self.reason.as_str(), "stream_attach_failure" | "gone")
    }
}

/// The side that ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    Client,
    App,
    Core,
    /// Not the client: the client cannot distinguish the core from the application.
    Server,
}
