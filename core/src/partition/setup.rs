//! The environment of a partition: store, mailbox, limits and clocks.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::counters::Counters;
use super::gate::PartitionLog;
use super::mailbox::MailReceiver;
use super::options::PartitionOptions;
use super::usage::Usage;
use crate::limits::Limits;
use crate::memory_budget::MemoryBudget;
use crate::state::{BlobContext, VersionInForce};
use crate::store::{Epoch, Store};
use crate::stream::Millis;

/// A clock with a resolution of one millisecond.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Everything that the task of a partition needs beside the recovered state.
pub struct PartitionSetup {
    /// Number of the partition, below `count`.
    pub partition: u32,
    /// Number of partitions of the deployment.
    pub count: u32,
    /// Name of the claiming core.
    pub owner: Arc<str>,
    /// The greatest epoch of the partition that was ever claimed under this name.
    pub last_epoch: Arc<AtomicU64>,
    /// Newest stored content that may be written.
    pub stored_version: VersionInForce,
    /// The store of the log, the checkpoints and the lease.
    pub store: Arc<dyn Store>,
    /// The receiving end of the mailbox.
    pub mail: MailReceiver,
    /// Limits of the streams.
    pub limits: Limits,
    /// Checkpoints, lease and application grace time.
    pub options: PartitionOptions,
    /// Clock for deadlines: never goes back, and a pause of the process or the store counts only in part, so that an
    /// unreachable peer is not taken for a silent one.
    pub clock: Clock,
    /// Wall clock in milliseconds since 1970, for the start time of streams.
    pub wall_clock: Clock,
    /// Usage of budgets, shared by all partitions of the process.
    pub usage: Usage,
    /// Counters shared by all partitions of the process.
    pub counters: Arc<Counters>,
    /// The memory budget of the process.
    pub memory: Arc<MemoryBudget>,
}

impl PartitionSetup {
    /// The context of blobs written now under `epoch`.
    pub(super) fn blob_context(&self, epoch: Epoch) -> BlobContext {
        BlobContext::new(self.partition, epoch.0, &self.owner, self.stored_version.get())
    }

    /// The log under `epoch`.
    pub(super) fn log(&self, epoch: Epoch) -> PartitionLog {
        let (store, counters) = (Arc::clone(&self.store), Arc::clone(&self.counters));
        PartitionLog { store, partition: self.partition, epoch, counters }
    }
}
