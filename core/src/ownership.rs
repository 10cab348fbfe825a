//! Which partitions this core owns: it says that it lives, hears which other cores do, and claims, serves and
//! hands over so that each core has its share. Decides nothing about streams.
//!
//! ```text
//!             in our share                claimed, recovered            not in our share, or the core stops
//!   Free ───────────────────> Claiming ───────────────────────> Serving ───────────────────> Stopping ──> Free
//!    ^                           │ cannot be had, or not ours       │ fenced by another core
//!    └───────────────────────────┴──────────────────────────────────┘
//! ```
//!
//! Cores may disagree for a moment about who lives. That costs a pause and no more: the store gives a
//! partition to one owner at a time.

mod share;
mod start;
mod tenure;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use self::start::Start;
pub(crate) use self::tenure::{Means, TenureError};

use self::share::owner_of;
use self::tenure::{End, Tenure};
use crate::clock;
use crate::store::{Living, Member};

/// How often a core says that it lives, as a part of its lease. What others do about its coming or its orderly
/// end waits for this.
const BEATS: u32 = 8;

/// How long nothing is claimed after the store could not be reached or has forgotten us, in leases. All leases
/// in it may be over by then, and it may have lost its last writes: owners that live come first, and write anew what
/// it lost.
const HOLD: u32 = 2;

/// Pause before a partition is tried again that somebody may have to mend.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What the task needs.
pub(crate) struct Ownership {
    means: Arc<Means>,
    member: Member,
    lease: Duration,
    /// How often this core has said that it lives, and the number of the last time of which it knows that the
    /// store heard it.
    beats: u64,
    heard: u64,
    /// The cores that lived when that was asked last, by name.
    members: Vec<Member>,
    states: BTreeMap<u32, State>,
    tenures: JoinSet<End>,
    /// The partitions of the tenures under way.
    running: HashMap<Id, u32>,
}

/// What this core does about a partition.
enum State {
    /// Nothing. It may be claimed from this moment on.
    Free(Instant),
    /// A tenure is under way; it goes on as long as this says so.
    Taken(watch::Sender<bool>),
}

impl Ownership {
    pub(crate) fn new(means: Means, standby: bool) -> Self {
        let member = Member { name: means.owner.to_string(), is_standby: standby };
        let now = clock::now();
        let states = (0..means.partitions.count()).map(|p| (p, State::Free(now))).collect();
        let lease = means.options.lease;
        let (members, tenures, running) = (Vec::new(), JoinSet::new(), HashMap::new());
        let (means, beats, heard) = (Arc::new(means), 0, 0);
        Self { means, member, lease, beats, heard, members, states, tenures, running }
    }

    /// Takes part until `stop`, then gives everything back. Dropping it is like a crash.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut next_beat = clock::now();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = self.tenures.join_next_with_id() => self.on_end(ended),
                () = sleep_until(next_beat) => {
                    next_beat = clock::now() + self.lease / BEATS;
                    self.beat().await;
                    self.rebalance();
                }
            }
        }
        self.give_back().await;
    }

    /// Says that this core lives and hears who else does. Without an answer the last one stands.
    async fn beat(&mut self) {
        let (unheard, known) = (self.beats > self.heard, self.heard);
        self.beats += 1;
        let beat = self.means.store.beat(self.member.clone(), self.beats, self.lease).await;
        // A store that went back has forgotten when others said last that they live, too.
        let is_forgotten = beat.as_ref().is_ok_and(|living| living.last < known);
        if unheard || is_forgotten || beat.is_err() {
            self.means.hold.send_replace(clock::now() + HOLD * self.lease);
        }
        match beat {
            Ok(Living { members, .. }) => {
                self.heard = self.beats;
                if members != self.members {
                    let names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
                    tracing::info!(cores = ?names, "the cores that live");
                }
                self.means.metrics.cores.set(members.len() as i64);
                self.members = members;
            }
            Err(error) => tracing::warn!(%error, "the store does not hear that this core lives"),
        }
    }

    /// Begins and ends tenures, so that this core has its share.
    fn rebalance(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let (members, now) = (&self.members, clock::now());
        let mut begun = 0;
        for (&partition, state) in &mut self.states {
            let is_ours = owner_of(partition, members) == Some(&self.member);
            match state {
                State::Free(from) if is_ours && *from <= now => {
                    let (keep, kept) = watch::channel(true);
                    let tenure = Tenure::new(Arc::clone(&self.means), partition, kept);
                    let run = tenure.run();
                    #[cfg(feature = "simulation")]
                    let run = crate::simulation::of_current(run);
                    let task = self.tenures.spawn(run);
                    self.running.insert(task.id(), partition);
                    *state = State::Taken(keep);
                    begun += 1;
                }
                State::Taken(keep) => {
                    keep.send_if_modified(|keep| std::mem::replace(keep, is_ours) != is_ours);
                }
                State::Free(_) => {}
            }
        }
        self.means.start.begun(begun);
    }

    fn on_end(&mut self, ended: Result<(Id, End), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(partition) = self.running.remove(&id) else { return };
        let pause = match ended {
            Ok((_, Ok(()))) => Duration::ZERO,
            Ok((_, Err(error))) => {
                tracing::error!(partition, %error, "a partition cannot be served");
                AFTER_FAILURE
            }
            Err(error) => {
                tracing::error!(partition, %error, "a partition's task has failed");
                AFTER_FAILURE
            }
        };
        self.states.insert(partition, State::Free(clock::now() + pause));
    }

    /// Others may begin to claim at once; each partition is theirs as soon as it is written down.
    async fn give_back(&mut self) {
        let leave = self.means.store.beat(self.member.clone(), self.beats + 1, Duration::ZERO);
        for state in self.states.values() {
            if let State::Taken(keep) = state {
                keep.send_replace(false);
            }
        }
        let all_ended = async { while self.tenures.join_next().await.is_some() {} };
        let (left, ()) = tokio::join!(leave, all_ended);
        if let Err(error) = left {
            tracing::warn!(%error, "the store does not hear that this core stops");
        }
    }
}
