//! Who holds which partition until when, and which cores live, for stores that only one process uses: kept
//! in memory, because nobody else can have the store open while this process lives.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::{FIRST_LEASE, Living, Member, StoreError};

/// The leases of all partitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    held: HashMap<u32, Lease>,
}

#[derive(Clone, Debug)]
struct Lease {
    owner: String,
    ends: Instant,
}

impl Leases {
    /// Fails if another owner's lease is alive.
    pub(super) fn check(
        &self,
        partition: u32,
        owner: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        match self.held.get(&partition) {
            Some(lease) if lease.owner != owner && lease.ends > now => {
                Err(StoreError::Held { owner: lease.owner.clone(), left: lease.ends - now })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Gives the partition to an owner.
    pub(super) fn begin(&mut self, partition: u32, owner: &str, now: Instant) {
        let lease = Lease { owner: owner.to_owned(), ends: now + FIRST_LEASE };
        self.held.insert(partition, lease);
    }

    /// Moves the end of the lease, whoever has it.
    pub(super) fn set(&mut self, partition: u32, now: Instant, lease: Duration) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.ends = now + lease;
        }
    }
}

/// The cores that live, and until when.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// With the number of the last beat.
    until: BTreeMap<Member, (Instant, u64)>,
}

impl Members {
    /// One says that it lives, or with no lease that it does not.
    pub(super) fn beat(
        &mut self,
        member: Member,
        number: u64,
        lease: Duration,
        now: Instant,
    ) -> Living {
        self.until.retain(|_, (until, _)| *until > now);
        let before = self.until.iter().find(|(other, _)| other.name == member.name);
        let last = before.map_or(0, |(_, (_, number))| *number);
        self.until.retain(|other, _| other.name != member.name);
        if !lease.is_zero() {
            self.until.insert(member, (now + lease, number));
        }
        Living { members: self.until.keys().cloned().collect(), last }
    }
}
