//! The store as a run sees it: the model's data behind delays and failures. Calls for one partition take effect in
//! the order in which they were made; whether, when and with what answer is chance. Knows nothing of what is in a
//! blob.

mod call;
mod data;
mod direct;
mod handle;

use std::collections::BTreeMap;

use minerva_core::store::{Epoch, StoreError};
use tokio::sync::oneshot;

pub use call::{Answer, Op};
pub(crate) use call::{Answered, Call};
pub(crate) use data::Part;
pub use data::StoreData;
pub use direct::ModelStore;
pub(crate) use handle::{CallQueue, StoreHandle};

use crate::agenda::Time;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;

/// The store and its state of health.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) data: StoreData,
    pub(crate) queue: CallQueue,
    /// What it will have again when it goes back.
    kept: Option<StoreData>,
    /// When the last call of a partition takes effect.
    busy: BTreeMap<u32, Time>,
    /// Epochs whose owners have given their partition back: they must not write any more.
    released: BTreeMap<u32, (usize, Epoch)>,
    /// It has gone back: epochs may be given twice.
    has_gone_back: bool,
    slow_until: Time,
    unavailable_until: Time,
    lossy_until: Time,
}

/// What becomes of a call.
enum Fate {
    Done,
    /// It is not done, and the caller hears that it may be.
    NotDone,
    /// It is done, and the caller hears that it may not be.
    AnswerLost,
}

impl Store {
    /// Takes the calls that were made since the last look.
    pub(crate) fn take_calls(&mut self, net: &mut Network) {
        for call in self.queue.take() {
            self.begin(call, net);
        }
    }

    fn begin(&mut self, mut call: Call, net: &mut Network) {
        let numbers = [call.core as u64, call.partition.into(), index_of(&call.op)];
        net.trace.note(net.now, name_of(&call.op), numbers);
        let fate = self.fate(net);
        let mut delay = net.random.between(1, 4);
        if net.now < self.slow_until {
            delay += net.random.between(20, 900);
            net.faults.fire(Fault::StoreSlow);
        }
        let busy = self.busy.entry(call.partition).or_default();
        let at = (net.now + delay).max(*busy);
        match fate {
            Fate::Done => {}
            Fate::NotDone => {
                net.faults.fire(Fault::StoreUnavailable);
                return answer_at(net.now + delay, call.reply, Err(unavailable()), net);
            }
            Fate::AnswerLost => {
                net.faults.fire(Fault::AnswerLost);
                // The caller gives up before or after it is done.
                let gives_up = net.now + net.random.between(1, 2 * delay);
                answer_at(gives_up, call.reply.take(), Err(unavailable()), net);
            }
        }
        *busy = at;
        net.agenda.put(at, Event::StoreActs(Box::new(call)));
    }

    /// Does a call; its answer is under way then. The second: whether it is written by an owner that has given
    /// its partition back.
    pub(crate) fn act(&mut self, call: Call, net: &mut Network) -> (bool, bool) {
        let name = Some(&*call.name);
        let outcome = self.data.act(net.now, name, call.partition, &call.op);
        let is_ok = outcome.is_ok();
        net.trace.note(
            net.now,
            "store acts",
            [call.partition.into(), index_of(&call.op), u64::from(is_ok)],
        );
        if let Err(error) = &outcome {
            net.trace.say(|| format!("{}: {error}", name_of(&call.op)));
        }
        let is_late = is_ok && self.is_late(&call);
        if let (Op::Release { epoch }, true) = (&call.op, is_ok) {
            self.released.insert(call.partition, (call.core, *epoch));
        }
        let at = net.now + net.random.between(1, 3);
        answer_at(at, call.reply, outcome, net);
        (is_ok, is_late)
    }

    pub(crate) fn be_slow(&mut self, until: Time) {
        self.slow_until = until;
    }

    pub(crate) fn be_unavailable(&mut self, until: Time) {
        self.unavailable_until = until;
    }

    pub(crate) fn lose_answers(&mut self, until: Time) {
        self.lossy_until = until;
    }

    /// Puts down what it will go back to.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(self.data.clone());
    }

    /// Goes back, if something was kept.
    pub(crate) fn go_back(&mut self) -> bool {
        self.has_gone_back = true;
        self.kept.take().map(|kept| self.data = kept).is_some()
    }

    pub(crate) fn is_going_back(&self) -> bool {
        self.kept.is_some()
    }

    pub(crate) fn heal(&mut self) {
        (self.slow_until, self.unavailable_until, self.lossy_until) = (0, 0, 0);
    }

    fn fate(&self, net: &mut Network) -> Fate {
        if net.now < self.unavailable_until && net.random.percent(80) {
            Fate::NotDone
        } else if net.now < self.lossy_until && net.random.percent(50) {
            Fate::AnswerLost
        } else {
            Fate::Done
        }
    }

    fn is_late(&self, call: &Call) -> bool {
        let (Op::Append { epoch, .. } | Op::Checkpoint { epoch, .. }) = &call.op else {
            return false;
        };
        !self.has_gone_back && self.released.get(&call.partition) == Some(&(call.core, *epoch))
    }
}

fn answer_at(
    at: Time,
    reply: Option<oneshot::Sender<call::Outcome>>,
    outcome: call::Outcome,
    net: &mut Network,
) {
    if let Some(reply) = reply {
        net.agenda.put(at, Event::StoreAnswers(Box::new(Answered { reply, outcome })));
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("so the simulation wants it".to_owned())
}

fn name_of(op: &Op) -> &'static str {
    match op {
        Op::Partitions(_) => "partitions",
        Op::Beat { .. } => "beat",
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
        | Op::Beat { .. }
        | Op::Claim { .. }
        | Op::Renew { .. }
        | Op::Release { .. } => 0,
    }
}
