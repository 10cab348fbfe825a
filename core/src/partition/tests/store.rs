//! A store with faults: held appends, failures, appends without a reply.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, pending, ready};
use futures_util::{FutureExt, TryFutureExt};
use minerva_proto::LogIndex;
use tokio::sync::Semaphore;

use crate::store::memory::MemoryStore;
use crate::store::{
    Claimed, Epoch, Member, Membership, OwnerView, PartitionLayout, Store, StoreError, StreamChange,
};

/// A memory store with faults.
#[derive(Clone)]
pub(super) struct TestStore {
    pub(super) inner: MemoryStore,
    /// One permit lets one append take effect.
    pub(super) permits: Arc<Semaphore>,
    /// The blobs whose append took effect, in order.
    pub(super) durable: Arc<Mutex<Vec<Bytes>>>,
    /// Number of next appends that fail without effect.
    pub(super) failures: Arc<AtomicU64>,
    /// Failing appends take effect.
    pub(super) fails_after: Arc<AtomicBool>,
    /// Appends are refused for lack of memory.
    pub(super) is_full: Arc<AtomicBool>,
    /// The next appends are fenced.
    pub(super) is_fenced: Arc<AtomicBool>,
    /// Renewals fail without effect.
    pub(super) are_renewals_lost: Arc<AtomicBool>,
    /// The last append with a permit takes effect but gets no reply.
    pub(super) is_reply_lost: bool,
    /// Covered log index of each finished checkpoint.
    pub(super) checkpoints: Arc<Mutex<Vec<LogIndex>>>,
    /// Streams with a damaged number.
    pub(super) unreadable: Arc<Mutex<Vec<(Bytes, Bytes)>>>,
    /// The data before the last checkpoint.
    pub(super) before_checkpoint: Arc<Mutex<Option<MemoryStore>>>,
    /// A backup that is restored in front of the next checkpoint.
    pub(super) restored_at_checkpoint: Arc<Mutex<Option<MemoryStore>>>,
}

impl TestStore {
    /// Appends wait for permits.
    pub(super) fn held() -> Self {
        Self {
            inner: MemoryStore::new(),
            permits: Arc::new(Semaphore::new(0)),
            durable: Arc::default(),
            failures: Arc::default(),
            fails_after: Arc::default(),
            is_full: Arc::default(),
            is_fenced: Arc::default(),
            are_renewals_lost: Arc::default(),
            is_reply_lost: false,
            checkpoints: Arc::default(),
            unreadable: Arc::default(),
            before_checkpoint: Arc::default(),
            restored_at_checkpoint: Arc::default(),
        }
    }

    /// Appends take effect at once.
    pub(super) fn free() -> Self {
        let store = Self::held();
        store.permits.add_permits(Semaphore::MAX_PERMITS);
        store
    }

    /// The same data, but only the next `count` appends take effect. Later ones get no reply, nor does the last one if
    /// `is_reply_lost`.
    pub(super) fn dies_after(&self, count: usize, is_reply_lost: bool) -> Self {
        Self { permits: Arc::new(Semaphore::new(count)), is_reply_lost, ..self.clone() }
    }
}

impl Store for TestStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        self.inner.partitions(wanted)
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        self.inner.heartbeat(member, number, lease)
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let unreadable = self.unreadable.lock().unwrap().clone();
        let claimed = self.inner.claim(partition, owner, above);
        claimed.map_ok(|claimed| Claimed { unreadable, ..claimed }).boxed()
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.clone();
        async move {
            if store.is_full.load(Ordering::Relaxed) {
                return Err(StoreError::Full("test fault".to_owned()));
            }
            store.append_to_full(partition, owner, index, blob).await
        }
        .boxed()
    }

    fn append_to_full(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.clone();
        async move {
            if store.is_fenced.load(Ordering::Relaxed) {
                return Err(StoreError::Fenced);
            }
            match store.permits.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => pending().await,
            }
            let is_failing = store
                .failures
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1))
                .is_ok();
            let unavailable = || Err(StoreError::Unavailable("test fault".to_owned()));
            if is_failing && !store.fails_after.load(Ordering::Relaxed) {
                return unavailable();
            }
            store.inner.append(partition, owner, index, blob.clone()).await?;
            if let Ok(mut durable) = store.durable.lock() {
                durable.push(blob);
            }
            if store.is_reply_lost && store.permits.available_permits() == 0 {
                return pending().await;
            }
            if is_failing { unavailable() } else { Ok(()) }
        }
        .boxed()
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Some(backup) = self.restored_at_checkpoint.lock().unwrap().take() {
            self.inner.restore(&backup);
        }
        if let Ok(mut before) = self.before_checkpoint.lock() {
            *before = Some(self.inner.backup());
        }
        let result = self.inner.checkpoint(partition, owner, covers, meta, changed);
        if let Ok(mut checkpoints) = self.checkpoints.lock() {
            checkpoints.push(covers);
        }
        result
    }

    fn checkpoint_beyond_log(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.checkpoints.lock().unwrap().push(covers);
        self.inner.checkpoint_beyond_log(partition, owner, covers, meta, changed)
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if self.are_renewals_lost.load(Ordering::Relaxed) {
            let lost = Err(StoreError::Unavailable("test fault".to_owned()));
            return ready(lost).boxed();
        }
        self.inner.renew(partition, owner, lease, next)
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.release(partition, epoch)
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.quarantine(partition, epoch, blobs)
    }

    fn discard(
        &self,
        _partition: u32,
        _epoch: Epoch,
        names: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.unreadable.lock().unwrap().retain(|(name, _)| !names.contains(name));
        ready(Ok(())).boxed()
    }
}
