//! The data of the store model and the effect of each operation: a minimal implementation of the contract of
//! `minerva_core::store`, without clock and faults.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use minerva_core::store::{
    self, CLAIMS_KEPT, Claim, Claimed, Epoch, ExpectedState, FIRST_LEASE, MAX_BLOB, MAX_PARTITIONS,
    Member, Membership, OwnerView, PartitionLayout, StoreError,
};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{LogIndex, StreamNumber};

use super::call::{Op, OpReply};
use super::damage::DamagedBlob;
use super::lease_end::LeaseEnd;
use crate::clock::Time;
use crate::random::Random;

/// Content of the store.
#[derive(Debug, Clone, Default)]
pub struct StoreData {
    count: Option<u32>,
    /// Lease and number of the last heartbeat, and the time since when none is missing, by member.
    pub(super) members: BTreeMap<Member, (LeaseEnd, u64, Time)>,
    /// Newest version of content that every live member has permitted once; 0 before the first heartbeat.
    pub(super) stored_version: u32,
    partitions: BTreeMap<u32, StoredPartition>,
    /// Data that a reset has moved aside.
    aside: BTreeMap<u32, StoredPartition>,
}

/// Content of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredPartition {
    epoch: u64,
    lease: Option<Lease>,
    /// Claims, oldest first; at most [`CLAIMS_KEPT`].
    claims: VecDeque<Claim>,
    /// Index of the first blob of `log`.
    pub(crate) first: LogIndex,
    pub(crate) log: VecDeque<Bytes>,
    pub(super) meta: Option<Bytes>,
    pub(crate) streams: BTreeMap<StreamNumber, Bytes>,
    /// The snapshots before the last ones.
    pub(super) older: BTreeMap<StreamNumber, Bytes>,
    /// Checkpoint calls of this epoch.
    checkpoints: u64,
    /// Damaged blobs by name, the oldest first. The model needs no bound.
    quarantined: Vec<(String, Bytes)>,
}

#[derive(Debug, Clone)]
struct Lease {
    owner: String,
    end: LeaseEnd,
}

impl StoreData {
    /// Performs an operation. `name` is the owner name of the caller, if known: after a rollback two owners may have
    /// the same epoch, and then only the last claimant passes, as in Redis.
    ///
    /// # Errors
    /// As in the contract; the data is unchanged then.
    pub fn perform(
        &mut self,
        now: Time,
        name: Option<&str>,
        partition: u32,
        op: &Op,
    ) -> Result<OpReply, StoreError> {
        if let Op::Partitions(wanted) = op {
            let layout = |count| PartitionLayout { count, hash_key: None };
            return self.fix_partitions(*wanted).map(layout).map(OpReply::Partitions);
        }
        if let Op::Heartbeat { member, number, length } = op {
            return Ok(OpReply::Membership(self.heartbeat(now, member, *number, millis(*length))));
        }
        if matches!(op, Op::InspectAside) {
            let found = self.aside.get_mut(&partition).map(|part| part.inspect(now));
            return Ok(OpReply::Inspected(found.unwrap_or_default()));
        }
        let part = self.partitions.entry(partition).or_default();
        if name.is_some() && part.is_for_another(op, name) {
            return Err(StoreError::Fenced);
        }
        match op {
            Op::Partitions(_) | Op::Heartbeat { .. } | Op::InspectAside => Ok(OpReply::Done),
            Op::Inspect => Ok(OpReply::Inspected(part.inspect(now))),
            Op::Quarantine { epoch, blobs } => part.quarantine(*epoch, blobs),
            Op::Reset => {
                let before = part.reset(now)?;
                // A repeated reset keeps the data that the first one has moved aside.
                if !before.is_empty() {
                    self.aside.insert(partition, before);
                }
                Ok(OpReply::Done)
            }
            Op::Claim { owner, above } => part.claim(now, owner, *above).map(OpReply::Claimed),
            Op::Append { owner, index, blob } => part.append(*owner, *index, blob),
            Op::Checkpoint { owner, covers, meta, changed, is_beyond_log } => {
                part.checkpoint(*owner, (*covers, *is_beyond_log), meta, changed)
            }
            Op::Renew { owner, length, next } => {
                part.renew(*owner, LeaseEnd::new(now, millis(*length)), *next)
            }
            Op::Release { epoch } => part.release(*epoch),
        }
    }

    pub(crate) fn partition(&self, partition: u32) -> Option<&StoredPartition> {
        self.partitions.get(&partition)
    }

    /// Replaces a partition with the one in other data.
    pub(super) fn take_partition(&mut self, partition: u32, from: &Self) {
        match from.partitions.get(&partition) {
            Some(stored) => self.partitions.insert(partition, stored.clone()),
            None => self.partitions.remove(&partition),
        };
    }

