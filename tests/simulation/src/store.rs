//! The store model with delays and faults. Calls for one partition take effect in call order; the seed determines
//! their time, their failures and the loss of replies. Blobs are opaque.

mod call;
mod clock;
mod damage;
mod data;
mod direct;
mod faults;
mod handle;
mod lease_end;
mod rollback;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minerva_core::store::{Epoch, StoreError};
use tokio::sync::oneshot;

pub(crate) use call::{Call, PendingReply};
pub use call::{Op, OpReply};
pub(crate) use damage::{BlobPlace, DamagedBlob};
pub use data::StoreData;
pub(crate) use data::StoredPartition;
pub use direct::ModelStore;
pub(crate) use faults::Isolation;
pub(crate) use handle::{CallQueue, StoreHandle};
pub(crate) use rollback::RolledBack;

use self::clock::StoreClock;
use self::faults::{Disposition, StoreFaults};
use self::rollback::PendingRollback;

use crate::clock::Time;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;

/// The store with its injected faults.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) data: StoreData,
    pub(crate) queue: CallQueue,
    faults: StoreFaults,
    /// Deviation of the clock of the store.
    clock: StoreClock,
    /// The data after a pending rollback.
    rollback: Option<PendingRollback>,
    /// Time at which the last call of an owner for a partition takes effect.
    busy: BTreeMap<(Arc<str>, u32), Time>,
    /// Core and epoch of the last release of each partition; a later write by that owner is a violation.
    released: BTreeMap<u32, (usize, Epoch)>,
    /// Partitions that were rolled back, so that epochs may repeat.
    rolled_back: BTreeSet<u32>,
}

impl Store {
    /// An empty store; a version above 0 was permitted by all cores of an earlier time.
    pub(crate) fn new(stored_version: u32) -> Self {
        let mut store = Self::default();
        store.data.stored_version = stored_version;
        store
    }

