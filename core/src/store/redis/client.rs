//! The client of one Redis store: key names, the identity of this handle, claims, and sending of commands.
//!
//! `redis.rs` and `load_partition` send commands through the client; the routes deliver them.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::Cmd;

use super::super::{Epoch, OwnerView};
use super::connector::Connector;
use super::keys::{PartitionKeys, partition_slot, store_slot};
use super::pipeline::{Command, Owner};
use super::request::{Reply, Request};
use super::routes::Routes;
use super::scripts::Script;
use crate::clock;

/// Most partitions whose servers are asked for their memory: enough to reach each node of a usual cluster.
const MAX_SAMPLED_SLOTS: u32 = 64;

pub(super) struct Client {
    /// First part of all keys.
    prefix: String,
    /// Random name of this handle, for [`Client::next_call_number`].
    session: String,
    /// Next number of a claim.
    call_numbers: AtomicU64,
    /// Epoch and owner of the last claim of each partition.
    claims: Mutex<HashMap<u32, (Epoch, Arc<Owner>)>>,
    routes: Routes,
}

impl Client {
    pub(super) fn new(prefix: String, connector: Connector) -> Self {
        Self {
            prefix,
            session: format!("{:016x}", RandomState::new().hash_one(clock::wall_ms())),
            call_numbers: AtomicU64::new(1),
            claims: Mutex::default(),
            routes: Routes::new(connector),
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn session(&self) -> &str {
        &self.session
    }

    pub(super) fn keys(&self, partition: u32) -> PartitionKeys {
        PartitionKeys::new(&self.prefix, partition)
    }

    /// Slots whose servers hold the data: one slot, or those of the first partitions in a cluster.
    pub(super) fn sample_slots(&self, partitions: u32) -> BTreeSet<u16> {
        match &self.routes {
            Routes::Single { .. } => [store_slot()].into(),
            Routes::Cluster(_) => {
                let partitions = 0..partitions.min(MAX_SAMPLED_SLOTS);
                partitions.map(partition_slot).chain([store_slot()]).collect()
            }
        }
    }

    /// Number of the next claim. The script ignores a claim that arrives after a later claim of the same session.
    pub(super) fn next_call_number(&self) -> u64 {
        self.call_numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The owner of an epoch. The claim name is empty if this handle did not make the claim.
    pub(super) fn owner(&self, partition: u32, epoch: Epoch) -> Arc<Owner> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = claims.get(&partition).filter(|(made, _)| *made == epoch);
        claim.map_or_else(
            || self.new_owner(partition, String::new()),
            |(_, owner)| Arc::clone(owner),
        )
    }

    /// Continues above the call number in the store, which is greater than all numbers of this handle after damage.
    pub(super) fn exceed_call_number(&self, stored: u64) {
        self.call_numbers.fetch_max(stored.saturating_add(1), Ordering::Relaxed);
    }

    /// Remembers a successful claim, so that later calls of the owner carry the claim name.
    pub(super) fn note_claim(&self, partition: u32, epoch: Epoch, name: String) {
        let owner = self.new_owner(partition, name);
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.insert(partition, (epoch, owner));
    }

    fn new_owner(&self, partition: u32, claim: String) -> Arc<Owner> {
        Arc::new(Owner { keys: self.keys(partition), claim })
    }

    /// Begins a script call that only the owner may make: keys, epoch and claim name.
    pub(super) fn owner_call(&self, script: Script, partition: u32, epoch: Epoch) -> Cmd {
        let owner = self.owner(partition, epoch);
        let PartitionKeys { head, log, streams } = &owner.keys;
        let mut command = script.call(&[head, log, streams]);
        command.arg(epoch.0).arg(&*owner.claim);
        command
    }

    /// Begins a script call as [`Self::owner_call`], with the expected state: two first indexes and the checkpoints.
    pub(super) fn expecting_call(&self, script: Script, partition: u32, owner: OwnerView) -> Cmd {
        let mut command = self.owner_call(script, partition, owner.epoch);
        match owner.expected {
            Some(expected) => {
                command.arg(expected.first.0).arg(expected.next_first.0).arg(expected.checkpoints)
            }
            None => command.arg("").arg("").arg(""),
        };
        command
    }

    /// Enqueues a command of a partition immediately; the future resolves to the reply.
    pub(super) fn send_to_partition(
        &self,
        partition: u32,
        command: Cmd,
        bytes: usize,
        is_durable: bool,
    ) -> impl Future<Output = Reply> + Send + use<> {
        self.send(partition_slot(partition), Command::Single(command), bytes, is_durable)
    }

    /// Enqueues a command immediately; the future resolves to the reply. Commands of one slot keep their order.
    pub(super) fn send(
        &self,
        slot: u16,
        command: Command,
        bytes: usize,
        is_durable: bool,
    ) -> impl Future<Output = Reply> + Send + use<> {
        let (request, reply) = Request::new(command, bytes, is_durable);
        self.routes.send(slot, request);
        reply
    }

    /// Enqueues a renewal or a heartbeat immediately; the future resolves to the reply. The call does not wait for
    /// other commands of the slot.
    pub(super) fn send_lease(
        &self,
        slot: u16,
        command: Cmd,
    ) -> impl Future<Output = Reply> + Send + use<> {
        let (mut request, reply) = Request::new(Command::Single(command), 0, false);
        request.is_lease = true;
        self.routes.send(slot, request);
        reply
    }
}
