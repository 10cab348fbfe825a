//! The store in memory, for tests and experiments. The data is lost when the process ends.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use minerva_proto::{LogIndex, StreamNumber};

use super::claims::push_claim;
use super::head::{AppendAction, Head};
use super::layout::check_partitions;
use super::leases::{HeartbeatTable, Leases};
use super::quarantine::{self, LIMITS};
use super::version::{check_version, raise_version};
use super::{
    Claim, Claimed, Epoch, HashKey, MAX_TOKENS, Member, Membership, OperatorStore, OwnerView,
    PartitionLayout, Store, StoreError, StoredPartition, StoredTokens, StreamChange, check_size,
    check_token, random_version, too_many_tokens,
};
use crate::clock;

/// A store in memory. Clones share the data, as processes share a server.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Data>>,
}

#[derive(Clone, Default)]
struct Data {
    hash_key: Option<HashKey>,
    partitions: Option<u32>,
    stored_version: u32,
    leases: Leases,
    heartbeats: HeartbeatTable,
    by_partition: HashMap<u32, Partition>,
    /// Data that a reset has moved aside.
    aside: HashMap<u32, Partition>,
    tokens: BTreeMap<String, Bytes>,
    tokens_version: u64,
}

#[derive(Clone, Default)]
struct Partition {
    head: Head,
    claims: Vec<Claim>,
    meta: Option<Bytes>,
    streams: BTreeMap<StreamNumber, Bytes>,
    /// The blobs from `head.first` to `head.next - 1`.
    log: BTreeMap<LogIndex, Bytes>,
    quarantined: Vec<(String, Bytes)>,
}

impl MemoryStore {
    /// An empty store with the unkeyed partition hash, so that each run assigns streams to the same partitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with a key of the partition hash.
    pub fn with_hash_key(key: HashKey) -> Self {
        let data = Data { hash_key: Some(key), ..Data::default() };
        Self { shared: Arc::new(Mutex::new(data)) }
    }

    /// A copy of the current data that later calls do not change.
    pub fn backup(&self) -> Self {
        let data = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { shared: Arc::new(Mutex::new(data)) }
    }

    /// Replaces the data with a backup, as seen by all clones. Simulates a rollback under living owners.
    pub fn restore(&self, backup: &Self) {
        let data = backup.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = data;
    }

    /// Performs a call immediately. A poisoned lock is recovered, because no call leaves the data half changed.
    fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Data) -> Result<R, StoreError>,
    ) -> BoxFuture<'static, Result<R, StoreError>> {
        let mut data = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        ready(work(&mut data)).boxed()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl Store for MemoryStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        self.call(|data| {
            let count = check_partitions(data.partitions, wanted)?;
            check_version(data.stored_version)?;
            data.partitions = Some(count);
            Ok(PartitionLayout { count, hash_key: data.hash_key })
        })
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        self.call(move |data| {
            let mut found = data.heartbeats.record(member, number, lease, clock::now());
            data.stored_version = raise_version(data.stored_version, [found.stored_version]);
            found.stored_version = data.stored_version;
            Ok(found)
        })
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.call(|data| {
            let now = clock::now();
            data.leases.check(partition, owner, now)?;
            data.leases.grant(partition, owner, now);
            Ok(data.by_partition.entry(partition).or_default().claim(owner, above))
        })
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(|data| {
            check_size([blob.len()])?;
            data.by_partition.entry(partition).or_default().append(owner, index, blob)
        })
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(|data| {
            let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
            check_size(blobs.chain([meta.len()]))?;
            let partition = data.by_partition.entry(partition).or_default();
            partition.checkpoint(owner, covers, meta, changed)
        })
    }

    fn checkpoint_beyond_log(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(|data| {
            let partition = data.by_partition.entry(partition).or_default();
            let end = partition.head.next;
            partition.head.next = end.max(covers);
            let result = partition.checkpoint(owner, covers, meta, changed);
            if result.is_err() {
                partition.head.next = end;
            }
            result
        })
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(move |data| {
            let head = &data.by_partition.entry(partition).or_default().head;
            head.check_renewal(owner, next)?;
            data.leases.renew(partition, clock::now(), lease);
            Ok(())
        })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(move |data| {
            data.by_partition.entry(partition).or_default().head.check(epoch)?;
            data.leases.renew(partition, clock::now(), Duration::ZERO);
            Ok(())
        })
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(|data| {
            check_size(blobs.iter().map(|(_, blob)| blob.len()))?;
            let partition = data.by_partition.entry(partition).or_default();
            partition.head.check(epoch)?;
            quarantine::add(&mut partition.quarantined, blobs, LIMITS);
            Ok(())
        })
    }

    fn tokens(&self, known: u64) -> BoxFuture<'static, Result<Option<StoredTokens>, StoreError>> {
        self.call(|data| {
            let version = data.tokens_version;
            let copy = |(id, record): (&String, &Bytes)| (id.clone(), record.clone());
            let records = || data.tokens.iter().map(copy).collect();
            Ok((version != known).then(|| StoredTokens { version, records: records() }))
        })
    }
}

