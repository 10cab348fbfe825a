//! Store calls as values in the queue of the writer thread, and their results.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::LogIndex;
use tokio::sync::oneshot;

use super::super::{
    Claimed, Epoch, Member, Membership, OwnerView, PartitionLayout, StoreError, StoredPartition,
    StoredTokens, StreamChange,
};

/// A store call.
#[derive(Debug)]
pub(super) enum Operation {
    Partitions {
        wanted: u32,
    },
    PartitionCount,
    Claim {
        partition: u32,
        owner: String,
        above: Epoch,
    },
    Append {
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    },
    Checkpoint {
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    },
    /// A renewal; a zero lease is a release.
    Lease {
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    },
    Heartbeat {
        member: Member,
        number: u64,
        lease: Duration,
    },
    Quarantine {
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    },
    Inspect {
        partition: u32,
        /// Read the data that a reset has moved aside.
        is_aside: bool,
    },
    Reset {
        partition: u32,
    },
    Tokens,
    /// Adds or replaces a token; `None` removes the token.
    SetToken {
        id: String,
        record: Option<Bytes>,
    },
}

/// Result of a successful operation.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Partitions(PartitionLayout),
    PartitionCount(Option<u32>),
    Claimed(Box<Claimed>),
    Membership(Membership),
    Inspected(Box<StoredPartition>),
    Tokens(StoredTokens),
    /// Whether the changed token existed.
    Existed(bool),
}

/// A queued operation and the destination of the reply.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) reply_to: oneshot::Sender<Result<Reply, StoreError>>,
}

impl Operation {
    /// The partition of the call.
    pub(super) fn partition(&self) -> Option<u32> {
        match self {
            Self::Claim { partition, .. }
            | Self::Append { partition, .. }
            | Self::Checkpoint { partition, .. }
            | Self::Lease { partition, .. }
            | Self::Quarantine { partition, .. }
            | Self::Inspect { partition, .. }
            | Self::Reset { partition } => Some(*partition),
            Self::Partitions { .. }
            | Self::PartitionCount
            | Self::Heartbeat { .. }
            | Self::Tokens
            | Self::SetToken { .. } => None,
        }
    }

    /// The rows that the operation reads in full: the partition, and whether a reset has moved them aside.
    pub(super) fn reads(&self) -> Option<(u32, bool)> {
        match self {
            Self::Claim { partition, .. } | Self::Reset { partition } => Some((*partition, false)),
            Self::Inspect { partition, is_aside } => Some((*partition, *is_aside)),
            Self::Partitions { .. }
            | Self::PartitionCount
            | Self::Append { .. }
            | Self::Checkpoint { .. }
            | Self::Lease { .. }
            | Self::Heartbeat { .. }
            | Self::Quarantine { .. }
            | Self::Tokens
            | Self::SetToken { .. } => None,
        }
    }

    /// Approximate number of written bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { blob, .. } => blob.len(),
            Self::Checkpoint { meta, changed, .. } => {
                let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
                meta.len() + blobs.sum::<usize>()
            }
            Self::Quarantine { blobs, .. } => blobs.iter().map(|(_, blob)| blob.len()).sum(),
            Self::Partitions { .. }
            | Self::PartitionCount
            | Self::Inspect { .. }
            | Self::Reset { .. }
            | Self::Claim { .. }
            | Self::Lease { .. }
            | Self::Heartbeat { .. }
            | Self::Tokens => 0,
            Self::SetToken { record, .. } => record.as_ref().map_or(0, Bytes::len),
        }
    }
}

impl Reply {
    pub(super) fn into_partitions(self) -> Result<PartitionLayout, StoreError> {
        if let Self::Partitions(count) = self { Ok(count) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_partition_count(self) -> Result<Option<u32>, StoreError> {
        if let Self::PartitionCount(count) = self { Ok(count) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_membership(self) -> Result<Membership, StoreError> {
        if let Self::Membership(found) = self { Ok(found) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_tokens(self) -> Result<StoredTokens, StoreError> {
        if let Self::Tokens(tokens) = self { Ok(tokens) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_existed(self) -> Result<bool, StoreError> {
        if let Self::Existed(existed) = self { Ok(existed) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_claimed(self) -> Result<Claimed, StoreError> {
        if let Self::Claimed(claimed) = self { Ok(*claimed) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_inspected(self) -> Result<StoredPartition, StoreError> {
        if let Self::Inspected(found) = self { Ok(*found) } else { Err(wrong_reply()) }
    }
}

/// Unreachable: each request has its own channel.
fn wrong_reply() -> StoreError {
    StoreError::Unavailable("the writer sent the reply of another operation".to_owned())
}
