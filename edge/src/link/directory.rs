//! What the links of an edge know together: who owns which partition, how to get there, and who must be
//! told when that changes. Told by the calls (`call.rs`), asked by the transports (`route.rs`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::link::{Claim, TransportId};
use tokio::sync::watch;

use super::place::{Place, Uplink};
use super::table::{LinkId, Standing, Table, Tenure};
use crate::metrics::{Cause, Metrics};

/// Most partitions that a deployment can have.
const MAX_PARTITIONS: u32 = 65_536;

/// A core that cannot be linked to beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the core has {0} partitions; there must be 1 to {MAX_PARTITIONS}")]
    Count(u32),
    #[error("the core has {theirs} partitions, other cores have {ours}: do they share one store?")]
    OtherCount { ours: u32, theirs: u32 },
}

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// What keeps the edge from its work.
    obstacle: watch::Sender<Option<&'static str>>,
    /// Numbers of transports; never used twice.
    numbers: AtomicU64,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    /// Of no partitions until the first core has greeted.
    table: Table,
    uplinks: HashMap<LinkId, Uplink>,
    next_link: u64,
    /// Who waits or is placed, by partition; made when first followed.
    followers: HashMap<u32, watch::Sender<Cause>>,
    /// Who came before the number of partitions was known. Replaced then: they follow anew.
    early: watch::Sender<Cause>,
}

impl Directory {
    pub(super) fn new(metrics: Metrics) -> Self {
        let state = State {
            table: Table::default(),
            uplinks: HashMap::new(),
            next_link: 0,
            followers: HashMap::new(),
            early: watch::Sender::new(Cause::LinkLost),
        };
        let obstacle = watch::Sender::new(state.obstacle());
        let numbers = AtomicU64::new(1);
        Self { inner: Arc::new(Inner { state: Mutex::new(state), obstacle, numbers, metrics }) }
    }

    /// What keeps the edge from its work, and its changes.
    pub(crate) fn obstacle(&self) -> watch::Receiver<Option<&'static str>> {
        self.inner.obstacle.subscribe()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Changes with the owner of a stream's partition; closed when the partition may be another.
    pub(super) fn follow(&self, stream_hash: u64) -> watch::Receiver<Cause> {
        let mut state = self.lock();
        match state.partition(stream_hash) {
            Some(partition) => state
                .followers
                .entry(partition)
                .or_insert_with(|| watch::Sender::new(Cause::LinkLost))
                .subscribe(),
            None => state.early.subscribe(),
        }
    }

    /// A place for one transport with the owner of its stream; `None`: there is none now.
    pub(super) fn place(&self, stream_hash: u64) -> Option<Place> {
        let state = self.lock();
        let tenure = state.table.owner(state.partition(stream_hash)?)?;
        let uplink = state.uplinks.get(&tenure.link).filter(|uplink| !uplink.is_closed())?;
        let transport = TransportId(self.inner.numbers.fetch_add(1, Ordering::Relaxed));
        Some(Place::new(uplink.clone(), tenure, transport))
    }

    /// Why a place cannot be relied on any more, if so. `last` is what was told of its partition last.
    pub(super) fn ended(&self, tenure: Tenure, last: Cause) -> Option<Cause> {
        let state = self.lock();
        match state.table.standing(tenure) {
            Standing::Good => None,
            Standing::Outbid => Some(Cause::Claimed),
            Standing::GivenUp if !state.uplinks.contains_key(&tenure.link) => Some(Cause::LinkLost),
            Standing::GivenUp if last == Cause::Moved => Some(Cause::Moved),
            Standing::GivenUp => Some(Cause::Released),
        }
    }

    /// A core has greeted. Its link is known until what is returned is dropped.
    pub(super) fn join(&self, partitions: u32, uplink: Uplink) -> Result<Joined, Unfit> {
        let mut state = self.lock();
        state.agree(partitions)?;
        let link = LinkId(state.next_link);
        state.next_link += 1;
        state.uplinks.insert(link, uplink);
        self.publish(&state);
        Ok(Joined { directory: self.clone(), link })
    }

    fn publish(&self, state: &State) {
        let metrics = &self.inner.metrics;
        metrics.links_up.set(i64::try_from(state.uplinks.len()).unwrap_or(i64::MAX));
        metrics.partitions.set(i64::try_from(state.table.owned()).unwrap_or(i64::MAX));
        let now = state.obstacle();
        self.inner.obstacle.send_if_modified(|obstacle| std::mem::replace(obstacle, now) != now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn partition(&self, stream_hash: u64) -> Option<u32> {
        let partition = stream_hash.checked_rem(self.table.partitions().into())?;
        u32::try_from(partition).ok()
    }

    fn obstacle(&self) -> Option<&'static str> {
        if self.uplinks.is_empty() {
            Some("no link to a core")
        } else if self.table.owned() == 0 {
            Some("no core owns any streams yet")
        } else {
            None
        }
    }

    /// The first core decides how many partitions there are, until there is no link to any.
    fn agree(&mut self, partitions: u32) -> Result<(), Unfit> {
        let ours = self.table.partitions();
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(Unfit::Count(partitions));
        }
        if ours == partitions {
            return Ok(());
        }
        if !self.uplinks.is_empty() {
            return Err(Unfit::OtherCount { ours, theirs: partitions });
        }
        self.table = Table::new(partitions);
        self.followers.clear();
        self.early = watch::Sender::new(Cause::LinkLost);
        Ok(())
    }

    fn tell(&self, partition: u32, cause: Cause) {
        if let Some(followers) = self.followers.get(&partition) {
            followers.send_replace(cause);
        }
    }
}

/// A link that is up: what its core says goes into the directory. Dropped, it is lost.
#[derive(Debug)]
pub(super) struct Joined {
    directory: Directory,
    link: LinkId,
}

impl Joined {
    /// The core owns partitions, each under its epoch. `false`: one of them does not exist.
    #[must_use]
    pub(super) fn claim(&self, claims: &[Claim]) -> bool {
        let mut state = self.directory.lock();
        let count = state.table.partitions();
        if claims.iter().any(|claim| claim.partition >= count) {
            return false;
        }
        for &Claim { partition, epoch } in claims {
            if state.table.claim(self.link, partition, epoch) {
                state.tell(partition, Cause::Claimed);
            }
        }
        self.directory.publish(&state);
        true
    }

    /// The core owns partitions no longer.
    pub(super) fn release(&self, partitions: &[u32]) {
        let mut state = self.directory.lock();
        for &partition in partitions {
            if state.table.release(self.link, partition) {
                state.tell(partition, Cause::Released);
            }
        }
        self.directory.publish(&state);
    }

    /// The core refused a transport that was placed by `tenure`.
    pub(super) fn disown(&self, tenure: Tenure) {
        let mut state = self.directory.lock();
        if state.table.disown(tenure) {
            state.tell(tenure.partition, Cause::Moved);
        }
        self.directory.publish(&state);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut state = self.directory.lock();
        state.uplinks.remove(&self.link);
        for partition in state.table.lose(self.link) {
            state.tell(partition, Cause::LinkLost);
        }
        self.directory.publish(&state);
    }
}
