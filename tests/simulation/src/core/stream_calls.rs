//! The core's end of stream calls from outside. The checker receives every reply; some replies are lost on their way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use minerva_core::partition::{
    Mail, PartitionTable, StreamCall, StreamCallId, StreamReply, StreamRequest,
};
use minerva_core::stream::{JoinOutcome, PushOutcome as CoreOutcome};
use minerva_proto::StreamNumber;
use tokio::sync::oneshot;

use crate::checker::Checker;
use crate::durable::partition_of;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;
use crate::push::{OutsideCall, OutsideChange, PushAttempt, PushOutcome, PushOutcomes};
use crate::wake_flag::{LoopWaker, WakeFlag};

/// A call without a reply.
pub(super) struct PendingCall {
    call: OutsideCall,
    reply: oneshot::Receiver<StreamReply>,
    flag: WakeFlag,
}

impl PendingCall {
    /// Sends the request to the partition.
    pub(super) fn send(
        id: StreamCallId,
        call: OutsideCall,
        request: StreamRequest,
        partitions: &PartitionTable,
        waker: &Arc<LoopWaker>,
    ) -> Self {
        let (sender, reply) = oneshot::channel();
        let mail = Mail::StreamCall(Box::new(StreamCall { id, request, reply: sender }));
        let partition = match &call {
            OutsideCall::Push(attempt) => attempt.partition,
            OutsideCall::Change(change) => partition_of(change.stream),
        };
        partitions.send(partition, mail);
        Self { call, reply, flag: WakeFlag::new(waker) }
    }

    /// Ready with the reply; `None` if the partition dropped the call, so that the outcome is unknown.
    pub(super) fn poll(&mut self) -> Poll<(OutsideCall, Option<StreamReply>)> {
        let Some(mut cx) = self.flag.take() else { return Poll::Pending };
        Pin::new(&mut self.reply).poll(&mut cx).map(|reply| (self.call.clone(), reply.ok()))
    }
}

/// Releases the reply to a call, or the interruption of the call.
pub(super) fn release(
    call: OutsideCall,
    reply: Option<StreamReply>,
    net: &mut Network,
    checker: &mut Checker,
) {
    match call {
        OutsideCall::Push(attempt) => release_push(attempt, reply, net, checker),
        OutsideCall::Change(change) => release_change(&change, reply, net, checker),
    }
}

fn release_change(
    change: &OutsideChange,
    reply: Option<StreamReply>,
    net: &mut Network,
    checker: &mut Checker,
) {
    net.trace.record(
        net.now,
        "release change reply",
        [change.number, u64::from(reply.is_some()), 0],
    );
    match reply {
        Some(StreamReply::Done(streams)) if streams.contains(&change.stream) => {
            checker.on_change_done(change, net.now);
        }
        Some(StreamReply::Joined(outcomes))
            if outcomes.contains(&(change.stream, JoinOutcome::Done)) =>
        {
            checker.on_change_done(change, net.now);
        }
        Some(StreamReply::Done(_) | StreamReply::Joined(_)) => {}
        Some(other) => checker.violation(format!("reply to a change: {other:?}")),
        None => net.faults.fire(Fault::CallInterrupted),
    }
}

/// Releases the reply to a push, or the interruption of the call.
fn release_push(
    attempt: PushAttempt,
    reply: Option<StreamReply>,
    net: &mut Network,
    checker: &mut Checker,
) {
    let outcomes = match reply {
        Some(StreamReply::Pushed(outcomes)) => Some(observed(outcomes)),
        Some(other) => return checker.violation(format!("reply to a push: {other:?}")),
        None => {
            net.faults.fire(Fault::CallInterrupted);
            None
        }
    };
    let is_reply = u64::from(outcomes.is_some());
    net.trace.record(net.now, "release push reply", [attempt.push, attempt.number, is_reply]);
    net.trace.detail(|| format!("{outcomes:?}"));
    if let Some(outcomes) = &outcomes {
        checker.on_push_reply(&attempt, outcomes, net.now);
    }
    if outcomes.is_some() && net.random.percent(5) {
        net.faults.fire(Fault::CallReplyLost);
    } else {
        net.within(1, 50, Event::ApiCallReply { attempt, outcomes });
    }
}

/// Outcomes in the terms of the checker.
fn observed(outcomes: Vec<(StreamNumber, CoreOutcome)>) -> PushOutcomes {
    let outcome = |outcome| match outcome {
        CoreOutcome::Taken => PushOutcome::Taken,
        CoreOutcome::Repeated => PushOutcome::Repeated,
        CoreOutcome::Full { .. } => PushOutcome::Full,
        CoreOutcome::Ended => PushOutcome::Ended,
        CoreOutcome::Unsupported => PushOutcome::Unsupported,
    };
    outcomes.into_iter().map(|(number, of_core)| (number, outcome(of_core))).collect()
}
