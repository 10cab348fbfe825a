//! The lease of the owner of a partition: renewed at a third of the length, released at the end.
//!
//! Computes from the own monotonic clock how long no other core can have claimed the partition. Used by the event loop,
//! which takes no mail without a valid lease.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use minerva_proto::LogIndex;
use minerva_runtime::recurring::RecurringFaults;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::store::{Epoch, ExpectedState, OwnerView, Store, StoreError};

/// Failed releases of all partitions.
static FAULTS: RecurringFaults = RecurringFaults::new();

/// The lease of one partition under one epoch.
pub(super) struct Lease {
    store: Arc<dyn Store>,
    partition: u32,
    epoch: Epoch,
    length: Duration,
    /// No other core can have claimed before this time. `None` until the first renewal, because the duration of the
    /// claim and the recovery is unknown.
    valid_until: Option<Instant>,
    /// Pause before the next renewal.
    pause: Duration,
    step: Option<RenewalStep>,
    /// A renewal has succeeded after the lease had expired.
    was_regained: bool,
}

/// The stored state that a renewal must find.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RenewalProof {
    pub(super) expected: ExpectedState,
    /// The confirmed end of the log.
    pub(super) next: LogIndex,
}

/// The time for which no other core can have claimed the partition.
#[derive(Clone, Copy)]
pub(super) struct LeaseValidity {
    until: Option<Instant>,
}

impl LeaseValidity {
    /// Polls a future only while the lease is valid; pending from then on. A renewal must interrupt the wait. Cancel
    /// safe if the future is.
    pub(super) async fn while_valid<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| match self.is_valid() {
            true => future.as_mut().poll(cx),
            false => Poll::Pending,
        })
        .await
    }

    fn is_valid(self) -> bool {
        self.until.is_some_and(|until| clock::now() < until)
    }
}

enum RenewalStep {
    Pause(BoxFuture<'static, ()>),
    Call {
        sent_at: Instant,
        expected: ExpectedState,
        call: BoxFuture<'static, Result<(), StoreError>>,
    },
}

impl Lease {
    /// The lease of a new claim; the first renewal is sent at once.
    pub(super) fn new(
        store: Arc<dyn Store>,
        partition: u32,
        epoch: Epoch,
        length: Duration,
    ) -> Self {
        let (valid_until, pause, step) = (None, Duration::ZERO, None);
        Self { store, partition, epoch, length, valid_until, pause, step, was_regained: false }
    }

    /// The validity until the next renewal.
    pub(super) fn validity(&self) -> LeaseValidity {
        LeaseValidity { until: self.valid_until }
    }

    /// Returns true once after the lease had expired and was renewed: another core may have owned the partition in
    /// between, and the store may have lost that.
    pub(super) fn take_regained(&mut self) -> bool {
        std::mem::take(&mut self.was_regained)
    }

    /// Waits for the next renewal, which the store performs only if its state matches the proof. Cancel safe.
    ///
    /// # Errors
    /// Every error except [`StoreError::Unavailable`].
    pub(super) async fn renew(&mut self, proof: RenewalProof) -> Result<(), StoreError> {
        loop {
            match &mut self.step {
                None if self.pause.is_zero() => self.step = Some(self.send(proof)),
                None => self.step = Some(RenewalStep::Pause(Box::pin(sleep(self.pause)))),
                Some(RenewalStep::Pause(pause)) => {
                    pause.await;
                    self.step = Some(self.send(proof));
                }
                Some(RenewalStep::Call { sent_at, expected, call }) => {
                    let (sent_at, result) = (*sent_at, call.await);
                    let is_outdated = *expected != proof.expected;
                    self.step = None;
                    if is_outdated && matches!(result, Err(StoreError::Behind { .. })) {
                        // A checkpoint may have overtaken the renewal on its way.
                        self.step = Some(self.send(proof));
                        continue;
                    }
                    self.pause = self.length / 3;
                    return self.on_renewed(sent_at, result);
                }
            }
        }
    }

    /// Renews without a pause. Errors as in [`Lease::renew`].
    pub(super) async fn renew_now(&mut self, proof: RenewalProof) -> Result<(), StoreError> {
        self.step = Some(self.send(proof));
        self.renew(proof).await
    }

    /// Continues under a new epoch.
    pub(super) fn restart(&mut self, epoch: Epoch) {
        (self.epoch, self.valid_until) = (epoch, None);
        (self.pause, self.step) = (Duration::ZERO, None);
    }

    /// Releases the partition. After a failure the lease expires.
    pub(super) async fn release(&mut self) {
        (self.step, self.valid_until) = (None, None);
        if let Err(error) = self.store.release(self.partition, self.epoch).await {
            let partition = self.partition;
            // The text of the error may contain the position in the log.
            if let Some(partitions) = FAULTS.record("release", clock::now().into_std()) {
                tracing::warn!(partition, %error, partitions, "partition not released");
            }
        }
    }

    fn send(&self, RenewalProof { expected, next }: RenewalProof) -> RenewalStep {
        let owner = OwnerView { epoch: self.epoch, expected: Some(expected) };
        let call = self.store.renew(self.partition, owner, self.length, next);
        RenewalStep::Call { sent_at: clock::now(), expected, call }
    }

    fn on_renewed(
        &mut self,
        sent_at: Instant,
        result: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match result {
            Ok(()) => {
                self.was_regained |= self.valid_until.is_some_and(|until| until <= clock::now());
                // The clock rates of two machines differ by less than a tenth.
                self.valid_until = Some(sent_at + self.length * 9 / 10);
                Ok(())
            }
            Err(StoreError::Unavailable(reason)) => {
                tracing::debug!(partition = self.partition, reason, "lease not renewed");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
