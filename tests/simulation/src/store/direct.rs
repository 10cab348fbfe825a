//! The store model without delays and faults, for comparison with real stores.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use minerva_core::store::{
    Claimed, Epoch, Member, Membership, OperatorStore, OwnerView, PartitionLayout, Store,
    StoreError, StoredPartition,
};
use minerva_proto::{LogIndex, StreamNumber};

use super::call::{NO_PARTITION, Op, OpReply, OpResult, into_inspected};
use super::data::StoreData;
use crate::clock::Clock;

/// A store that performs each call at once. Clones share the data.
#[derive(Debug, Clone)]
pub struct ModelStore {
    data: Arc<Mutex<StoreData>>,
    clock: Clock,
}

impl ModelStore {
    /// Creates an empty store.
    #[expect(clippy::new_without_default, reason = "reads the clock")]
    pub fn new() -> Self {
        Self { data: Arc::default(), clock: Clock::start() }
    }

    fn perform(&self, partition: u32, op: &Op) -> OpResult {
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        data.perform(self.clock.now(), None, partition, op)
    }

    fn call_unit(&self, partition: u32, op: &Op) -> BoxFuture<'static, Result<(), StoreError>> {
        ready(self.perform(partition, op).map(|_| ())).boxed()
    }
}

impl Store for ModelStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        let layout = PartitionLayout { count: wanted, hash_key: None };
        ready(self.perform(NO_PARTITION, &Op::Partitions(wanted)).map(|_| layout)).boxed()
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        let answer = self.perform(NO_PARTITION, &Op::Heartbeat { member, number, length: lease });
        ready(answer.map(|answer| match answer {
            OpReply::Membership(membership) => membership,
            OpReply::Partitions(_)
            | OpReply::Claimed(_)
            | OpReply::Inspected(_)
            | OpReply::Done => Membership::default(),
        }))
        .boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let answer = self.perform(partition, &Op::Claim { owner: owner.to_owned(), above });
        ready(answer.and_then(|answer| match answer {
            OpReply::Claimed(claimed) => Ok(claimed),
            OpReply::Partitions(_)
            | OpReply::Membership(_)
            | OpReply::Inspected(_)
            | OpReply::Done => Err(StoreError::Corrupt("a reply to another operation".to_owned())),
        }))
        .boxed()
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, &Op::Append { owner, index, blob })
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<(StreamNumber, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let is_beyond_log = false;
        self.call_unit(partition, &Op::Checkpoint { owner, covers, meta, changed, is_beyond_log })
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, &Op::Renew { owner, length: lease, next })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, &Op::Release { epoch })
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, &Op::Quarantine { epoch, blobs })
    }
}

impl OperatorStore for ModelStore {
    fn partition_count(&self) -> BoxFuture<'_, Result<Option<u32>, StoreError>> {
        let data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(data.partition_count())).boxed()
    }

    fn inspect(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        ready(self.perform(partition, &Op::Inspect)).map(into_inspected).boxed()
    }

    fn inspect_aside(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        ready(self.perform(partition, &Op::InspectAside)).map(into_inspected).boxed()
    }

    fn reset_partition(&self, partition: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call_unit(partition, &Op::Reset)
    }
}
