//! The ownership task: claims, serves and hands over the partitions that the placement assigns to this core.
//!
//! The task sends heartbeats, computes the placement over the live members, and runs one [`PartitionTask`] per owned
//! partition. `core.rs` starts the task. Streams, edges and applications are out of scope.
//!
//! ```text
//!           assigned to this core       claimed and recovered        assigned elsewhere, or shutdown
//!   Free ─────────────────────> Claiming ──────────────────> Serving ──────────────────> Stopping ──> Free
//!    ^                             │ claim failed, or assigned   │ fenced by another owner
//!    └─────────────────────────────┴ elsewhere ──────────────────┘
//! ```
//!
//! Cores may disagree about the live members for a moment. The store grants a partition to one owner at a time, so
//! a disagreement costs a pause and no data.

mod context;
mod damage_report;
mod error;
mod partition_task;
mod placement;
mod service_state;
mod startup;
mod unserved;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::mutation::{self, Mutation};
use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::context::CoreContext;
pub(crate) use self::error::PartitionTaskError;
pub(crate) use self::service_state::ServiceState;

use self::partition_task::PartitionTask;
use self::placement::assigned_core;
use self::unserved::{REPORTED_LEASES, UnservedWatch};
use crate::clock;
use crate::store::{Member, Membership, STORED_VERSION, StoreError, check_version};

/// Heartbeats per lease. Other cores notice the arrival or the orderly departure of a core at their next heartbeat.
const HEARTBEATS_PER_LEASE: u32 = 8;

/// Leases during which nothing is claimed after a store failure or a rollback of the store.
///
/// All leases may have expired, and the store may have lost the last writes. Living owners renew their leases and
/// write the lost records again before any other core may claim.
const CLAIM_HOLD_LEASES: u32 = 2;

/// Time between two heartbeats.
pub(crate) fn heartbeat_interval(lease: Duration) -> Duration {
    lease / HEARTBEATS_PER_LEASE
}

/// The ownership task of one core.
pub(crate) struct Ownership {
    context: Arc<CoreContext>,
    member: Member,
    lease: Duration,
    /// Heartbeats sent so far; numbered from 1.
    heartbeats: u64,
    /// The last heartbeat that the store acknowledged; 0 before the first.
    last_acked_heartbeat: u64,
    /// Live members by name, as of the last acknowledged heartbeat.
    members: Vec<Member>,
    states: BTreeMap<u32, PartitionState>,
    tasks: JoinSet<Result<(), PartitionTaskError>>,
    /// Partition of each running task.
    running: HashMap<Id, u32>,
    /// Causes of unserved partitions that were logged.
    faults: RecurringFaults,
    unserved: UnservedWatch,
}

/// State of one partition at this core.
enum PartitionState {
    /// No task runs. The partition may be claimed from this instant on.
    Free(Instant),
    /// A task runs. The channel carries whether the partition is still assigned to this core.
    Running(watch::Sender<bool>),
}

