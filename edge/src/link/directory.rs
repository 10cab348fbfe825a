//! Shared state of all links of an edge: owners of partitions, senders to cores, and watches for changes. Updated by
//! the calls (`call.rs`), read by the transports (`route.rs`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::link::greeting::CoreGreeting;
use minerva_proto::link::{Claim, TransportId};
use minerva_proto::{PartitionHash, StreamId};
use tokio::sync::watch;

use super::attachment::{Attachment, CallSender};
use super::owner_table::{ClaimStatus, LinkId, OwnerClaim, OwnerTable};
use crate::metrics::{Cause, Metrics};

/// Maximum number of partitions of a deployment.
const MAX_PARTITIONS: u32 = 65_536;

/// The partition count of a core is invalid, or the core assigns streams to partitions in another way than other cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartitionLayoutError {
    #[error("the core has {0} partitions; there must be 1 to {MAX_PARTITIONS}")]
    Count(u32),
    #[error("the core has {theirs} partitions, other cores have {ours}: do they share one store?")]
    OtherCount { ours: u32, theirs: u32 },
    #[error(
        "the core has another key of the partition hash than other cores: do they share one store?"
    )]
    OtherKey,
}

/// Shared directory of owners and links. Clones share the state.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Reason why the edge is not ready, if there is one.
    unready_reason: watch::Sender<Option<&'static str>>,
    /// Next transport number; never reused.
    numbers: AtomicU64,
    /// Newest version of the wire protocol that all linked cores serve; without a link, of the last linked ones.
    wire_version: AtomicU32,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    /// Empty until the first core has greeted.
    table: OwnerTable,
    /// Assigns stream ids to the partitions of the table.
    hash: PartitionHash,
    peers: HashMap<LinkId, Peer>,
    next_link: u64,
    /// Watchers of ownership changes by partition, created on first use.
    followers: HashMap<u32, watch::Sender<Cause>>,
    /// Watchers from before the partition layout was known. Closed then, so that they subscribe again.
    early: watch::Sender<Cause>,
}

/// The core at the other end of a link.
#[derive(Debug)]
struct Peer {
    sender: CallSender,
    /// Newest version of the wire protocol that the core serves.
    wire_version: u32,
}

impl Directory {
    pub(super) fn new(metrics: Metrics) -> Self {
        let state = State {
            table: OwnerTable::default(),
            hash: PartitionHash::UNKEYED,
            peers: HashMap::new(),
            next_link: 0,
            followers: HashMap::new(),
            early: watch::Sender::new(Cause::LinkLost),
        };
        let unready_reason = watch::Sender::new(state.unready_reason());
        let numbers = AtomicU64::new(1);
        // Before the first link no client is told that a version is missing: the attachment decides.
        let wire_version = AtomicU32::new(u32::MAX);
        let state = Mutex::new(state);
        Self { inner: Arc::new(Inner { state, unready_reason, numbers, wire_version, metrics }) }
    }

    /// Newest version of the wire protocol that all linked cores serve.
    pub(crate) fn wire_version(&self) -> u32 {
        self.inner.wire_version.load(Ordering::Relaxed)
    }

    /// Watches the reason of unreadiness.
    pub(crate) fn unready_reason(&self) -> watch::Receiver<Option<&'static str>> {
        self.inner.unready_reason.subscribe()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Watches ownership changes of a stream's partition. Closed when the partition layout changes.
    pub(super) fn follow(&self, stream: &StreamId) -> watch::Receiver<Cause> {
        let mut state = self.lock();
        match state.partition(stream) {
            Some(partition) => state
                .followers
                .entry(partition)
                .or_insert_with(|| watch::Sender::new(Cause::LinkLost))
                .subscribe(),
            None => state.early.subscribe(),
        }
    }

    /// Whether the partition of a stream has an owner.
    pub(super) fn has_owner(&self, stream: &StreamId) -> bool {
        let state = self.lock();
        state.partition(stream).is_some_and(|partition| state.table.owner(partition).is_some())
    }

    /// Creates an attachment of a transport to the owner of its stream, and returns the newest version of the wire
    /// protocol that the owner serves; `None` without an owner.
    pub(super) fn attachment(&self, stream: &StreamId) -> Option<(Attachment, u32)> {
        let state = self.lock();
        let claim = state.table.owner(state.partition(stream)?)?;
        let peer = state.peers.get(&claim.link).filter(|peer| !peer.sender.is_closed())?;
        let transport = TransportId(self.inner.numbers.fetch_add(1, Ordering::Relaxed));
        Some((Attachment::new(peer.sender.clone(), claim, transport), peer.wire_version))
    }