    /// Names of the live cores.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.data.members.keys().map(|member| member.name.as_str())
    }

    /// Schedules all new calls.
    pub(crate) fn take_calls(&mut self, net: &mut Network) {
        for call in self.queue.take() {
            self.schedule(call, net);
        }
    }

    fn schedule(&mut self, mut call: Call, net: &mut Network) {
        let numbers = [call.core as u64, call.partition.into(), index_of(&call.op)];
        net.trace.record(net.now, name_of(&call.op), numbers);
        let mut delay = net.random.between(1, 4);
        if let Some(extra) = self.faults.extra_delay(net) {
            delay += extra;
            net.faults.fire(Fault::StoreSlow);
        }
        if call.may_be_refused && self.faults.is_full(net.now) {
            net.faults.fire(Fault::StoreFull);
            let full = StoreError::Full("injected fault".to_owned());
            return reply_at(net.now + delay, call.reply, Err(full), net);
        }
        let busy = self.busy.entry((Arc::clone(&call.name), call.partition)).or_default();
        let mut at = (net.now + delay).max(*busy);
        match self.faults.disposition(call.core, delay, net) {
            Disposition::Perform => {}
            Disposition::Lost { gives_up } => {
                net.faults.fire(Fault::StoreUnavailable);
                return reply_at(gives_up, call.reply, Err(unavailable()), net);
            }
            Disposition::ReplyLost => {
                net.faults.fire(Fault::StoreReplyLost);
                // The error may precede the effect.
                let gives_up = net.now + net.random.between(1, 2 * delay);
                reply_at(gives_up, call.reply.take(), Err(unavailable()), net);
            }
            Disposition::Late { from, gives_up } => {
                at = at.max(from + delay);
                reply_at(gives_up, call.reply.take(), Err(unavailable()), net);
            }
        }
        *busy = at;
        net.events.schedule(at, Event::StorePerforms(Box::new(call)));
    }

    /// Performs a call and schedules the reply. Returns whether the call succeeded, and whether it was a write by an
    /// owner that has released the partition.
    pub(crate) fn perform(&mut self, call: Call, net: &mut Network) -> (bool, bool) {
        let name = Some(&*call.name);
        let now = self.clock.read(net.now);
        let outcome = self.data.perform(now, name, call.partition, &call.op);
        let is_ok = outcome.is_ok();
        net.trace.record(
            net.now,
            "store performs",
            [call.partition.into(), index_of(&call.op), u64::from(is_ok)],
        );
        if let Err(error) = &outcome {
            net.trace.detail(|| format!("{}: {error}", name_of(&call.op)));
            if *error == StoreError::Fenced && call.op.is_write() {
                net.faults.fire(Fault::FencedWrite);
            }
        }
        let is_late = is_ok && self.is_late(&call);
        if let (Op::Release { epoch }, true) = (&call.op, is_ok) {
            self.released.insert(call.partition, (call.core, *epoch));
        }
        let at = net.now + net.random.between(1, 3);
        reply_at(at, call.reply, outcome, net);
        (is_ok, is_late)
    }

    pub(crate) fn slow_down(&mut self, until: Time) {
        self.faults.slow_down(until);
    }

    pub(crate) fn fail_until(&mut self, until: Time) {
        self.faults.fail_until(until);
    }

    /// Refuses appends until this time, as a store without memory does.
    pub(crate) fn fill_until(&mut self, until: Time) {
        self.faults.fill_until(until);
    }

    pub(crate) fn lose_replies_until(&mut self, until: Time) {
        self.faults.lose_replies_until(until);
    }

    pub(crate) fn lose_next_checkpoint(&mut self) {
        self.faults.lose_next_checkpoint();
    }

    /// Takes the data before a checkpoint call that is to be lost. Returns whether this call is lost.
    pub(crate) fn begin_checkpoint_loss(&mut self, call: &Call) -> bool {
        let is_candidate = !self.has_snapshot() && matches!(call.op, Op::Checkpoint { .. });
        let is_lost = is_candidate && self.faults.take_lost_checkpoint();
        if is_lost {
            self.take_snapshot(Some(vec![call.partition]));
        }
        is_lost
    }

    /// Separates a core from the store.
    pub(crate) fn isolate(&mut self, core: usize, isolation: Isolation) {
        self.faults.isolate(core, isolation);
    }

    /// Steps the clock of the store.
    pub(crate) fn step_clock(&mut self, forward: bool, length: Time) {
        self.clock.step(forward, length);
    }

    /// Damages some blobs of a partition. With `may_be_stale` an earlier snapshot may take the place of the last one.
    pub(crate) fn damage(
        &mut self,
        partition: u32,
        may_be_stale: bool,
        net: &mut Network,
    ) -> Vec<DamagedBlob> {
        let count = net.random.pick(&[1, 1, 1, 2, 3]);
        self.data.damage(partition, (count, may_be_stale), &mut net.random)
    }

    /// Takes the data for a later rollback of these partitions, or of the whole store.
    pub(crate) fn take_snapshot(&mut self, partitions: Option<Vec<u32>>) {
        self.rollback = Some(PendingRollback { data: self.data.clone(), partitions });
    }

    /// Performs the pending rollback, if any. Returns the affected partitions.
    pub(crate) fn roll_back(&mut self) -> Option<RolledBack> {
        let PendingRollback { data, partitions } = self.rollback.take()?;
        let is_partial = partitions.is_some();
        let affected = match partitions {
            Some(partitions) => {
                partitions.iter().for_each(|one| self.data.take_partition(*one, &data));
                partitions
            }
            None => {
                let affected = self.data.numbers();
                self.data = data;
                affected
            }
        };
        self.rolled_back.extend(&affected);
        Some(RolledBack { partitions: affected, is_partial })
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        self.rollback.is_some()
    }

    pub(crate) fn heal(&mut self) {
        self.faults = StoreFaults::default();
    }

    fn is_late(&self, call: &Call) -> bool {
        let (Op::Append { owner, .. } | Op::Checkpoint { owner, .. }) = &call.op else {
            return false;
        };
        !self.rolled_back.contains(&call.partition)
            && self.released.get(&call.partition) == Some(&(call.core, owner.epoch))
    }
}

fn reply_at(
    at: Time,
    reply: Option<oneshot::Sender<call::OpResult>>,
    outcome: call::OpResult,
    net: &mut Network,
) {
    if let Some(reply) = reply {
        net.events.schedule(at, Event::StoreReplies(Box::new(PendingReply { reply, outcome })));
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("injected fault".to_owned())
}

fn name_of(op: &Op) -> &'static str {
    match op {
        Op::Partitions(_) => "partitions",
        Op::Heartbeat { .. } => "heartbeat",
        Op::Claim { .. } => "claim",
        Op::Append { .. } => "append",
        Op::Checkpoint { .. } => "checkpoint",
        Op::Renew { .. } => "renew",
        Op::Release { .. } => "release",
        Op::Quarantine { .. } => "quarantine",
        Op::Inspect | Op::InspectAside => "inspect",
        Op::Reset => "reset",
    }
}

fn index_of(op: &Op) -> u64 {
    match op {
        Op::Append { index, .. } => index.0,
        Op::Checkpoint { covers, .. } => covers.0,
        Op::Partitions(_)
        | Op::Heartbeat { .. }
        | Op::Claim { .. }
        | Op::Renew { .. }
        | Op::Quarantine { .. }
        | Op::Inspect
        | Op::InspectAside
        | Op::Reset
        | Op::Release { .. } => 0,
    }
}
