//! Calls of the store as values, so that they can be put off, lost and answered late.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{Claimed, Epoch, Member, Membership, StoreError};
use minerva_proto::{LogIndex, StreamNumber};
use tokio::sync::oneshot;

/// What a call asks for.
#[derive(Debug, Clone)]
pub enum Op {
    /// `Store::partitions`.
    Partitions(u32),
    /// `Store::beat`.
    Beat {
        /// Who lives.
        member: Member,
        /// How many it makes.
        number: u64,
        /// How long from now; zero: not any more.
        length: Duration,
    },
    /// `Store::claim`.
    Claim {
        /// For whom.
        owner: String,
        /// The new epoch is above this one.
        above: Epoch,
    },
    /// `Store::append`.
    Append {
        /// The owner's epoch.
        epoch: Epoch,
        /// Where.
        index: LogIndex,
        /// What.
        blob: Bytes,
    },
    /// `Store::checkpoint`.
    Checkpoint {
        /// The owner's epoch.
        epoch: Epoch,
        /// The log's new first index.
        covers: LogIndex,
        /// The new meta blob.
        meta: Bytes,
        /// Streams; `None` removes one.
        changed: Vec<(StreamNumber, Option<Bytes>)>,
    },
    /// `Store::renew`.
    Renew {
        /// The owner's epoch.
        epoch: Epoch,
        /// How long from now.
        length: Duration,
        /// The log has reached this index.
        next: LogIndex,
    },
    /// `Store::release`.
    Release {
        /// The owner's epoch.
        epoch: Epoch,
    },
}

impl Op {
    /// The owner's epoch, if it is an owner's call.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Append { epoch, .. }
            | Self::Checkpoint { epoch, .. }
            | Self::Renew { epoch, .. }
            | Self::Release { epoch } => Some(*epoch),
            Self::Partitions(_) | Self::Beat { .. } | Self::Claim { .. } => None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The number of partitions.
    Partitions(u32),
    /// Who lives.
    Membership(Membership),
    /// What the partition has.
    Claimed(Claimed),
    /// It is done.
    Done,
}

pub(crate) type Outcome = Result<Answer, StoreError>;

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    /// Whose it is: the core, and the name under which it claims.
    pub(crate) core: usize,
    pub(crate) name: Arc<str>,
    /// [`NO_PARTITION`] if it is about none.
    pub(crate) partition: u32,
    pub(crate) op: Op,
    /// Who waits for the answer; `None`: nobody any more.
    pub(crate) reply: Option<oneshot::Sender<Outcome>>,
}

/// The partition of calls that are about none.
pub(crate) const NO_PARTITION: u32 = u32::MAX;

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: oneshot::Sender<Outcome>,
    pub(crate) outcome: Outcome,
}

impl Answered {
    pub(crate) fn arrive(self) {
        // Nobody waits any more if the task is gone.
        drop(self.reply.send(self.outcome));
    }
}