    /// Cause of an invalid claim, if the claim is no longer valid. `last` is the last cause of the partition's watch.
    pub(super) fn ended(&self, claim: OwnerClaim, last: Cause) -> Option<Cause> {
        let state = self.lock();
        match state.table.status(claim) {
            ClaimStatus::Valid => None,
            ClaimStatus::Superseded => Some(Cause::Claimed),
            ClaimStatus::Withdrawn if !state.peers.contains_key(&claim.link) => {
                Some(Cause::LinkLost)
            }
            ClaimStatus::Withdrawn if last == Cause::Moved => Some(Cause::Moved),
            ClaimStatus::Withdrawn => Some(Cause::Released),
        }
    }

    /// Registers the link of a greeted core until the returned guard is dropped.
    pub(super) fn join(
        &self,
        core: &CoreGreeting,
        sender: CallSender,
    ) -> Result<EstablishedLink, PartitionLayoutError> {
        let mut state = self.lock();
        state.agree(core.partitions, core.hash)?;
        let link = LinkId(state.next_link);
        state.next_link += 1;
        state.peers.insert(link, Peer { sender, wire_version: core.wire_version });
        self.publish(&state);
        Ok(EstablishedLink { directory: self.clone(), link })
    }

    fn publish(&self, state: &State) {
        let metrics = &self.inner.metrics;
        metrics.links_up.set(i64::try_from(state.peers.len()).unwrap_or(i64::MAX));
        if let Some(oldest) = state.peers.values().map(|peer| peer.wire_version).min() {
            self.inner.wire_version.store(oldest, Ordering::Relaxed);
        }
        let (owned, all) = (state.table.owned() as i64, i64::from(state.table.partitions()));
        metrics.partitions.set(owned);
        metrics.partitions_without_owner.set(all - owned);
        let now = state.unready_reason();
        self.inner
            .unready_reason
            .send_if_modified(|unready_reason| std::mem::replace(unready_reason, now) != now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The partition of a stream; `None` before the first core has greeted.
    fn partition(&self, stream: &StreamId) -> Option<u32> {
        self.hash.partition(stream, self.table.partitions())
    }

    fn unready_reason(&self) -> Option<&'static str> {
        if self.peers.is_empty() {
            Some("no link to a core")
        } else if self.table.owned() == 0 {
            Some("no core owns any streams yet")
        } else {
            None
        }
    }

    /// Checks partition count and hash. The first core sets both until no link is left.
    fn agree(&mut self, partitions: u32, hash: PartitionHash) -> Result<(), PartitionLayoutError> {
        let ours = self.table.partitions();
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(PartitionLayoutError::Count(partitions));
        }
        if ours == partitions && self.hash == hash {
            return Ok(());
        }
        if !self.peers.is_empty() && ours != partitions {
            return Err(PartitionLayoutError::OtherCount { ours, theirs: partitions });
        }
        if !self.peers.is_empty() {
            return Err(PartitionLayoutError::OtherKey);
        }
        (self.table, self.hash) = (OwnerTable::new(partitions), hash);
        self.followers.clear();
        self.early = watch::Sender::new(Cause::LinkLost);
        Ok(())
    }

    fn send(&self, partition: u32, cause: Cause) {
        if let Some(followers) = self.followers.get(&partition) {
            followers.send_replace(cause);
        }
    }
}

/// Guard of an established link, which forwards the core's claims. Dropping the guard reports the loss.
#[derive(Debug)]
pub(super) struct EstablishedLink {
    directory: Directory,
    link: LinkId,
}

impl EstablishedLink {
    pub(super) fn metrics(&self) -> &Metrics {
        self.directory.metrics()
    }

    /// Records claims; `false` if a partition does not exist.
    #[must_use]
    pub(super) fn claim(&self, claims: &[Claim]) -> bool {
        let mut state = self.directory.lock();
        let count = state.table.partitions();
        if claims.iter().any(|claim| claim.partition >= count) {
            return false;
        }
        for &Claim { partition, epoch } in claims {
            if state.table.claim(self.link, partition, epoch) {
                state.send(partition, Cause::Claimed);
            }
        }
        self.directory.publish(&state);
        true
    }

    /// Records the release of partitions.
    pub(super) fn release(&self, partitions: &[u32]) {
        let mut state = self.directory.lock();
        for &partition in partitions {
            if state.table.release(self.link, partition) {
                state.send(partition, Cause::Released);
            }
        }
        self.directory.publish(&state);
    }

    /// Withdraws a claim after the core has rejected a transport of that claim.
    pub(super) fn withdraw(&self, claim: OwnerClaim) {
        let mut state = self.directory.lock();
        if state.table.withdraw(claim) {
            state.send(claim.partition, Cause::Moved);
        }
        self.directory.publish(&state);
    }
}

impl Drop for EstablishedLink {
    fn drop(&mut self) {
        let mut state = self.directory.lock();
        state.peers.remove(&self.link);
        for partition in state.table.lose(self.link) {
            state.send(partition, Cause::LinkLost);
        }
        self.directory.publish(&state);
    }
}