impl Ownership {
    pub(crate) fn new(context: CoreContext, standby: bool) -> Self {
        let member = Member {
            name: context.owner.to_string(),
            is_standby: standby,
            stored_version: if mutation::is(Mutation::ReportNewest) {
                STORED_VERSION
            } else {
                context.options.stored_version
            },
        };
        let now = clock::now();
        let partitions = 0..context.partitions.count();
        Self {
            member,
            lease: context.options.lease,
            context: Arc::new(context),
            heartbeats: 0,
            last_acked_heartbeat: 0,
            members: Vec::new(),
            states: partitions.map(|number| (number, PartitionState::Free(now))).collect(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            faults: RecurringFaults::new(),
            unserved: UnservedWatch::default(),
        }
    }

    /// Runs until `stop` resolves, then releases all partitions. Dropping the future has the effect of a crash.
    ///
    /// # Errors
    /// The store has failed, or has content that this program cannot read. The partitions are released, too.
    pub(crate) async fn run(
        mut self,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), StoreError> {
        let result = self.run_until(stop).await;
        if let Err(error) = &result {
            self.context.startup.on_config_error(error);
        }
        self.release_all().await;
        result
    }

    async fn run_until(&mut self, stop: impl Future<Output = ()> + Send) -> Result<(), StoreError> {
        let mut stop = std::pin::pin!(stop);
        let mut next_heartbeat = clock::now();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                Some(ended) = self.tasks.join_next_with_id() => self.on_task_end(ended),
                () = sleep_until(next_heartbeat) => {
                    next_heartbeat = clock::now() + heartbeat_interval(self.lease);
                    self.heartbeat().await?;
                    self.rebalance();
                }
            }
        }
    }

    /// Sends a heartbeat and updates the live members. After a failure the previous members stay in force.
    ///
    /// # Errors
    /// The store has failed, or has content that this program cannot read.
    async fn heartbeat(&mut self) -> Result<(), StoreError> {
        let acked = self.last_acked_heartbeat;
        let was_unacked = self.heartbeats > acked;
        self.heartbeats += 1;
        let store = &self.context.store;
        let result = store.heartbeat(self.member.clone(), self.heartbeats, self.lease).await;
        // After a rollback the store has lost the heartbeats of other cores, too.
        let was_lost = result.as_ref().is_ok_and(|found| found.last_heartbeat < acked);
        if was_unacked || was_lost || result.is_err() {
            self.context.hold.send_replace(clock::now() + CLAIM_HOLD_LEASES * self.lease);
        }
        match result {
            Ok(Membership { members, stored_version, .. }) => {
                check_version(stored_version)?;
                let is_hasty = mutation::is(Mutation::WriteTooNew);
                self.context.stored_version.raise(if is_hasty {
                    STORED_VERSION
                } else {
                    stored_version
                });
                self.last_acked_heartbeat = self.heartbeats;
                if members != self.members {
                    let names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
                    tracing::info!(cores = ?names, "live cores changed");
                }
                self.context.metrics.cores.set(members.len() as i64);
                self.members = members;
            }
            // The store decorator logs unavailability, once per cause.
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::debug!(%error, "heartbeat to the store failed");
            }
            Err(error @ StoreError::Failed(_)) => return Err(error),
            Err(error) => self.report_failed_heartbeat(&error),
        }
        Ok(())
    }

    /// Logs a failed heartbeat, once per cause at growing intervals.
    fn report_failed_heartbeat(&self, error: &StoreError) {
        let cause = error.to_string();
        if let Some(failures) = self.faults.record(&cause, clock::now().into_std()) {
            tracing::error!(cause, failures, "heartbeat to the store failed");
        }
    }

    /// Starts tasks for free assigned partitions, and asks tasks of unassigned partitions to hand over.
    fn rebalance(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let (members, now) = (&self.members, clock::now());
        let mut started = 0;
        let mut all_assigned = BTreeSet::new();
        for (&partition, state) in &mut self.states {
            let is_assigned = assigned_core(partition, members) == Some(&self.member);
            if is_assigned {
                all_assigned.insert(partition);
            }
            match state {
                PartitionState::Free(from) if is_assigned && *from <= now => {
                    let (assigned, wanted) = watch::channel(true);
                    let task = PartitionTask::new(Arc::clone(&self.context), partition, wanted);
                    let run = task.run();
                    #[cfg(feature = "simulation")]
                    let run = crate::suspension::in_current_process(run);
                    self.running.insert(self.tasks.spawn(run).id(), partition);
                    *state = PartitionState::Running(assigned);
                    started += 1;
                }
                PartitionState::Running(assigned) => {
                    assigned.send_if_modified(|wanted| {
                        std::mem::replace(wanted, is_assigned) != is_assigned
                    });
                }
                PartitionState::Free(_) => {}
            }
        }
        self.context.service.set_assigned(all_assigned);
        self.context.startup.on_first_placement(started);
        self.report_unserved();
    }

    /// Reports assigned partitions that are unserved for a lease as unready. Logs those without an owner for some leases,
    /// at growing intervals.
    fn report_unserved(&mut self) {
        let now = clock::now();
        self.unserved.update(&self.context.service.unserved(), now);
        self.context.service.set_overdue(self.unserved.overdue(now, self.lease));
        let late = self.unserved.overdue(now, REPORTED_LEASES * self.lease);
        let Some(first) = late.first() else { return };
        if let Some(heartbeats) = self.faults.record("unserved partitions", now.into_std()) {
            tracing::warn!(
                partitions = late.len(),
                first,
                heartbeats,
                "partitions of this core are unserved for {REPORTED_LEASES} leases; check the store and its clock"
            );
        }
    }

    fn on_task_end(&mut self, ended: Result<(Id, Result<(), PartitionTaskError>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(partition) = self.running.remove(&id) else { return };
        let cause = match ended {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(error))) => Some((error.kind(), error.to_string())),
            Err(error) => Some(("task", format!("partition task failed: {error}"))),
        };
        let pause =
            cause.map_or(Duration::ZERO, |(kind, text)| self.on_failed(partition, kind, text));
        self.states.insert(partition, PartitionState::Free(clock::now() + pause));
    }

    /// Logs a partition that needs an operator, once per kind of cause at growing intervals; returns the pause before the
    /// next attempt. `/readyz` names all failed partitions.
    fn on_failed(&self, partition: u32, kind: &'static str, cause: String) -> Duration {
        if let Some(failures) = self.faults.record(kind, clock::now().into_std()) {
            tracing::error!(partition, cause, failures, "partition cannot be served");
        }
        self.context.service.on_failed(partition, cause)
    }

    /// Leaves the membership and stops all tasks. Other cores may claim each partition after the release.
    async fn release_all(&mut self) {
        let (member, number) = (self.member.clone(), self.heartbeats + 1);
        let leave = self.context.store.heartbeat(member, number, Duration::ZERO);
        for state in self.states.values() {
            if let PartitionState::Running(assigned) = state {
                assigned.send_replace(false);
            }
        }
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let (left, ()) = tokio::join!(leave, all_ended);
        if let Err(error) = left {
            tracing::warn!(%error, "the store did not record the departure of this core");
        }
    }
}
