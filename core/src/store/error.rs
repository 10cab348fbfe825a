//! The errors of store calls.

use std::time::Duration;

use minerva_proto::LogIndex;

#[cfg(doc)]
use super::{MAX_BLOB, Store};

/// Why a store call failed. The variant determines the reaction of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another owner has claimed the partition. The caller must stop serving immediately and for good.
    #[error("another owner has claimed the partition")]
    Fenced,
    /// The lease of another owner has not expired; retry later. Only [`Store::claim`] returns this error.
    #[error("`{owner}` holds the partition for another {} ms", .left.as_millis())]
    Held {
        /// Name of the other owner.
        owner: String,
        /// Remaining time of the lease.
        left: Duration,
    },
    /// The store has rolled back, or the caller skipped an index: the log ends before the index of the call, or the
    /// stored epoch is older than the epoch of the call.
    #[error("the store is behind: its log ends at {next}")]
    Behind {
        /// The next index of the log.
        next: LogIndex,
    },
    /// The log has other content at this index. Two writers share one epoch, which is a defect.
    #[error("the log has other content at index {index}")]
    Conflict {
        /// Index of the rejected append.
        index: LogIndex,
    },
    /// The call exceeds [`MAX_BLOB`].
    #[error("{bytes} bytes exceed the limit of a store call")]
    TooLarge {
        /// Size of the call in bytes.
        bytes: usize,
    },
    /// The store is unreachable or cannot write (disk full). The outcome is unknown; repeat the call after a pause.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store has no memory for the append and has changed nothing. A checkpoint is still possible. Only
    /// [`Store::append`] returns this error.
    #[error("the store is full: {0}")]
    Full(String),
    /// The stored data of the partition is unreadable. An operator must intervene; other partitions are not affected.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The store has failed for good: a sync to the disk failed, so the content of the file is uncertain, or the file is
    /// damaged in a place that every write needs. No call succeeds any more, and the process must end. After a failed
    /// sync the next start recovers the content that reached the disk.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// The deployment is misconfigured. The text contains the problem and the fix.
    #[error("{0}")]
    Config(String),
}

impl StoreError {
    /// Names the partition of unreadable data.
    pub(super) fn in_partition(self, partition: u32) -> Self {
        if let Self::Corrupt(problem) = self {
            return Self::Corrupt(format!("partition {partition}: {problem}"));
        }
        self
    }
}
