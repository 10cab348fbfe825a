//! A store decorator that measures append latency, and counts and logs errors. The core wraps its store in this type.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use minerva_proto::LogIndex;

use super::fault_log::warn_unavailable;
use super::{
    Claimed, Epoch, Member, Membership, OwnerView, PartitionLayout, Store, StoreError, StoreFill,
    StoredTokens, StreamChange,
};
use crate::clock;
use crate::metrics::Metrics;

/// A store with metrics.
pub(crate) struct MeteredStore {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl MeteredStore {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    fn count_append(
        &self,
        call: BoxFuture<'static, Result<(), StoreError>>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let (seconds, begun) = (self.metrics.append_seconds.clone(), clock::now());
        let counters = Arc::clone(&self.metrics.counters);
        let counted = call.inspect(move |result| {
            if result.is_ok() {
                let now = clock::now();
                seconds.observe((now - begun).as_secs_f64());
                counters.durability.on_append(now);
            }
        });
        self.count_errors("append", counted.boxed())
    }

    fn count_errors<'a, T: 'a>(
        &self,
        operation: &'static str,
        call: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let errors = self.metrics.store_errors.clone();
        let counters = Arc::clone(&self.metrics.counters);
        call.inspect(move |result| {
            if let Err(error) = result {
                errors.get_or_create(&[("kind", error_kind(error))]).inc();
            }
            if let Err(StoreError::Unavailable(reason)) = result {
                counters.durability.on_unavailable(reason, clock::now());
                warn_unavailable(operation, reason);
            } else {
                counters.durability.on_response(clock::now());
                if let Err(StoreError::Full(reason)) = result {
                    warn_unavailable(operation, reason);
                }
            }
        })
        .boxed()
    }
}

fn error_kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::Fenced => "fenced",
        StoreError::Held { .. } => "held",
        StoreError::Behind { .. } => "behind",
        StoreError::Conflict { .. } => "conflict",
        StoreError::TooLarge { .. } => "too_large",
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Full(_) => "full",
        StoreError::Corrupt(_) => "corrupt",
        StoreError::Failed(_) => "failed",
        StoreError::Config(_) => "config",
    }
}

impl Store for MeteredStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        self.count_errors("partitions", self.store.partitions(wanted))
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        self.count_errors("heartbeat", self.store.heartbeat(member, number, lease))
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.count_errors("claim", self.store.claim(partition, owner, above))
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_append(self.store.append(partition, owner, index, blob))
    }

    fn append_to_full(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_append(self.store.append_to_full(partition, owner, index, blob))
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_errors(
            "checkpoint",
            self.store.checkpoint(partition, owner, covers, meta, changed),
        )
    }

    fn checkpoint_beyond_log(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let call = self.store.checkpoint_beyond_log(partition, owner, covers, meta, changed);
        self.count_errors("checkpoint", call)
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_errors("renew", self.store.renew(partition, owner, lease, next))
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_errors("release", self.store.release(partition, epoch))
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_errors("quarantine", self.store.quarantine(partition, epoch, blobs))
    }

    fn fill(&self) -> BoxFuture<'static, Result<Option<StoreFill>, StoreError>> {
        // A sample shows nothing about writes, and a store without a limit calls nothing: no evidence of a response.
        self.store.fill()
    }

    fn tokens(&self, known: u64) -> BoxFuture<'static, Result<Option<StoredTokens>, StoreError>> {
        // A read shows nothing about writes.
        self.store.tokens(known)
    }

    fn discard(
        &self,
        partition: u32,
        epoch: Epoch,
        names: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.count_errors("discard", self.store.discard(partition, epoch, names))
    }
}