    /// Damages up to `count` random blobs of a partition.
    pub(super) fn damage(
        &mut self,
        partition: u32,
        (count, may_be_stale): (u64, bool),
        random: &mut Random,
    ) -> Vec<DamagedBlob> {
        let Some(stored) = self.partitions.get_mut(&partition) else { return Vec::new() };
        (0..count).filter_map(|_| stored.damage(may_be_stale, random)).collect()
    }

    /// Newest version of content that every live member has permitted once.
    pub(crate) fn stored_version(&self) -> u32 {
        self.stored_version
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.partitions.keys().copied().collect()
    }

    fn heartbeat(&mut self, now: Time, member: &Member, number: u64, length: Time) -> Membership {
        self.members.retain(|_, (end, ..)| end.left_of_member(now) > 0);
        let own = self.members.keys().find(|other| other.name == member.name).cloned();
        let before = own.and_then(|own| self.members.remove(&own));
        let last = before.map_or(0, |(_, last, _)| last);
        let is_next = |(_, last, since): &(LeaseEnd, u64, Time)| {
            (number == *last || number == last + 1) && *since <= now
        };
        let since = before.filter(is_next).map_or(now, |(_, _, since)| since);
        if length > 0 {
            self.members.insert(member.clone(), (LeaseEnd::new(now, length), number, since));
        }
        let is_steady = length > 0 && now - since >= 2 * length;
        let lowest = self.members.keys().map(|member| member.stored_version).min();
        let lowest = lowest.filter(|_| is_steady);
        self.stored_version = self.stored_version.max(lowest.unwrap_or(1)).max(1);
        Membership {
            members: self.members.keys().cloned().collect(),
            last_heartbeat: last,
            stored_version: self.stored_version,
        }
    }

    /// The number of partitions; `None` before the first use.
    pub(super) fn partition_count(&self) -> Option<u32> {
        self.count
    }

    fn fix_partitions(&mut self, wanted: u32) -> Result<u32, StoreError> {
        let stored = *self.count.get_or_insert(wanted);
        if (1..=MAX_PARTITIONS).contains(&wanted) && stored == wanted {
            return Ok(wanted);
        }
        self.count = self.count.filter(|count| (1..=MAX_PARTITIONS).contains(count));
        Err(StoreError::Config(format!("--partitions {wanted}: not --partitions {stored}")))
    }
}

