//! Store calls as values, which the model can delay, lose and answer late.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{
    Claimed, Epoch, Member, Membership, OwnerView, PartitionLayout, StoreError, StoredPartition,
};
use minerva_proto::{LogIndex, StreamNumber};
use tokio::sync::oneshot;

/// Operation of a call; fields as in the method of [`minerva_core::store::Store`].
#[derive(Debug, Clone)]
pub enum Op {
    /// `Store::partitions`.
    Partitions(u32),
    /// `Store::heartbeat`.
    Heartbeat {
        /// The sender.
        member: Member,
        /// Count of heartbeats of the sender, from 1.
        number: u64,
        /// Lease from now on; zero removes the member.
        length: Duration,
    },
    /// `Store::claim`.
    Claim {
        /// Name of the claimant.
        owner: String,
        /// Lower bound of the new epoch, exclusive.
        above: Epoch,
    },
    /// `Store::append`.
    Append {
        /// The caller and the state that the caller expects.
        owner: OwnerView,
        /// Position of the entry.
        index: LogIndex,
        /// Content of the entry.
        blob: Bytes,
    },
    /// `Store::checkpoint`.
    Checkpoint {
        /// The caller and the state that the caller expects.
        owner: OwnerView,
        /// New first index of the log.
        covers: LogIndex,
        /// New meta blob.
        meta: Bytes,
        /// Changed streams; `None` removes a stream.
        changed: Vec<(StreamNumber, Option<Bytes>)>,
        /// Whether `covers` may exceed the end of the log.
        is_beyond_log: bool,
    },
    /// `Store::renew`.
    Renew {
        /// The caller and the state that the caller expects.
        owner: OwnerView,
        /// Lease from now on.
        length: Duration,
        /// End of the log according to the owner.
        next: LogIndex,
    },
    /// `Store::release`.
    Release {
        /// Epoch of the owner.
        epoch: Epoch,
    },
    /// `Store::quarantine`.
    Quarantine {
        /// Epoch of the owner.
        epoch: Epoch,
        /// Damaged blobs by name.
        blobs: Vec<(String, Bytes)>,
    },
    /// `OperatorStore::inspect`.
    Inspect,
    /// `OperatorStore::inspect_aside`.
    InspectAside,
    /// `OperatorStore::reset_partition`.
    Reset,
}

impl Op {
    /// The written blobs of log and checkpoint.
    pub(crate) fn blobs(&self) -> Vec<&Bytes> {
        if let Self::Append { blob, .. } = self {
            vec![blob]
        } else if let Self::Checkpoint { meta, changed, .. } = self {
            changed.iter().filter_map(|(_, blob)| blob.as_ref()).chain([meta]).collect()
        } else {
            Vec::new()
        }
    }

    /// Whether the operation changes the log or the checkpoint.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::Checkpoint { .. })
    }

    /// Epoch of the owner, if the operation requires ownership.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Append { owner, .. }
            | Self::Checkpoint { owner, .. }
            | Self::Renew { owner, .. } => Some(owner.epoch),
            Self::Quarantine { epoch, .. } | Self::Release { epoch } => Some(*epoch),
            Self::Partitions(_)
            | Self::Heartbeat { .. }
            | Self::Claim { .. }
            | Self::Inspect
            | Self::InspectAside
            | Self::Reset => None,
        }
    }
}

/// Reply to a successful operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpReply {
    /// Number of partitions.
    Partitions(PartitionLayout),
    /// Live members.
    Membership(Membership),
    /// Data of the claimed partition.
    Claimed(Claimed),
    /// Data of a partition, read without a claim.
    Inspected(StoredPartition),
    /// Success without data.
    Done,
}

pub(crate) type OpResult = Result<OpReply, StoreError>;

/// The data of a partition in the reply to an inspection.
pub(super) fn into_inspected(outcome: OpResult) -> Result<StoredPartition, StoreError> {
    match outcome? {
        OpReply::Inspected(found) => Ok(found),
        OpReply::Partitions(_) | OpReply::Membership(_) | OpReply::Claimed(_) | OpReply::Done => {
            Err(StoreError::Corrupt("a reply to another operation".to_owned()))
        }
    }
}

/// A call in flight.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) core: usize,
    /// Owner name of the core in claims.
    pub(crate) name: Arc<str>,
    /// [`NO_PARTITION`] for calls about the whole store.
    pub(crate) partition: u32,
    pub(crate) op: Op,
    /// Whether a full store refuses the call.
    pub(crate) may_be_refused: bool,
    /// `None` once the error was sent.
    pub(crate) reply: Option<oneshot::Sender<OpResult>>,
}

/// Stands for the whole store.
pub(crate) const NO_PARTITION: u32 = u32::MAX;

/// A reply in flight.
#[derive(Debug)]
pub(crate) struct PendingReply {
    pub(crate) reply: oneshot::Sender<OpResult>,
    pub(crate) outcome: OpResult,
}

impl PendingReply {
    pub(crate) fn arrive(self) {
        // The task of the caller may have ended.
        drop(self.reply.send(self.outcome));
    }
}
