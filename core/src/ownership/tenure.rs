//! One core's time with one partition, from the claim to the end: claims it when it can be had, brings its
//! streams back, serves it, gives it back when it is wanted elsewhere. A task of the ownership task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::Start;
use crate::clock::{self, PatientClock};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::partition::{
    Clock, MAX_SLEEP, Mail, Partition, PartitionOptions, Partitions, Recovered, RecoveryError,
    Setup,
};
use crate::store::{Claimed, Epoch, Store, StoreError};
use crate::stream::Millis;

/// Partitions that are claimed at the same time; far less than a store lets wait.
const CLAIMS: usize = 64;

/// Pause before a partition is claimed again that another core holds: what a hand-over waits for.
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// Pause before a partition is claimed again when the store did not answer.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// What all tenures of a core share.
pub(crate) struct Means {
    /// The name under which the core claims.
    pub(crate) owner: Arc<str>,
    /// The greatest epoch of each partition that this core has claimed: a store that went back in time gives
    /// none of them to it again.
    last_epochs: Vec<Arc<AtomicU64>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) partitions: Partitions,
    pub(crate) limits: Limits,
    pub(crate) options: PartitionOptions,
    pub(crate) metrics: Metrics,
    /// Permits for claims.
    pub(crate) claims: Semaphore,
    pub(crate) start: Start,
    /// Until then nothing is claimed.
    pub(crate) hold: watch::Sender<Instant>,
}

impl Means {
    pub(crate) fn new(
        owner: Arc<str>,
        store: Arc<dyn Store>,
        partitions: Partitions,
        limits: Limits,
        options: PartitionOptions,
        metrics: Metrics,
    ) -> Self {
        let (claims, start) = (Semaphore::new(CLAIMS), Start::new());
        let hold = watch::Sender::new(clock::now());
        let last_epochs = (0..partitions.count()).map(|_| Arc::default()).collect();
        Self {
            owner,
            last_epochs,
            store,
            partitions,
            limits,
            options,
            metrics,
            claims,
            start,
            hold,
        }
    }
}

/// How a tenure ended: because it was over or another core has the partition, or with an error.
pub(super) type End = Result<(), TenureError>;

/// Why a partition cannot be served until somebody mends something.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TenureError {
    /// The store refused.
    #[error(transparent)]
    Store(StoreError),
    /// What the store has cannot be understood.
    #[error("partition {0}: {1}")]
    Recovery(u32, RecoveryError),
}

pub(super) struct Tenure {
    means: Arc<Means>,
    partition: u32,
    /// Whether the partition is in our share.
    keep: watch::Receiver<bool>,
    /// The start knows of it.
    is_decided: bool,
}

impl Tenure {
    pub(super) fn new(means: Arc<Means>, partition: u32, keep: watch::Receiver<bool>) -> Self {
        Self { means, partition, keep, is_decided: false }
    }

    pub(super) async fn run(mut self) -> End {
        let end = self.claim_and_serve().await;
        if let Err(error) = &end {
            self.means.start.failed(error);
        }
        self.decide();
        end
    }

    async fn claim_and_serve(&mut self) -> End {
        let Some(claimed) = self.claim().await.map_err(TenureError::Store)? else { return Ok(()) };
        let epoch = claimed.epoch;
        let recovered = Recovered::from_claimed(&claimed);
        drop(claimed);
        match recovered {
            Ok(recovered) if *self.keep.borrow() => self.serve(recovered, epoch).await,
            recovered => {
                // The lease runs out by itself if this fails.
                let _ = self.means.store.release(self.partition, epoch).await;
                recovered.map(|_| ()).map_err(|error| TenureError::Recovery(self.partition, error))
            }
        }
    }

    /// Claims as soon as the partition can be had; `None` if it is not wanted any more.
    async fn claim(&mut self) -> Result<Option<Claimed>, StoreError> {
        let means = Arc::clone(&self.means);
        let last_epoch = &means.last_epochs[self.partition as usize];
        while *self.keep.borrow() {
            let hold = *means.hold.borrow();
            if hold > clock::now() {
                // Whichever comes first: its end, or that the partition is not wanted.
                let _ = timeout_at(hold, unwanted(&mut self.keep)).await;
                continue;
            }
            let permit = means.claims.acquire().await;
            let above = Epoch(last_epoch.load(Ordering::Relaxed));
            let claimed = means.store.claim(self.partition, &means.owner, above).await;
            drop(permit);
            let pause = match claimed {
                Err(StoreError::Held { left, owner }) => {
                    if !self.is_decided {
                        tracing::debug!(
                            partition = self.partition,
                            owner,
                            "another core has the partition"
                        );
                    }
                    self.decide();
                    left.min(HELD_PAUSE)
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::warn!(partition = self.partition, %error, "cannot claim yet");
                    STORE_PAUSE
                }
                Ok(claimed) => {
                    last_epoch.fetch_max(claimed.epoch.0, Ordering::Relaxed);
                    return Ok(Some(claimed));
                }
                Err(error) => return Err(error),
            };
            // Whichever comes first: the pause, or that it is not wanted.
            let _ = timeout(pause, unwanted(&mut self.keep)).await;
        }
        Ok(None)
    }

    async fn serve(&mut self, recovered: Recovered, epoch: Epoch) -> End {
        let (means, partition) = (Arc::clone(&self.means), self.partition);
        let mail = means.partitions.open(partition, epoch);
        let _open = Open::new(&means, partition);
        let setup = Setup {
            partition,
            count: means.partitions.count(),
            owner: Arc::clone(&means.owner),
            last_epoch: Arc::clone(&means.last_epochs[partition as usize]),
            store: Arc::clone(&means.store),
            mail,
            limits: means.limits.clone(),
            options: means.options.clone(),
            clock: live_clock(),
            wall_clock: Arc::new(|| Millis(clock::wall_ms())),
            counters: Arc::clone(&means.metrics.counters),
        };
        self.decide();
        tracing::debug!(partition, %epoch, "a partition is served");
        let mut serving = std::pin::pin!(Partition::new(setup, recovered).serve());
        let served = tokio::select! {
            served = &mut serving => served,
            () = unwanted(&mut self.keep) => {
                let (done, _) = oneshot::channel();
                means.partitions.send(partition, Mail::Stop { done });
                serving.await
            }
        };
        match served {
            Ok(()) => Ok(()),
            Err(StoreError::Fenced) => {
                tracing::warn!(partition, "another core has claimed the partition");
                Ok(())
            }
            Err(error) => Err(TenureError::Store(error)),
        }
    }

    fn decide(&mut self) {
        if !std::mem::replace(&mut self.is_decided, true) {
            self.means.start.decided();
        }
    }
}

/// Waits until the partition is not in our share any more.
async fn unwanted(keep: &mut watch::Receiver<bool>) {
    // The ownership task lives longer than its tenures.
    let _ = keep.wait_for(|keep| !keep).await;
}

/// A partition that is open in the table; closed when this is dropped, however its task ends.
struct Open<'a> {
    means: &'a Means,
    partition: u32,
}

impl<'a> Open<'a> {
    fn new(means: &'a Means, partition: u32) -> Self {
        means.metrics.partitions.inc();
        Self { means, partition }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.means.metrics.partitions.dec();
        self.means.partitions.close(self.partition);
    }
}

/// The clock of one partition's deadlines. A step of it is never longer than two looks at it should be apart.
fn live_clock() -> Clock {
    let clock = PatientClock::new(2 * MAX_SLEEP);
    Arc::new(move || Millis(clock.now_ms()))
}
