//! The dependencies that all partition tasks of one core share.
//!
//! `core.rs` and the simulation build one [`CoreContext`]; the ownership task and the partition tasks share the
//! context.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::service_state::Service;
use super::startup::Startup;
use crate::clock;
use crate::limits::Limits;
use crate::memory_budget::MemoryBudget;
use crate::metrics::Metrics;
use crate::partition::{PartitionOptions, PartitionTable, Usage};
use crate::state::VersionInForce;
use crate::store::Store;

/// Concurrent claims of one core: far below the queue capacity of every store.
const MAX_CONCURRENT_CLAIMS: usize = 64;

/// Store, options, metrics and claim state of one core.
pub(crate) struct CoreContext {
    /// Owner name in all claims of this core.
    pub(crate) owner: Arc<str>,
    /// The greatest epoch that this core has claimed, for each partition. A new claim must exceed this epoch, even if
    /// the store has rolled back to an older epoch.
    pub(super) last_epochs: Vec<Arc<AtomicU64>>,
    /// Newest stored content that all live cores read. The heartbeat raises this version.
    pub(crate) stored_version: VersionInForce,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) partitions: PartitionTable,
    pub(crate) limits: Limits,
    pub(crate) options: PartitionOptions,
    pub(crate) metrics: Metrics,
    /// Without a limit, unless the core sets one.
    pub(crate) memory: Arc<MemoryBudget>,
    pub(super) usage: Usage,
    /// Limits the claims in flight.
    pub(super) claim_permits: Semaphore,
    pub(crate) startup: Startup,
    pub(crate) service: Arc<Service>,
    /// The last logged damage of each partition: counts of lost and kept streams, and of damaged blobs.
    pub(super) reported_damage: Mutex<BTreeMap<u32, [usize; 3]>>,
    /// No partition is claimed before this instant.
    pub(super) hold: watch::Sender<Instant>,
}

impl CoreContext {
    pub(crate) fn new(
        owner: Arc<str>,
        store: Arc<dyn Store>,
        partitions: PartitionTable,
        limits: Limits,
        options: PartitionOptions,
        metrics: Metrics,
    ) -> Self {
        let service = Arc::new(Service::new(metrics.clone()));
        let memory = Arc::new(MemoryBudget::new(0, Arc::clone(&metrics.counters)));
        Self {
            owner,
            last_epochs: (0..partitions.count()).map(|_| Arc::default()).collect(),
            stored_version: VersionInForce::default(),
            store,
            partitions,
            limits,
            options,
            metrics,
            memory,
            usage: Usage::default(),
            claim_permits: Semaphore::new(MAX_CONCURRENT_CLAIMS),
            startup: Startup::new(),
            service,
            reported_damage: Mutex::default(),
            hold: watch::Sender::new(clock::now()),
        }
    }
}
