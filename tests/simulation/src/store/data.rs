//! What the model of the store holds, and what each call does to it: the contract of `minerva_core::store`, written
//! down once more and as simply as it can be. Knows no time but the one it is given, and no faults.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use minerva_core::store::{
    CLAIMS_KEPT, Claim, Claimed, Epoch, FIRST_LEASE, MAX_BLOB, MAX_PARTITIONS, Member, Membership,
    StoreError,
};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{LogIndex, StreamNumber};

use super::call::{Answer, Op};
use crate::agenda::Time;

/// All that is stored.
#[derive(Debug, Clone, Default)]
pub struct StoreData {
    count: Option<u32>,
    /// The cores that live, until when, and the number of their last beat.
    members: BTreeMap<Member, (Time, u64)>,
    partitions: BTreeMap<u32, Part>,
}

/// One partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    epoch: u64,
    lease: Option<Lease>,
    /// Who claimed it, the last one last.
    claims: VecDeque<Claim>,
    /// Index of the first blob of `log`.
    pub(crate) first: LogIndex,
    pub(crate) log: VecDeque<Bytes>,
    meta: Option<Bytes>,
    pub(crate) streams: BTreeMap<StreamNumber, Bytes>,
}

#[derive(Debug, Clone)]
struct Lease {
    owner: String,
    ends: Time,
}

impl StoreData {
    /// Does what a call asks for. `name` is the one under which the caller claims, if that is known: a store that
    /// went back may give an epoch twice, and then only the last one that claimed passes, as in Redis.
    ///
    /// # Errors
    /// As the contract says; nothing is changed then.
    pub fn act(
        &mut self,
        now: Time,
        name: Option<&str>,
        partition: u32,
        op: &Op,
    ) -> Result<Answer, StoreError> {
        if let Op::Partitions(wanted) = op {
            return self.fix_partitions(*wanted).map(Answer::Partitions);
        }
        if let Op::Beat { member, number, length } = op {
            return Ok(Answer::Membership(self.heartbeat(now, member, *number, millis(*length))));
        }
        let part = self.partitions.entry(partition).or_default();
        if name.is_some() && part.is_for_another(op, name) {
            return Err(StoreError::Fenced);
        }
        match op {
            Op::Partitions(_) | Op::Beat { .. } => Ok(Answer::Done),
            Op::Claim { owner, above } => part.claim(now, owner, *above).map(Answer::Claimed),
            Op::Append { epoch, index, blob } => part.append(*epoch, *index, blob),
            Op::Checkpoint { epoch, covers, meta, changed } => {
                part.checkpoint(*epoch, *covers, meta, changed)
            }
            Op::Renew { epoch, length, next } => part.renew(*epoch, now + millis(*length), *next),
            Op::Release { epoch } => part.release(*epoch),
        }
    }

    pub(crate) fn partition(&self, partition: u32) -> Option<&Part> {
        self.partitions.get(&partition)
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.partitions.keys().copied().collect()
    }

    fn heartbeat(&mut self, now: Time, member: &Member, number: u64, length: Time) -> Membership {
        self.members.retain(|_, (until, _)| *until > now);
        let own = self.members.keys().find(|other| other.name == member.name).cloned();
        let last = own.and_then(|own| self.members.remove(&own)).map_or(0, |(_, number)| number);
        if length > 0 {
            self.members.insert(member.clone(), (now + length, number));
        }
        Membership { members: self.members.keys().cloned().collect(), last_heartbeat: last }
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

impl Part {
    /// Who claimed it last, as far as is stored.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.claims.back().map(|claim| &*claim.owner)
    }

    /// Whether a call has the epoch of the last claim, which was somebody else's.
    fn is_for_another(&self, op: &Op, name: Option<&str>) -> bool {
        op.epoch() == Some(Epoch(self.epoch)) && self.owner() != name
    }

    /// Index that the next blob gets.
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

    fn claim(&mut self, now: Time, owner: &str, above: Epoch) -> Result<Claimed, StoreError> {
        if let Some(lease) = self.lease.as_ref().filter(|l| l.owner != owner && l.ends > now) {
            let left = std::time::Duration::from_millis(lease.ends - now);
            return Err(StoreError::Held { owner: lease.owner.clone(), left });
        }
        self.lease = Some(Lease { owner: owner.to_owned(), ends: now + millis(FIRST_LEASE) });
        self.epoch = self.epoch.max(above.0) + 1;
        let (epoch, next_index) = (Epoch(self.epoch), self.next());
        self.claims.push_back(Claim { epoch, next_index, owner: owner.to_owned() });
        if self.claims.len() > CLAIMS_KEPT {
            self.claims.pop_front();
        }
        Ok(Claimed {
            epoch,
            claims: self.claims.iter().cloned().collect(),
            meta: self.meta.clone(),
            streams: self.streams.iter().map(|(number, blob)| (*number, blob.clone())).collect(),
            first_index: self.first,
            log: self.log.iter().cloned().collect(),
        })
    }

    fn append(
        &mut self,
        epoch: Epoch,
        index: LogIndex,
        blob: &Bytes,
    ) -> Result<Answer, StoreError> {
        check_size(blob.len())?;
        self.check(epoch)?;
        let next = self.next();
        if index > next {
            return Err(StoreError::Behind { next });
        }
        if index == next {
            self.log.push_back(blob.clone());
        } else if index >= self.first && self.log.get((index - self.first) as usize) != Some(blob) {
            return Err(StoreError::Conflict { index });
        }
        Ok(Answer::Done)
    }

    fn checkpoint(
        &mut self,
        epoch: Epoch,
        covers: LogIndex,
        meta: &Bytes,
        changed: &[(StreamNumber, Option<Bytes>)],
    ) -> Result<Answer, StoreError> {
        let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
        check_size(blobs.sum::<usize>() + meta.len())?;
        self.check(epoch)?;
        if covers > self.next() {
            return Err(StoreError::Behind { next: self.next() });
        }
        if covers < self.first {
            return Ok(Answer::Done);
        }
        self.meta = Some(meta.clone());
        for (stream, blob) in changed {
            match blob {
                Some(blob) => self.streams.insert(*stream, blob.clone()),
                None => self.streams.remove(stream),
            };
        }
        self.log.drain(..(covers - self.first) as usize);
        self.first = covers;
        Ok(Answer::Done)
    }

    /// A renewal that comes behind it finds nothing to renew, as in Redis.
    fn release(&mut self, epoch: Epoch) -> Result<Answer, StoreError> {
        self.check(epoch)?;
        self.lease = None;
        Ok(Answer::Done)
    }

    fn renew(&mut self, epoch: Epoch, ends: Time, next: LogIndex) -> Result<Answer, StoreError> {
        self.check(epoch)?;
        if next > self.next() {
            return Err(StoreError::Behind { next: self.next() });
        }
        if let Some(lease) = &mut self.lease {
            lease.ends = ends;
        }
        Ok(Answer::Done)
    }
}

fn check_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_BLOB { Err(StoreError::TooLarge { bytes }) } else { Ok(()) }
}

fn millis(duration: std::time::Duration) -> Time {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