impl OperatorStore for MemoryStore {
    fn partition_count(&self) -> BoxFuture<'_, Result<Option<u32>, StoreError>> {
        self.call(|data| Ok(data.partitions))
    }

    fn inspect(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        self.call(|data| {
            let mut found =
                data.by_partition.get(&partition).map(Partition::inspect).unwrap_or_default();
            found.owner = data.leases.owner(partition, clock::now());
            Ok(found)
        })
    }

    fn inspect_aside(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        let inspect = |data: &mut Data| data.aside.get(&partition).map(Partition::inspect);
        self.call(|data| Ok(inspect(data).unwrap_or_default()))
    }

    fn reset_partition(&self, partition: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        self.call(|data| {
            data.leases.check(partition, "", clock::now())?;
            let stored = data.by_partition.entry(partition).or_default();
            if let Some(before) = stored.reset() {
                data.aside.insert(partition, before);
            }
            Ok(())
        })
    }

    fn set_token(
        &self,
        id: &str,
        record: Option<Bytes>,
    ) -> BoxFuture<'static, Result<bool, StoreError>> {
        self.call(|data| {
            check_token(id, record.as_ref())?;
            let existed = data.tokens.contains_key(id);
            if record.is_some() && !existed && data.tokens.len() >= MAX_TOKENS {
                return Err(too_many_tokens());
            }
            data.tokens_version = random_version()?;
            match record {
                Some(record) => data.tokens.insert(id.to_owned(), record),
                None => data.tokens.remove(id),
            };
            Ok(existed)
        })
    }
}

impl Partition {
    fn claim(&mut self, owner: &str, above: Epoch) -> Claimed {
        push_claim(&mut self.claims, self.head.claim(owner, above), above);
        self.head.checkpoints = Some(0);
        Claimed {
            epoch: self.head.epoch,
            claims: self.claims.clone(),
            meta: self.meta.clone(),
            streams: self.streams.iter().map(|(number, blob)| (*number, blob.clone())).collect(),
            unreadable: Vec::new(),
            first_index: self.head.first,
            log: self.log.values().cloned().collect(),
            recorded: None,
        }
    }

    fn inspect(&self) -> StoredPartition {
        StoredPartition {
            epoch: self.head.epoch,
            claims: self.claims.clone(),
            meta: self.meta.clone(),
            streams: self.streams.iter().map(|(number, blob)| (*number, blob.clone())).collect(),
            first_index: self.head.first,
            log: self.log.values().cloned().collect(),
            quarantined: self.quarantined.clone(),
            ..StoredPartition::default()
        }
    }

    /// Empties the partition and returns its former data; `None` if the partition is empty since a reset.
    fn reset(&mut self) -> Option<Self> {
        let is_empty = self.meta.is_none() && self.streams.is_empty() && self.log.is_empty();
        if is_empty && self.head.first > LogIndex(0) {
            return None;
        }
        let before = self.clone();
        self.head.reset();
        (self.meta, self.streams, self.log) = (None, BTreeMap::new(), BTreeMap::new());
        Some(before)
    }

    fn append(&mut self, owner: OwnerView, index: LogIndex, blob: Bytes) -> Result<(), StoreError> {
        match self.head.check_append(owner, index)? {
            AppendAction::Write => {
                self.log.insert(index, blob);
                self.head.next = index.next();
                Ok(())
            }
            AppendAction::Compare if self.log.get(&index) == Some(&blob) => Ok(()),
            AppendAction::Compare => Err(StoreError::Conflict { index }),
            AppendAction::Skip => Ok(()),
        }
    }

    fn checkpoint(
        &mut self,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> Result<(), StoreError> {
        if !self.head.check_checkpoint(owner, covers)? {
            return Ok(());
        }
        self.meta = Some(meta);
        for (stream, blob) in changed {
            match blob {
                Some(blob) => self.streams.insert(stream, blob),
                None => self.streams.remove(&stream),
            };
        }
        self.log = self.log.split_off(&covers);
        self.head.first = covers;
        Ok(())
    }
}
