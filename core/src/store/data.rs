//! The data of a partition, as returned by a claim or an inspection, and the view of an owner in later calls.

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::Epoch;

#[cfg(doc)]
use super::CLAIMS_KEPT;

/// A successful claim, as kept in the claim history of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The epoch created by the claim.
    pub epoch: Epoch,
    /// The next index of the log at the time of the claim.
    pub next_index: LogIndex,
    /// Name of the owner.
    pub owner: String,
}

/// The data of a partition, as returned by a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Epoch of the owner, a parameter of all further calls.
    pub epoch: Epoch,
    /// The last [`CLAIMS_KEPT`] claims in order; the last element is this claim.
    pub claims: Vec<Claim>,
    /// The meta blob of the checkpoint; `None` before the first checkpoint.
    pub meta: Option<Bytes>,
    /// The streams of the checkpoint in ascending order of their unique numbers.
    pub streams: Vec<(StreamNumber, Bytes)>,
    /// Stream blobs of the checkpoint whose stored number is damaged, by stored name.
    pub unreadable: Vec<(Bytes, Bytes)>,
    /// Index of the first blob in `log`.
    pub first_index: LogIndex,
    /// The log in order, without gaps.
    pub log: Vec<Bytes>,
    /// The sizes before the claim; `None` in a store that cannot lose log or streams alone.
    pub recorded: Option<RecordedSizes>,
}

/// Sizes of a partition that the store has recorded beside the data. Smaller sizes of the data show a loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordedSizes {
    /// An index that the end of the log had reached.
    pub next_index: LogIndex,
    /// Number of stream blobs after the last checkpoint.
    pub streams: u64,
}

impl Claimed {
    /// The index of the next append.
    pub fn next_index(&self) -> LogIndex {
        self.first_index + self.log.len() as u64
    }
}

/// The owner of a partition as the caller of the store, with the state that the owner has stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerView {
    /// Epoch of the owner.
    pub epoch: Epoch,
    /// The state that the store must have; `None` disables the comparison.
    pub expected: Option<ExpectedState>,
}

/// The stored state that an owner expects. A difference shows a rollback of the store, or damage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpectedState {
    /// First index of the log after the last confirmed checkpoint.
    pub first: LogIndex,
    /// First index of the log after the checkpoint in progress; equal to `first` without one.
    pub next_first: LogIndex,
    /// Confirmed checkpoint calls of this epoch.
    pub checkpoints: u64,
}

/// The memory of a store, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFill {
    /// Memory that counts towards the limit.
    pub used: u64,
    /// Memory at which the store refuses writes.
    pub limit: u64,
}

impl From<Epoch> for OwnerView {
    fn from(epoch: Epoch) -> Self {
        Self { epoch, expected: None }
    }
}

/// The data of a partition, read without a claim for an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPartition {
    /// Epoch of the last claim; 0 before the first.
    pub epoch: Epoch,
    /// The owner with an unexpired lease, if the store keeps leases beyond the process.
    pub owner: Option<String>,
    /// The last claims in order.
    pub claims: Vec<Claim>,
    /// The meta blob of the checkpoint.
    pub meta: Option<Bytes>,
    /// The streams of the checkpoint in ascending order of their unique numbers.
    pub streams: Vec<(StreamNumber, Bytes)>,
    /// Stream blobs of the checkpoint whose stored number is damaged, by stored name.
    pub unreadable: Vec<(Bytes, Bytes)>,
    /// Index of the first blob in `log`.
    pub first_index: LogIndex,
    /// The log in order.
    pub log: Vec<Bytes>,
    /// As [`Claimed::recorded`].
    pub recorded: Option<RecordedSizes>,
    /// Damaged blobs that are kept aside, by name, the oldest first.
    pub quarantined: Vec<(String, Bytes)>,
    /// Damage of the head and of the structure, one text each.
    pub problems: Vec<String>,
}

/// The stored API tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredTokens {
    /// Changes with every change of the tokens; 0 in a store that never had a token.
    pub version: u64,
    /// Id and record of each token, in the order of the ids. The content of a record is opaque.
    pub records: Vec<(String, Bytes)>,
}
