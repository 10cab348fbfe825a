//! Leases and membership in memory, for stores that only one process can open.
//!
//! They need no durable form: after a restart of the process no other owner can exist.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::{FIRST_LEASE, Member, Membership, StoreError};

/// The leases of all partitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    by_partition: HashMap<u32, Lease>,
}

#[derive(Clone, Debug)]
struct Lease {
    owner: String,
    ends: Instant,
}

impl Leases {
    /// Fails if another owner holds an unexpired lease.
    pub(super) fn check(
        &self,
        partition: u32,
        owner: &str,
        now: Instant,
    ) -> Result<(), StoreError> {
        match self.by_partition.get(&partition) {
            Some(lease) if lease.owner != owner && lease.ends > now => {
                Err(StoreError::Held { owner: lease.owner.clone(), left: lease.ends - now })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The owner with an unexpired lease.
    pub(super) fn owner(&self, partition: u32, now: Instant) -> Option<String> {
        let lease = self.by_partition.get(&partition).filter(|lease| lease.ends > now);
        lease.map(|lease| lease.owner.clone())
    }

    /// Grants a lease of [`FIRST_LEASE`].
    pub(super) fn grant(&mut self, partition: u32, owner: &str, now: Instant) {
        let lease = Lease { owner: owner.to_owned(), ends: now + FIRST_LEASE };
        self.by_partition.insert(partition, lease);
    }

    /// Moves the end of the lease, regardless of the owner.
    pub(super) fn renew(&mut self, partition: u32, now: Instant, lease: Duration) {
        if let Some(held) = self.by_partition.get_mut(&partition) {
            held.ends = now + lease;
        }
    }
}

/// Last heartbeat of each live core.
#[derive(Clone, Debug, Default)]
pub(super) struct HeartbeatTable {
    /// Expiry and number of the last heartbeat.
    last: BTreeMap<Member, (Instant, u64)>,
}

impl HeartbeatTable {
    /// Records a heartbeat; a zero lease removes the member. The caller sets the stored version of the result.
    pub(super) fn record(
        &mut self,
        member: Member,
        number: u64,
        lease: Duration,
        now: Instant,
    ) -> Membership {
        self.last.retain(|_, (expiry, _)| *expiry > now);
        let before = self.last.iter().find(|(other, _)| other.name == member.name);
        let last_heartbeat = before.map_or(0, |(_, (_, number))| *number);
        self.last.retain(|other, _| other.name != member.name);
        if !lease.is_zero() {
            self.last.insert(member, (now + lease, number));
        }
        let members = self.last.keys().cloned().collect();
        Membership { members, last_heartbeat, stored_version: 0 }
    }
}
