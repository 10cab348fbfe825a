//! Staying a partition's owner: the claim is renewed well before it runs out, and given back at the end.
//! Knows by our own clock until when no other core can have claimed; after that nothing may be decided until
//! a renewal says that none has.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::store::{Epoch, Store, StoreError};

/// The claim on a partition.
pub(super) struct Lease {
    store: Arc<dyn Store>,
    partition: u32,
    epoch: Epoch,
    length: Duration,
    /// Until then nobody else can have claimed. Absent before the first renewal, because nobody knows how
    /// long it took to read what was claimed.
    good_until: Option<Instant>,
    /// How long to wait before the next renewal.
    pause: Duration,
    step: Option<Step>,
}

/// What is under way.
enum Step {
    Pause(BoxFuture<'static, ()>),
    Renewal { begun: Instant, call: BoxFuture<'static, Result<(), StoreError>> },
}

impl Lease {
    /// The lease that a claim has begun; it is renewed at once.
    pub(super) fn new(
        store: Arc<dyn Store>,
        partition: u32,
        epoch: Epoch,
        length: Duration,
    ) -> Self {
        let (good_until, pause, step) = (None, Duration::ZERO, None);
        Self { store, partition, epoch, length, good_until, pause, step }
    }

    /// Whether nobody else can have claimed the partition.
    pub(super) fn is_good(&self) -> bool {
        self.good_until.is_some_and(|until| clock::now() < until)
    }

    /// Waits until the next renewal is done; `next` is the index that the log is known to have reached. May
    /// be dropped and called again.
    ///
    /// # Errors
    /// Everything but [`StoreError::Unavailable`].
    pub(super) async fn renew(&mut self, next: u64) -> Result<(), StoreError> {
        loop {
            match &mut self.step {
                None if self.pause.is_zero() => self.step = Some(self.send(next)),
                None => self.step = Some(Step::Pause(Box::pin(sleep(self.pause)))),
                Some(Step::Pause(pause)) => {
                    pause.await;
                    self.step = Some(self.send(next));
                }
                Some(Step::Renewal { begun, call }) => {
                    let (begun, result) = (*begun, call.await);
                    self.step = None;
                    self.pause = self.length / 3;
                    return self.note(begun, result);
                }
            }
        }
    }

    /// The owner has a new epoch.
    pub(super) fn restart(&mut self, epoch: Epoch) {
        (self.epoch, self.good_until) = (epoch, None);
        (self.pause, self.step) = (Duration::ZERO, None);
    }

    /// Gives the partition back. If that fails, the lease runs out by itself.
    pub(super) async fn release(&mut self) {
        (self.step, self.good_until) = (None, None);
        if let Err(error) = self.store.release(self.partition, self.epoch).await {
            tracing::warn!(partition = self.partition, %error, "partition not released");
        }
    }

    fn send(&self, next: u64) -> Step {
        let call = self.store.renew(self.partition, self.epoch, self.length, next);
        Step::Renewal { begun: clock::now(), call }
    }

    fn note(&mut self, begun: Instant, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            Ok(()) => {
                // Clocks of two machines run at different speeds, but not by a tenth.
                self.good_until = Some(begun + self.length * 9 / 10);
                Ok(())
            }
            Err(StoreError::Unavailable(reason)) => {
                tracing::warn!(partition = self.partition, reason, "lease not renewed");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
