//! The store that keeps nothing beyond the process: for tests, simulation and trying things out.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::claims::{Claim, remember};
use super::head::{Append, Head};
use super::leases::{Leases, Members};
use super::{Claimed, Epoch, Living, Member, Store, StoreError, check_partitions, check_size};
use crate::clock;

/// A store in memory. Clones share the data, so that a second owner can claim what the first one wrote.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Data>>,
}

#[derive(Clone, Default)]
struct Data {
    partitions: Option<u32>,
    leases: Leases,
    members: Members,
    by_partition: HashMap<u32, Partition>,
}

#[derive(Clone, Default)]
struct Partition {
    head: Head,
    claims: Vec<Claim>,
    meta: Option<Bytes>,
    streams: BTreeMap<u64, Bytes>,
    /// The blobs from `head.first` up to `head.next`.
    log: BTreeMap<u64, Bytes>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of what it has now, as a backup is.
    pub fn backup(&self) -> Self {
        let data = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { shared: Arc::new(Mutex::new(data)) }
    }

    /// Goes back to what a backup has: for all owners, while they live.
    pub fn go_back_to(&self, backup: &Self) {
        let data = backup.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = data;
    }

    /// Does something with the data at once; a poisoned lock is taken over, because no call leaves the
    /// data half changed.
    fn with<R: Send + 'static>(
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
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        self.with(|data| {
            let count = check_partitions(data.partitions, wanted)?;
            data.partitions = Some(count);
            Ok(count)
        })
    }

    fn beat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Living, StoreError>> {
        self.with(move |data| Ok(data.members.beat(member, number, lease, clock::now())))
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        self.with(|data| {
            let now = clock::now();
            data.leases.check(partition, owner, now)?;
            data.leases.begin(partition, owner, now);
            Ok(data.by_partition.entry(partition).or_default().claim(owner, above))
        })
    }

    fn append(
        &self,
        partition: u32,
        epoch: Epoch,
        index: u64,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.with(|data| {
            check_size([blob.len()])?;
            data.by_partition.entry(partition).or_default().append(epoch, index, blob)
        })
    }

    fn checkpoint(
        &self,
        partition: u32,
        epoch: Epoch,
        covers: u64,
        meta: Bytes,
        changed: Vec<(u64, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.with(|data| {
            let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
            check_size(blobs.chain([meta.len()]))?;
            let partition = data.by_partition.entry(partition).or_default();
            partition.checkpoint(epoch, covers, meta, changed)
        })
    }

    fn renew(
        &self,
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.with(move |data| {
            let head = &data.by_partition.entry(partition).or_default().head;
            head.renew(epoch, next)?;
            data.leases.set(partition, clock::now(), lease);
            Ok(())
        })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.with(move |data| {
            data.by_partition.entry(partition).or_default().head.check(epoch)?;
            data.leases.set(partition, clock::now(), Duration::ZERO);
            Ok(())
        })
    }
}

impl Partition {
    fn claim(&mut self, owner: &str, above: Epoch) -> Claimed {
        remember(&mut self.claims, self.head.claim(owner, above));
        Claimed {
            epoch: Epoch(self.head.epoch),
            claims: self.claims.clone(),
            meta: self.meta.clone(),
            streams: self.streams.iter().map(|(number, blob)| (*number, blob.clone())).collect(),
            first_index: self.head.first,
            log: self.log.values().cloned().collect(),
        }
    }

    fn append(&mut self, epoch: Epoch, index: u64, blob: Bytes) -> Result<(), StoreError> {
        match self.head.append(epoch, index)? {
            Append::New => {
                self.log.insert(index, blob);
                self.head.next = index + 1;
                Ok(())
            }
            Append::Compare if self.log.get(&index) == Some(&blob) => Ok(()),
            Append::Compare => Err(StoreError::Conflict { index }),
            Append::Trimmed => Ok(()),
        }
    }

    fn checkpoint(
        &mut self,
        epoch: Epoch,
        covers: u64,
        meta: Bytes,
        changed: Vec<(u64, Option<Bytes>)>,
    ) -> Result<(), StoreError> {
        if !self.head.checkpoint(epoch, covers)? {
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
