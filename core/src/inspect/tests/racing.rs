//! A store in which a running core claims the partition whenever a repair has begun.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use minerva_proto::LogIndex;

use crate::store::memory::MemoryStore;
use crate::store::{
    Claimed, Epoch, Member, Membership, OperatorStore, OwnerView, PartitionLayout, Store,
    StoreError, StoredPartition, StreamChange,
};

type Reply<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A store with a core that takes the partition from the caller before a quarantine or a reset, some times.
pub(super) struct Racing {
    store: MemoryStore,
    remaining: AtomicU32,
}

impl Racing {
    pub(super) fn new(store: MemoryStore, claims: u32) -> Self {
        Self { store, remaining: AtomicU32::new(claims) }
    }

    /// Claims of the core that are still to come.
    pub(super) fn remaining(&self) -> u32 {
        self.remaining.load(Ordering::Relaxed)
    }

    fn race(&self, partition: u32) {
        let claims = self.remaining();
        if claims == 0 {
            return;
        }
        self.remaining.store(claims - 1, Ordering::Relaxed);
        // A lease of the command has ended, for example because the repair took too long.
        let found = self.store.inspect(partition).now_or_never().unwrap().unwrap();
        self.store.renew(partition, found.epoch.into(), Duration::ZERO, LogIndex(0)).now_or_never();
        self.store.claim(partition, "running", Epoch(0)).now_or_never().unwrap().unwrap();
    }
}

impl Store for Racing {
    fn partitions(&self, wanted: u32) -> Reply<'_, PartitionLayout> {
        self.store.partitions(wanted)
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> Reply<'static, Membership> {
        self.store.heartbeat(member, number, lease)
    }

    fn claim(&self, partition: u32, owner: &str, above: Epoch) -> Reply<'_, Claimed> {
        self.store.claim(partition, owner, above)
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> Reply<'static, ()> {
        self.store.append(partition, owner, index, blob)
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> Reply<'static, ()> {
        self.store.checkpoint(partition, owner, covers, meta, changed)
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> Reply<'static, ()> {
        self.store.renew(partition, owner, lease, next)
    }

    fn release(&self, partition: u32, epoch: Epoch) -> Reply<'static, ()> {
        self.store.release(partition, epoch)
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> Reply<'static, ()> {
        self.race(partition);
        self.store.quarantine(partition, epoch, blobs)
    }
}

impl OperatorStore for Racing {
    fn partition_count(&self) -> Reply<'_, Option<u32>> {
        self.store.partition_count()
    }

    fn inspect(&self, partition: u32) -> Reply<'_, StoredPartition> {
        self.store.inspect(partition)
    }

    fn inspect_aside(&self, partition: u32) -> Reply<'_, StoredPartition> {
        self.store.inspect_aside(partition)
    }

    fn reset_partition(&self, partition: u32) -> Reply<'_, ()> {
        self.race(partition);
        self.store.reset_partition(partition)
    }
}
