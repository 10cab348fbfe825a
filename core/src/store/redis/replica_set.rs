//! Which replicas must confirm an append, and whether a confirmation is believed. Pure.
//!
//! A failover may promote any replica. An append is durable if every replica that could be promoted has the append.
//! These are the connected replicas and those that disconnected a short time ago: a promoted replica closes its
//! connection to the old primary, which continues to write until the demotion. So a replica that disconnects or falls
//! behind stops the appends for `hold_ms`, and longer as long as the Sentinels may be failing over. The hold begins
//! anew with each disconnection. After a failover the other replicas are required at the new primary, with a new hold.
//!
//! ```text
//!   new ──caught up──> required ──disconnected or behind──> held ──hold_ms and Sentinels agree──> released
//!                         ^                                  │                                       │
//!                         └───────────── caught up ──────────┴───────────────────────────────────────┘
//! ```
//!
//! The task of a connection ([`super::pipelined_connection`]) is the caller.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, ServerError, Value};
use tokio::time::Instant;

use super::replication::{Replica, Replication};
use super::url::Node;

/// The replicas of one server.
#[derive(Debug)]
pub(super) struct ReplicaSet {
    /// Least number of confirmations.
    least: usize,
    limits: Limits,
    /// Identity of the data set of the server.
    id: Arc<str>,
    tracked: Vec<Tracked>,
    required: Arc<[Replica]>,
    /// One of the replicas before the promotion is the server itself, under another address.
    has_alias: bool,
    /// The last appends were not confirmed, so the next ones determine which replica is the cause.
    is_suspect: bool,
}

/// Time limits of an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// `wait_ms`: a replica that confirms an append later is behind.
    pub(super) wait: Duration,
    /// `hold_ms`: how long a failing replica stops the appends.
    pub(super) hold: Duration,
}

#[derive(Debug)]
struct Tracked {
    replica: Replica,
    is_connected: bool,
    disconnected_at: Instant,
    /// Was required at an earlier server, and has not connected to this one.
    is_inherited: bool,
    is_required: bool,
    /// First observation as disconnected or behind, since the last good one. Only of a required replica.
    failing_since: Option<Instant>,
    /// An offset of the server and the time of its observation. A replica that is not required has caught up when the
    /// replica acknowledges this offset.
    target: (u64, Instant),
}

/// The condition under which an append is durable, fixed when the append is sent.
#[derive(Debug, Clone)]
pub(super) struct Requirement {
    least: usize,
    id: Arc<str>,
    replicas: Arc<[Replica]>,
    /// Number of required replicas that are connected.
    connected: usize,
    /// The acknowledged offsets decide: other replicas are connected, so the number of confirmations alone proves
    /// nothing, or the cause of a failure is to be determined.
    has_offsets: bool,
}

/// Why an append is not known to be durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unconfirmed {
    /// The server is a replica now, or was one meanwhile.
    NotPrimary,
    /// The server is handing over to a replica.
    FailingOver,
    /// A required replica is not connected.
    Disconnected(Replica),
    TooFew {
        confirmed: usize,
        required: usize,
    },
    /// The server sent no valid reply.
    NoReply,
}

/// The checked replies to the commands of a [`Requirement`].
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) before: Option<Replication>,
    pub(super) after: Option<Replication>,
    pub(super) result: Result<(), Unconfirmed>,
    /// The first error reply, such as the lack of a right.
    pub(super) error: Option<ServerError>,
}

impl ReplicaSet {
    pub(super) fn new(least: usize, limits: Limits) -> Self {
        let (tracked, required) = (Vec::new(), Arc::new([]));
        let (has_alias, is_suspect) = (false, false);
        Self { least, limits, id: Arc::from(""), tracked, required, has_alias, is_suspect }
    }

    /// Begins with a new connection to `server`. `known` are further replicas according to the Sentinels.
    ///
    /// A connection to the same data set keeps the known replicas. Another data set, such as the one of a promoted
    /// replica, keeps the required ones, except the server itself.
    pub(super) fn on_connected(
        &mut self,
        server: &Node,
        found: &Replication,
        known: &[Node],
        now: Instant,
    ) {
        let is_new = *found.id != *self.id;
        if is_new {
            self.inherit(server, found);
        }
        for tracked in &mut self.tracked {
            tracked.on_connected(found.offset_of(&tracked.replica).is_some(), now);
        }
        self.add_new(found, is_new, now);
        // Sentinels that use host names where the server uses addresses name no connected replica.
        let is_connected = |node: &Node| found.replicas.iter().any(|(one, _)| one.node == *node);
        let has_same_names = known.iter().any(is_connected);
        let known = if has_same_names || found.replicas.is_empty() { known } else { &[] };
        for replica in known.iter().cloned().map(Replica::from) {
            if !self.is_tracked(&replica) {
                self.tracked.push(Tracked::new(&replica, false, true, found.offset, now));
            }
        }
        self.update();
    }

