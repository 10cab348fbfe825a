//! Leases and membership in memory, for stores that only one process can open.
//!
//! They need no durable form: after a restart of the process no other owner can exist.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::version::STEADY_LEASES;
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
    last: BTreeMap<Member, Heartbeat>,
}

#[derive(Clone, Copy, Debug)]
struct Heartbeat {
    expiry: Instant,
    number: u64,
    /// Time of the first heartbeat behind which none is missing.
    steady_since: Instant,
}

impl HeartbeatTable {
    /// Records a heartbeat; a zero lease removes the member.
    ///
    /// The stored version of the result is the lowest one of the live members if the heartbeats of the sender are
    /// steady, and 0 otherwise. The caller replaces it with the version in force.
    pub(super) fn record(
        &mut self,
        member: Member,
        number: u64,
        lease: Duration,
        now: Instant,
    ) -> Membership {
        self.last.retain(|_, heartbeat| heartbeat.expiry > now);
        let before = self.last.iter().find(|(other, _)| other.name == member.name);
        let before = before.map(|(_, heartbeat)| *heartbeat);
        let is_next =
            |before: &Heartbeat| number.checked_sub(before.number).is_some_and(|gap| gap <= 1);
        let steady_since = before.filter(is_next).map_or(now, |before| before.steady_since);
        self.last.retain(|other, _| other.name != member.name);
        if !lease.is_zero() {
            self.last.insert(member, Heartbeat { expiry: now + lease, number, steady_since });
        }
        let is_steady = !lease.is_zero() && now - steady_since >= STEADY_LEASES * lease;
        let lowest = self.last.keys().map(|member| member.stored_version).min();
        Membership {
            members: self.last.keys().cloned().collect(),
            last_heartbeat: before.map_or(0, |before| before.number),
            stored_version: lowest.filter(|_| is_steady).unwrap_or_default(),
        }
    }
}
