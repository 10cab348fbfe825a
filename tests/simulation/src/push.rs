//! Values of calls from outside: pushes with their targets, attempts and outcomes, and changes of streams.

use minerva_proto::StreamNumber;

/// The group that contains every stream.
pub(crate) const EVERYBODY: &str = "everybody";

/// The group whose members change.
pub(crate) const SOME: &str = "some";

/// The labels that streams have at times.
pub(crate) const LABELS: [&str; 3] = ["red", "green", "blue"];

/// Target of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushTarget {
    Stream(StreamNumber),
    /// The members of a group of a service.
    Group(usize, &'static str),
    /// The streams of a service with a label.
    Label(usize, &'static str),
}

/// A live stream at the time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) number: StreamNumber,
    /// Whether the request selects the stream.
    pub(crate) is_member: bool,
    /// Count of changes of label and groups.
    pub(crate) changes: u64,
}

/// One request to one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushAttempt {
    pub(crate) api_caller: usize,
    pub(crate) push: u64,
    pub(crate) partition: u32,
    /// Count of attempts at this partition, from 1.
    pub(crate) number: u64,
    pub(crate) target: PushTarget,
    /// The live streams at the time of the request.
    pub(crate) audience: Vec<Selected>,
}

/// A change of one stream by a program outside the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutsideChange {
    pub(crate) number: u64,
    pub(crate) client: usize,
    pub(crate) stream: StreamNumber,
    pub(crate) kind: ChangeKind,
}

/// Kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Label(Option<&'static str>),
    /// Join [`SOME`].
    Join,
    /// Leave [`SOME`].
    Leave,
    Reset,
}

/// A call from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutsideCall {
    Push(PushAttempt),
    Change(OutsideChange),
}

/// Outcome at each stream of a partition.
pub(crate) type PushOutcomes = Vec<(StreamNumber, PushOutcome)>;

/// The outcome of a push to one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushOutcome {
    Taken,
    /// Taken before, under the same key.
    Repeated,
    /// The outbox has no room.
    Full,
    /// The stream has ended.
    Ended,
    /// The client does not accept a message.
    Unsupported,
}