    /// Keeps the required replicas at another data set.
    fn inherit(&mut self, server: &Node, found: &Replication) {
        let is_promoted = !self.id.is_empty() && found.previous_id == *self.id;
        self.id = Arc::from(&*found.id);
        self.tracked.retain(|tracked| tracked.is_required);
        for tracked in &mut self.tracked {
            (tracked.is_inherited, tracked.failing_since) = (true, None);
        }
        let same = self.tracked.iter().enumerate().filter(|(_, one)| one.replica.node == *server);
        match same.max_by_key(|(_, one)| one.replica.rank).map(|(at, _)| at) {
            Some(at) => drop(self.tracked.remove(at)),
            None => self.has_alias = is_promoted,
        }
    }

    /// Returns true if a required replica is not connected.
    pub(super) fn has_disconnected(&self) -> bool {
        self.tracked.iter().any(|tracked| tracked.is_required && !tracked.is_connected)
    }

    /// Identity of the data set of the last connection.
    pub(super) fn data_set(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// Records the state of the server after appends, and whether they were confirmed. `before` is the state before
    /// the wait for the confirmation.
    ///
    /// A new replica is required as soon as it has caught up.
    pub(super) fn observe(
        &mut self,
        before: Option<&Replication>,
        after: &Replication,
        is_confirmed: bool,
        now: Instant,
    ) {
        if !after.is_primary || *after.id != *self.id {
            return;
        }
        self.is_suspect = !is_confirmed;
        let before = before.map(|before| before.offset);
        for tracked in &mut self.tracked {
            let offset = after.offset_of(&tracked.replica);
            if tracked.is_required {
                tracked.observe_required(offset, before, is_confirmed, now);
            } else {
                tracked.observe_other(offset, after.offset, now, self.limits.wait);
            }
            tracked.set_connected(offset.is_some(), now);
        }
        self.add_new(after, false, now);
        self.update();
    }

    fn add_new(&mut self, found: &Replication, is_required: bool, now: Instant) {
        for (replica, _) in &found.replicas {
            if !self.is_tracked(replica) {
                self.tracked.push(Tracked::new(replica, true, is_required, found.offset, now));
            }
        }
    }

    fn is_tracked(&self, replica: &Replica) -> bool {
        self.tracked.iter().any(|tracked| tracked.replica == *replica)
    }

    fn update(&mut self) {
        // Once all others have connected, the last inherited replica is the server itself.
        let inherited = self.tracked.iter().filter(|tracked| tracked.is_inherited).count();
        if self.has_alias && inherited <= 1 {
            self.tracked.retain(|tracked| !tracked.is_inherited);
            self.has_alias = false;
        }
        self.tracked.retain(|tracked| tracked.is_connected || tracked.is_required);
        let required = || self.tracked.iter().filter(|tracked| tracked.is_required);
        if !required().map(|tracked| &tracked.replica).eq(self.required.iter()) {
            self.required = required().map(|tracked| tracked.replica.clone()).collect();
        }
    }

    /// Releases the replicas that have failed for longer than the hold, and returns them.
    pub(super) fn release_expired(&mut self, now: Instant) -> Vec<Replica> {
        let mut released = Vec::new();
        for tracked in &mut self.tracked {
            if tracked.has_expired(self.limits.hold, now) {
                // The next observation sets a target that the replica can reach.
                (tracked.is_required, tracked.target) = (false, (u64::MAX, now));
                released.push(tracked.replica.clone());
            }
        }
        self.update();
        released
    }

    /// The condition for appends that are sent now.
    pub(super) fn requirement(&self) -> Requirement {
        let connected = self.tracked.iter().filter(|tracked| tracked.is_connected);
        let (required, others): (Vec<_>, Vec<_>) =
            connected.partition(|tracked| tracked.is_required);
        Requirement {
            least: self.least,
            id: Arc::clone(&self.id),
            replicas: Arc::clone(&self.required),
            connected: required.len(),
            has_offsets: self.is_suspect || !others.is_empty(),
        }
    }
}

impl Tracked {
    fn new(
        replica: &Replica,
        is_connected: bool,
        is_required: bool,
        target: u64,
        now: Instant,
    ) -> Self {
        Self {
            replica: replica.clone(),
            is_connected,
            disconnected_at: now,
            is_inherited: false,
            is_required,
            failing_since: (!is_connected).then_some(now),
            target: (target, now),
        }
    }

