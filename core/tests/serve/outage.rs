//! A store outage in which all leases expire: living owners keep their partitions, even if another core reaches the
//! store first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use minerva_core::store::memory::MemoryStore;
use minerva_core::store::{
    Claimed, Epoch, Member, Membership, OwnerView, PartitionLayout, Store, StoreError, StreamChange,
};
use minerva_core::{Config, PartitionOptions};
use minerva_proto::LogIndex;
use minerva_proto::link::pb::core_frame;
use tokio::time::{sleep, timeout};

use crate::peers::{Edge, Served, serve_with};

const LEASE: Duration = Duration::from_secs(2);

/// The connection of one core to the store, which a test can cut.
struct StoreConnection {
    store: Arc<MemoryStore>,
    is_cut: AtomicBool,
}

impl StoreConnection {
    fn to(store: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), is_cut: AtomicBool::new(false) })
    }

    fn cut<T: Send + 'static>(&self) -> Option<BoxFuture<'static, Result<T, StoreError>>> {
        let error = || ready(Err(StoreError::Unavailable("cut".to_owned()))).boxed();
        self.is_cut.load(Ordering::Relaxed).then(error)
    }
}

impl Store for StoreConnection {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        self.cut().unwrap_or_else(|| self.store.partitions(wanted))
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        self.cut().unwrap_or_else(|| self.store.heartbeat(member, number, lease))
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.cut().unwrap_or_else(|| self.store.claim(partition, owner, above))
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.cut().unwrap_or_else(|| self.store.append(partition, owner, index, blob))
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let call = || self.store.checkpoint(partition, owner, covers, meta, changed);
        self.cut().unwrap_or_else(call)
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.cut().unwrap_or_else(|| self.store.renew(partition, owner, lease, next))
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.cut().unwrap_or_else(|| self.store.release(partition, epoch))
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.cut().unwrap_or_else(|| self.store.quarantine(partition, epoch, blobs))
    }
}

async fn core(way: &Arc<StoreConnection>) -> Served {
    let partition = PartitionOptions { lease: LEASE, ..PartitionOptions::default() };
    let config = Config { partitions: 16, partition, ..Config::default() };
    serve_with(&config, Arc::clone(way) as Arc<dyn Store>).await
}

/// Number of partitions in the next Owned frame.
async fn owned(edge: &mut Edge) -> usize {
    match edge.next().await {
        core_frame::Frame::Owned(owned) => owned.claims.len(),
        core_frame::Frame::Released(released) => panic!("{released:?}"),
        other => panic!("{other:?}"),
    }
}

/// An edge at each core, once each core owns partitions.
async fn edges(one: &Served, two: &Served) -> (Edge, Edge) {
    loop {
        let mut edges = (Edge::connect(one.link).await, Edge::connect(two.link).await);
        let counts = (owned(&mut edges.0).await, owned(&mut edges.1).await);
        if counts.0 + counts.1 == 16 && counts.1 > 0 {
            return edges;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn assert_no_partition_moves(edges: &mut (Edge, Edge)) {
    let changes = async {
        tokio::select! { n = owned(&mut edges.0) => n, n = owned(&mut edges.1) => n }
    };
    assert!(timeout(3 * LEASE, changes).await.is_err(), "no partition has moved");
}

#[tokio::test]
async fn owners_keep_their_partitions_after_an_outage() {
    let store = Arc::new(MemoryStore::new());
    let (first, second) = (StoreConnection::to(&store), StoreConnection::to(&store));
    let (one, two) = (core(&first).await, core(&second).await);
    let mut edges = edges(&one, &two).await;
    first.is_cut.store(true, Ordering::Relaxed);
    second.is_cut.store(true, Ordering::Relaxed);
    sleep(LEASE + LEASE / 2).await;
    second.is_cut.store(false, Ordering::Relaxed);
    sleep(LEASE / 4).await;
    first.is_cut.store(false, Ordering::Relaxed);
    assert_no_partition_moves(&mut edges).await;
}

/// The time limits are those of [`Core::obstacle`]: 4 s and a heartbeat interval.
#[tokio::test]
async fn a_core_is_unready_while_its_store_is_unavailable() {
    let store = Arc::new(MemoryStore::new());
    let connection = StoreConnection::to(&store);
    let core = core(&connection).await.core;
    assert_eq!(core.obstacle(), None);
    connection.is_cut.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(core.obstacle(), None, "a failover of the store takes a moment");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(core.obstacle().unwrap(), "the store has not responded for 5 s: cut");
    connection.is_cut.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(core.obstacle(), None);
}

/// No heartbeat fails; the only evidence of the rollback is the lost membership.
#[tokio::test]
async fn owners_keep_their_partitions_after_a_rollback_between_two_heartbeats() {
    let store = Arc::new(MemoryStore::new());
    let before = store.backup();
    let (first, second) = (StoreConnection::to(&store), StoreConnection::to(&store));
    let (one, two) = (core(&first).await, core(&second).await);
    let mut edges = edges(&one, &two).await;
    store.restore(&before);
    second.is_cut.store(true, Ordering::Relaxed);
    sleep(LEASE / 2).await;
    second.is_cut.store(false, Ordering::Relaxed);
    assert_no_partition_moves(&mut edges).await;
}
