//! Staying a partition's owner: the claim is renewed well before it runs out, and given back at the end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::store::{Epoch, FIRST_LEASE, Store, StoreError};

/// The claim on a partition.
pub(super) struct Lease {
    store: Arc<dyn Store>,
    partition: u32,
    epoch: Epoch,
    length: Duration,
    /// Waits, then renews.
    renewal: Option<BoxFuture<'static, Result<(), StoreError>>>,
    /// How long to wait before the next renewal.
    pause: Duration,
}

impl Lease {
    pub(super) fn new(
        store: Arc<dyn Store>,
        partition: u32,
        epoch: Epoch,
        length: Duration,
    ) -> Self {
        Self { store, partition, epoch, length, renewal: None, pause: length.min(FIRST_LEASE) / 3 }
    }

    /// Waits until the next renewal is done. May be dropped and called again.
    ///
    /// # Errors
    /// Everything but [`StoreError::Unavailable`].
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        let renewal = self.renewal.get_or_insert_with(|| {
            let (store, pause) = (self.store.clone(), self.pause);
            let (partition, epoch, length) = (self.partition, self.epoch, self.length);
            Box::pin(async move {
                sleep(pause).await;
                store.renew(partition, epoch, length).await
            })
        });
        let result = renewal.await;
        self.renewal = None;
        self.pause = self.length / 3;
        match result {
            Err(StoreError::Unavailable(reason)) => {
                // What matters is written with the epoch; the lease only keeps others from claiming.
                tracing::warn!(partition = self.partition, reason, "lease not renewed");
                Ok(())
            }
            result => result,
        }
    }

    /// Gives the partition back. If that fails, the lease runs out by itself.
    pub(super) async fn release(&mut self) {
        self.renewal = None;
        if let Err(error) = self.store.release(self.partition, self.epoch).await {
            tracing::warn!(partition = self.partition, %error, "partition not released");
        }
    }
}