    /// Records the state at a new connection. Disconnections before it were not observed, so the hold begins anew.
    fn on_connected(&mut self, is_connected: bool, now: Instant) {
        self.is_connected = true;
        self.set_connected(is_connected, now);
        if !is_connected {
            self.failing_since.get_or_insert(now);
        }
    }

    fn set_connected(&mut self, is_connected: bool, now: Instant) {
        if self.is_connected && !is_connected {
            self.disconnected_at = now;
        }
        self.is_connected = is_connected;
        self.is_inherited &= !is_connected;
    }

    /// Records the acknowledged offset of a required replica, after a wait for `before`.
    fn observe_required(
        &mut self,
        offset: Option<u64>,
        before: Option<u64>,
        is_confirmed: bool,
        now: Instant,
    ) {
        let has_before = before.is_some_and(|before| offset >= Some(before));
        if offset.is_some() && (is_confirmed || has_before) {
            self.failing_since = None;
        } else if offset.is_none() || before.is_some() {
            self.failing_since.get_or_insert(now);
        }
        // Otherwise only the next offsets determine whether this replica is the cause.
    }

    /// Records the acknowledged offset of another replica. Each target is valid for `wait`.
    fn observe_other(&mut self, offset: Option<u64>, target: u64, now: Instant, wait: Duration) {
        if self.is_connected && offset >= Some(self.target.0) {
            (self.is_required, self.failing_since) = (true, None);
        } else if now.saturating_duration_since(self.target.1) >= wait {
            self.target = (target, now);
        }
    }

    fn has_expired(&self, hold: Duration, now: Instant) -> bool {
        let is_held = |since| now.saturating_duration_since(since) < hold;
        // A connected replica was not promoted; then only the time since the last confirmation counts.
        let is_absent = !self.is_connected && is_held(self.disconnected_at);
        self.is_required && !is_absent && self.failing_since.is_some_and(|since| !is_held(since))
    }
}

impl Requirement {
    /// Least number of confirmations.
    pub(super) fn count(&self) -> usize {
        self.least.max(self.replicas.len())
    }

    /// Adds the commands whose replies prove the durability of the appends before.
    pub(super) fn add_to(&self, pipeline: &mut Pipeline, deadline: Duration) {
        if self.has_offsets {
            pipeline.cmd("INFO").arg("replication");
        }
        // A disconnected replica cannot confirm; waiting for its confirmation would only delay the failure.
        let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        pipeline.cmd("WAIT").arg(self.least.max(self.connected)).arg(ms);
        pipeline.cmd("INFO").arg("replication");
    }

    /// Removes the replies to these commands from the end of a pipeline's replies, and checks them.
    pub(super) fn check(&self, values: &mut Vec<Value>) -> Checked {
        let count = if self.has_offsets { 3 } else { 2 };
        let mut replies = values.split_off(values.len().saturating_sub(count));
        let error = replies.iter().find_map(|reply| {
            if let Value::ServerError(error) = reply { Some(error.clone()) } else { None }
        });
        let parse = |reply: Value| Replication::from_reply(&reply);
        let after = replies.pop().and_then(parse);
        let confirmed = match replies.pop() {
            Some(Value::Int(count)) => usize::try_from(count).ok(),
            _ => None,
        };
        let before = replies.pop().and_then(parse);
        let result = match &after {
            Some(after) => self.check_state(confirmed, before.as_ref(), after),
            None => Err(Unconfirmed::NoReply),
        };
        Checked { before, after, result, error }
    }

    fn check_state(
        &self,
        confirmed: Option<usize>,
        before: Option<&Replication>,
        after: &Replication,
    ) -> Result<(), Unconfirmed> {
        if !after.is_primary || *after.id != *self.id {
            return Err(Unconfirmed::NotPrimary);
        }
        if after.is_failing_over {
            return Err(Unconfirmed::FailingOver);
        }
        let confirmed = confirmed.ok_or(Unconfirmed::NoReply)?;
        let is_other = |replica: &&Replica| !self.replicas.contains(replica);
        let others = after.replicas.iter().map(|(replica, _)| replica).filter(is_other).count();
        let required = self.count() + others;
        if confirmed >= required {
            return Ok(());
        }
        if let Some(before) = before
            && confirmed >= self.least
            && self.replicas.iter().all(|one| after.offset_of(one) >= Some(before.offset))
        {
            return Ok(());
        }
        let is_missing = |replica: &&Replica| after.offset_of(replica).is_none();
        match self.replicas.iter().find(is_missing) {
            Some(replica) if confirmed >= self.least => {
                Err(Unconfirmed::Disconnected(replica.clone()))
            }
            _ if confirmed < self.count() => {
                Err(Unconfirmed::TooFew { confirmed, required: self.count() })
            }
            _ => Err(Unconfirmed::TooFew { confirmed, required }),
        }
    }
}

#[cfg(test)]
mod tests;
