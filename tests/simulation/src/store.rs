//! The store model with delays and faults. Calls for one partition take effect in call order; the seed determines
//! their time, their failures and the loss of replies. Blobs are opaque.

mod call;
mod data;
mod direct;
mod handle;

use std::collections::BTreeMap;

use minerva_core::store::{Epoch, StoreError};
use tokio::sync::oneshot;

pub(crate) use call::{Call, PendingReply};
pub use call::{Op, OpReply};
pub use data::StoreData;
pub(crate) use data::StoredPartition;
pub use direct::ModelStore;
pub(crate) use handle::{CallQueue, StoreHandle};

use crate::clock::Time;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;

/// The store with its injected faults.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) data: StoreData,
    pub(crate) queue: CallQueue,
    /// The data after a pending rollback.
    snapshot: Option<StoreData>,
    /// Time at which the last call of a partition takes effect.
    busy: BTreeMap<u32, Time>,
    /// Core and epoch of the last release of each partition; a later write by that owner is a violation.
    released: BTreeMap<u32, (usize, Epoch)>,
    /// Whether the store was rolled back, so that epochs may repeat.
    has_rolled_back: bool,
    slow_until: Time,
    unavailable_until: Time,
    replies_lost_until: Time,
}

/// Treatment of a call.
enum Disposition {
    Perform,
    /// Takes no effect; the caller receives an error with unknown outcome.
    Reject,
    /// Takes effect; the caller receives an error with unknown outcome.
    ReplyLost,
}

impl Store {
    /// Schedules all new calls.
    pub(crate) fn take_calls(&mut self, net: &mut Network) {
        for call in self.queue.take() {
            self.schedule(call, net);
        }
    }

    fn schedule(&mut self, mut call: Call, net: &mut Network) {
        let numbers = [call.core as u64, call.partition.into(), index_of(&call.op)];
        net.trace.record(net.now, name_of(&call.op), numbers);
        let disposition = self.disposition(net);
        let mut delay = net.random.between(1, 4);
        if net.now < self.slow_until {
            delay += net.random.between(20, 900);
            net.faults.fire(Fault::StoreSlow);
        }
        let busy = self.busy.entry(call.partition).or_default();
        let at = (net.now + delay).max(*busy);
        match disposition {
            Disposition::Perform => {}
            Disposition::Reject => {
                net.faults.fire(Fault::StoreUnavailable);
                return reply_at(net.now + delay, call.reply, Err(unavailable()), net);
            }
            Disposition::ReplyLost => {
                net.faults.fire(Fault::StoreReplyLost);
                // The error may precede the effect.
                let gives_up = net.now + net.random.between(1, 2 * delay);
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
        let outcome = self.data.perform(net.now, name, call.partition, &call.op);
        let is_ok = outcome.is_ok();
        net.trace.record(
            net.now,
            "store performs",
            [call.partition.into(), index_of(&call.op), u64::from(is_ok)],
        );
        if let Err(error) = &outcome {
            net.trace.detail(|| format!("{}: {error}", name_of(&call.op)));
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
        self.slow_until = until;
    }

    pub(crate) fn fail_until(&mut self, until: Time) {
        self.unavailable_until = until;
    }

    pub(crate) fn lose_replies_until(&mut self, until: Time) {
        self.replies_lost_until = until;
    }

    /// Takes the snapshot for a later rollback.
    pub(crate) fn take_snapshot(&mut self) {
        self.snapshot = Some(self.data.clone());
    }

    /// Goes back, if something was snapshot.
    pub(crate) fn roll_back(&mut self) -> bool {
        self.has_rolled_back = true;
        self.snapshot.take().map(|snapshot| self.data = snapshot).is_some()
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(crate) fn heal(&mut self) {
        (self.slow_until, self.unavailable_until, self.replies_lost_until) = (0, 0, 0);
    }

    fn disposition(&self, net: &mut Network) -> Disposition {
        if net.now < self.unavailable_until && net.random.percent(80) {
            Disposition::Reject
        } else if net.now < self.replies_lost_until && net.random.percent(50) {
            Disposition::ReplyLost
        } else {
            Disposition::Perform
        }
    }

    fn is_late(&self, call: &Call) -> bool {
        let (Op::Append { epoch, .. } | Op::Checkpoint { epoch, .. }) = &call.op else {
            return false;
        };
        !self.has_rolled_back && self.released.get(&call.partition) == Some(&(call.core, *epoch))
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
        | Op::Release { .. } => 0,
    }
}
