//! The task of one partition at one core: claims the partition, recovers the streams, serves them, and hands over.
//!
//! The ownership task starts the task, and revokes the assignment through a channel. A [`Partition`] serves the
//! streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::mutation::{self, Mutation};
use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::{oneshot, watch};
use tokio::time::{timeout, timeout_at};

use super::context::CoreContext;
use super::damage_report::DamageReport;
use super::error::PartitionTaskError;
use crate::clock::{self, StepLimitedClock};
use crate::partition::{Clock, MAX_SLEEP, Mail, Partition, PartitionSetup, Recovered};
use crate::store::{Claimed, Epoch, StoreError};
use crate::stream::Millis;

/// Partitions that another core has claimed from this one.
static FENCED: RecurringFaults = RecurringFaults::new();

/// Pause before the next claim of a partition that another core holds. Bounds the delay of a hand-over.
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// Pause before the next claim after a store failure.
pub(super) const STORE_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct PartitionTask {
    context: Arc<CoreContext>,
    partition: u32,
    /// Whether the partition is assigned to this core.
    wanted: watch::Receiver<bool>,
    /// The startup has counted this partition.
    is_settled: bool,
}

impl PartitionTask {
    pub(super) fn new(
        context: Arc<CoreContext>,
        partition: u32,
        wanted: watch::Receiver<bool>,
    ) -> Self {
        Self { context, partition, wanted, is_settled: false }
    }

    /// Runs until the hand-over, until another core takes the partition, or until an error that needs an operator.
    pub(super) async fn run(mut self) -> Result<(), PartitionTaskError> {
        let result = self.claim_and_serve().await;
        // Any other error concerns this partition only.
        if let Err(PartitionTaskError::Store(error @ StoreError::Config(_))) = &result {
            self.context.startup.on_config_error(error);
        }
        self.settle_startup();
        result
    }

    async fn claim_and_serve(&mut self) -> Result<(), PartitionTaskError> {
        let Some(claimed) = self.claim().await.map_err(PartitionTaskError::Store)? else {
            return Ok(());
        };
        let epoch = claimed.epoch;
        let recovered = Recovered::from_claimed(self.partition, &claimed);
        drop(claimed);
        let recovered = match recovered {
            Ok(recovered) if *self.wanted.borrow() => recovered,
            recovered => {
                // If the release fails, the lease expires.
                let _ = self.context.store.release(self.partition, epoch).await;
                return recovered.map(|_| ()).map_err(PartitionTaskError::Recovery);
            }
        };
        if !recovered.damage().is_none() && !mutation::is(Mutation::DropDamaged) {
            let (context, damage) = (&*self.context, recovered.damage());
            let report = DamageReport { context, partition: self.partition, epoch, damage };
            match report.keep_and_report(&self.wanted).await {
                Ok(()) => {}
                // Another core has claimed the partition, or the assignment is revoked.
                Err(StoreError::Fenced | StoreError::Unavailable(_)) => return Ok(()),
                Err(error) => return Err(PartitionTaskError::Store(error)),
            }
        }
        self.serve(recovered, epoch).await
    }

    /// Claims the partition, with retries. `None` if the assignment is revoked first.
    async fn claim(&mut self) -> Result<Option<Claimed>, StoreError> {
        let context = Arc::clone(&self.context);
        let last_epoch = &context.last_epochs[self.partition as usize];
        while *self.wanted.borrow() {
            let hold = *context.hold.borrow();
            if hold > clock::now() {
                // Ends early if the assignment is revoked.
                let _ = timeout_at(hold, revoked(&mut self.wanted)).await;
                continue;
            }
            let permit = context.claim_permits.acquire().await;
            let above = Epoch(last_epoch.load(Ordering::Relaxed));
            let claimed = context.store.claim(self.partition, &context.owner, above).await;
            drop(permit);
            let pause = match claimed {
                Err(StoreError::Held { left, owner }) => {
                    self.on_held(&owner);
                    left.min(HELD_PAUSE)
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::debug!(partition = self.partition, %error, "claim failed, will retry");
                    STORE_PAUSE
                }
                Ok(claimed) => {
                    last_epoch.fetch_max(claimed.epoch.0, Ordering::Relaxed);
                    return Ok(Some(claimed));
                }
                Err(error) => return Err(error),
            };
            // Ends early if the assignment is revoked.
            let _ = timeout(pause, revoked(&mut self.wanted)).await;
        }
        Ok(None)
    }

    fn on_held(&mut self, owner: &str) {
        if !self.is_settled {
            tracing::debug!(partition = self.partition, owner, "another core owns the partition");
        }
        self.settle_startup();
    }

    async fn serve(
        &mut self,
        recovered: Recovered,
        epoch: Epoch,
    ) -> Result<(), PartitionTaskError> {
        let (context, partition) = (Arc::clone(&self.context), self.partition);
        let mail = context.partitions.open(partition, epoch);
        let _open = OpenPartition::new(&context, partition);
        let setup = PartitionSetup {
            partition,
            count: context.partitions.count(),
            owner: Arc::clone(&context.owner),
            last_epoch: Arc::clone(&context.last_epochs[partition as usize]),
            stored_version: context.stored_version.clone(),
            store: Arc::clone(&context.store),
            mail,
            limits: context.limits.clone(),
            options: context.options.clone(),
            clock: partition_clock(),
            wall_clock: Arc::new(|| Millis(clock::wall_ms())),
            usage: context.usage.clone(),
            counters: Arc::clone(&context.metrics.counters),
            memory: Arc::clone(&context.memory),
        };
        self.settle_startup();
        tracing::debug!(partition, %epoch, "serving the partition");
        let mut serving = std::pin::pin!(Partition::new(setup, recovered).serve());
        let served = tokio::select! {
            served = &mut serving => served,
            () = revoked(&mut self.wanted) => {
                let (done, _) = oneshot::channel();
                context.partitions.send(partition, Mail::Stop { done });
                serving.await
            }
        };
        match served {
            Ok(()) => Ok(()),
            Err(StoreError::Fenced) => {
                if let Some(partitions) = FENCED.record("fenced", clock::now().into_std()) {
                    let event = "another core has claimed the partition";
                    tracing::warn!(partition, partitions, "{event}");
                }
                Ok(())
            }
            Err(error) => Err(PartitionTaskError::Store(error)),
        }
    }

    fn settle_startup(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.context.startup.on_settled();
        }
    }
}

/// Waits until the assignment is revoked.
async fn revoked(wanted: &mut watch::Receiver<bool>) {
    // The ownership task holds the sender and outlives the partition tasks.
    let _ = wanted.wait_for(|wanted| !wanted).await;
}

/// Guard of an open partition in the partition table: closes the partition on drop, even after a panic.
struct OpenPartition<'a> {
    context: &'a CoreContext,
    partition: u32,
}

impl<'a> OpenPartition<'a> {
    fn new(context: &'a CoreContext, partition: u32) -> Self {
        context.metrics.partitions.inc();
        context.service.on_served(partition);
        Self { context, partition }
    }
}

impl Drop for OpenPartition<'_> {
    fn drop(&mut self) {
        self.context.metrics.partitions.dec();
        self.context.service.on_left(self.partition);
        self.context.partitions.close(self.partition);
    }
}

/// The clock for the deadlines of one partition. The longest step allows for one missed wake-up.
fn partition_clock() -> Clock {
    let clock = StepLimitedClock::new(2 * MAX_SLEEP);
    Arc::new(move || Millis(clock.now_ms()))
}
