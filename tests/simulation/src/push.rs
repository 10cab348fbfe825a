//! Values of a push from outside: target, attempts and outcomes.

use minerva_proto::StreamNumber;

/// The group that contains every stream.
pub(crate) const GROUP: &str = "everybody";

/// Target of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushTarget {
    Stream(StreamNumber),
    /// The members of [`GROUP`].
    Group,
}

/// One request to one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushAttempt {
    pub(crate) api_caller: usize,
    pub(crate) push: u64,
    pub(crate) partition: u32,
    /// Count of attempts at this partition, from 1.
    pub(crate) number: u64,
    /// Members of the group at the time of the request; empty if the target is a stream.
    pub(crate) members: Vec<StreamNumber>,
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
}
