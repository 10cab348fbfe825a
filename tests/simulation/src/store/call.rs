//! Calls of the store as values, so that they can be put off, lost and answered late.

use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{Claimed, Epoch, StoreError};
use tokio::sync::oneshot;

use crate::event::Life;

/// What a call asks for.
#[derive(Debug, Clone)]
pub enum Op {
    /// `Store::partitions`.
    Partitions(u32),
    /// `Store::claim`, for this owner.
    Claim(String),
    /// `Store::append`.
    Append {
        /// The owner's epoch.
        epoch: Epoch,
        /// Where.
        index: u64,
        /// What.
        blob: Bytes,
    },
    /// `Store::checkpoint`.
    Checkpoint {
        /// The owner's epoch.
        epoch: Epoch,
        /// The log's new first index.
        covers: u64,
        /// The new meta blob.
        meta: Bytes,
        /// Streams; `None` removes one.
        changed: Vec<(u64, Option<Bytes>)>,
    },
    /// `Store::renew`.
    Renew {
        /// The owner's epoch.
        epoch: Epoch,
        /// How long from now.
        length: Duration,
    },
    /// `Store::release`.
    Release {
        /// The owner's epoch.
        epoch: Epoch,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The number of partitions.
    Partitions(u32),
    /// What the partition has.
    Claimed(Claimed),
    /// It is done.
    Done,
}

pub(crate) type Outcome = Result<Answer, StoreError>;

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    /// Whose it is.
    pub(crate) core: usize,
    pub(crate) life: Life,
    pub(crate) partition: u32,
    pub(crate) op: Op,
    pub(crate) reply: Reply,
    /// The answer will not arrive: it was given up before.
    pub(crate) is_mute: bool,
}

/// Who waits for the answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A partition's task.
    Task(oneshot::Sender<Outcome>),
    /// The core's claiming, which is no task.
    Core,
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) core: usize,
    pub(crate) life: Life,
    pub(crate) partition: u32,
    pub(crate) reply: Reply,
    pub(crate) outcome: Outcome,
}
