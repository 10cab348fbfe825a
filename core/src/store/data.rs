//! The data of a partition, as returned by a claim or an inspection.

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
}

impl Claimed {
    /// The index of the next append.
    pub fn next_index(&self) -> LogIndex {
        self.first_index + self.log.len() as u64
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
    /// Damaged blobs that are kept aside, by name, the oldest first.
    pub quarantined: Vec<(String, Bytes)>,
    /// Damage of the head and of the structure, one text each.
    pub problems: Vec<String>,
}