impl StoredPartition {
    /// The last claimant.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.claims.back().map(|claim| &*claim.owner)
    }

    /// Whether a damaged blob is kept aside.
    pub(crate) fn keeps_aside(&self, blob: &Bytes) -> bool {
        self.quarantined.iter().any(|(_, kept)| kept == blob)
    }

    /// Whether another owner has the same epoch by a later claim.
    fn is_for_another(&self, op: &Op, name: Option<&str>) -> bool {
        op.epoch() == Some(Epoch(self.epoch)) && self.owner() != name
    }

    /// Index of the next entry.
    pub(crate) fn next(&self) -> LogIndex {
        self.first + self.log.len() as u64
    }

    fn check(&self, epoch: Epoch) -> Result<(), StoreError> {
        if epoch.0 < self.epoch && !mutation::is(Mutation::StaleEpochAccepted) {
            return Err(StoreError::Fenced);
        }
        if epoch.0 > self.epoch {
            return Err(StoreError::Behind { next: self.next() });
        }
        Ok(())
    }

    /// Checks the epoch, that the log begins where the owner expects, and that no confirmed checkpoint call is lost.
    fn check_owner(&self, owner: OwnerView) -> Result<(), StoreError> {
        self.check(owner.epoch)?;
        let Some(expected) = expected(owner) else { return Ok(()) };
        let is_first = self.first == expected.first || self.first == expected.next_first;
        if is_first && self.checkpoints >= expected.checkpoints {
            return Ok(());
        }
        Err(StoreError::Behind { next: self.next() })
    }

    fn claim(&mut self, now: Time, owner: &str, above: Epoch) -> Result<Claimed, StoreError> {
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.owner != owner) {
            let left = lease.end.left(now);
            if left > 0 {
                let left = std::time::Duration::from_millis(left);
                return Err(StoreError::Held { owner: lease.owner.clone(), left });
            }
        }
        let end = LeaseEnd::new(now, millis(FIRST_LEASE));
        self.lease = Some(Lease { owner: owner.to_owned(), end });
        (self.epoch, self.checkpoints) = (self.epoch.max(above.0) + 1, 0);
        let (epoch, next_index) = (Epoch(self.epoch), self.next());
        // A claim above `above` was never received by its owner, so nothing was written under it.
        let is_retry = |last: &Claim| {
            last.owner == owner && last.next_index == next_index && last.epoch > above
        };
        if self.claims.back().is_some_and(is_retry) {
            self.claims.pop_back();
        }
        self.claims.push_back(Claim { epoch, next_index, owner: owner.to_owned() });
        if self.claims.len() > CLAIMS_KEPT {
            self.claims.pop_front();
        }
        Ok(Claimed {
            epoch,
            claims: self.claims.iter().cloned().collect(),
            meta: self.meta.clone(),
            streams: self.streams.iter().map(|(number, blob)| (*number, blob.clone())).collect(),
            unreadable: Vec::new(),
            first_index: self.first,
            log: self.log.iter().cloned().collect(),
            recorded: None,
        })
    }

    fn quarantine(
        &mut self,
        epoch: Epoch,
        blobs: &[(String, Bytes)],
    ) -> Result<OpReply, StoreError> {
        check_size(blobs.iter().map(|(_, blob)| blob.len()).sum())?;
        self.check(epoch)?;
        self.quarantined.retain(|(name, _)| blobs.iter().all(|(other, _)| other != name));
        self.quarantined.extend_from_slice(blobs);
        Ok(OpReply::Done)
    }

    fn inspect(&mut self, now: Time) -> store::StoredPartition {
        let held = self
            .lease
            .as_mut()
            .and_then(|lease| (lease.end.left(now) > 0).then(|| lease.owner.clone()));
        store::StoredPartition {
            epoch: Epoch(self.epoch),
            owner: held,
            claims: self.claims.iter().cloned().collect(),
            meta: self.meta.clone(),
            streams: self.streams.clone().into_iter().collect(),
            first_index: self.first,
            log: self.log.iter().cloned().collect(),
            quarantined: self.quarantined.clone(),
            ..store::StoredPartition::default()
        }
    }

    /// Returns true without meta blob, streams and log.
    fn is_empty(&self) -> bool {
        self.meta.is_none() && self.streams.is_empty() && self.log.is_empty()
    }

    /// Empties the partition behind all earlier indexes, and returns the former data.
    fn reset(&mut self, now: Time) -> Result<Self, StoreError> {
        if let Some(lease) = &mut self.lease {
            let left = lease.end.left(now);
            if left > 0 {
                let left = std::time::Duration::from_millis(left);
                return Err(StoreError::Held { owner: lease.owner.clone(), left });
            }
        }
        let before = self.clone();
        self.first = self.next().max(LogIndex(1));
        self.epoch += 1;
        self.log.clear();
        self.streams.clear();
        (self.meta, self.lease) = (None, None);
        Ok(before)
    }

    fn append(
        &mut self,
        owner: OwnerView,
        index: LogIndex,
        blob: &Bytes,
    ) -> Result<OpReply, StoreError> {
        check_size(blob.len())?;
        self.check_owner(owner)?;
        let next = self.next();
        if index > next {
            return Err(StoreError::Behind { next });
        }
        if index == next {
            self.log.push_back(blob.clone());
        } else if index >= self.first && self.log.get((index - self.first) as usize) != Some(blob) {
            return Err(StoreError::Conflict { index });
        }
        Ok(OpReply::Done)
    }

    fn checkpoint(
        &mut self,
        owner: OwnerView,
        (covers, is_beyond_log): (LogIndex, bool),
        meta: &Bytes,
        changed: &[(StreamNumber, Option<Bytes>)],
    ) -> Result<OpReply, StoreError> {
        let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
        check_size(blobs.sum::<usize>() + meta.len())?;
        self.check(owner.epoch)?;
        let behind = Err(StoreError::Behind { next: self.next() });
        if covers > self.next() && !is_beyond_log {
            return behind;
        }
        if let Some(expected) = expected(owner) {
            let begins = self.first == expected.first || self.first == covers;
            let misses = self.checkpoints.wrapping_sub(expected.checkpoints) > 1;
            if !begins || misses {
                return behind;
            }
            self.checkpoints = expected.checkpoints + 1;
        } else if covers < self.first {
            return Ok(OpReply::Done);
        }
        self.meta = Some(meta.clone());
        changed.iter().for_each(|(stream, blob)| self.replace(*stream, blob.as_ref()));
        self.log.drain(..((covers - self.first) as usize).min(self.log.len()));
        self.first = covers;
        Ok(OpReply::Done)
    }

    /// A later renewal has no effect, as in Redis.
    fn release(&mut self, epoch: Epoch) -> Result<OpReply, StoreError> {
        self.check(epoch)?;
        self.lease = None;
        Ok(OpReply::Done)
    }

    fn renew(
        &mut self,
        owner: OwnerView,
        end: LeaseEnd,
        next: LogIndex,
    ) -> Result<OpReply, StoreError> {
        self.check_owner(owner)?;
        if next > self.next() {
            return Err(StoreError::Behind { next: self.next() });
        }
        if let Some(lease) = &mut self.lease {
            lease.end = end;
        }
        Ok(OpReply::Done)
    }
}

/// The state that an owner expects.
fn expected(owner: OwnerView) -> Option<ExpectedState> {
    owner.expected.filter(|_| !mutation::is(Mutation::IgnoreExpected))
}

fn check_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_BLOB { Err(StoreError::TooLarge { bytes }) } else { Ok(()) }
}

fn millis(duration: std::time::Duration) -> Time {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
