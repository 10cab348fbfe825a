//! The core's end of stream calls from outside. The checker receives every reply; some replies are lost on their way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use minerva_core::partition::{
    Mail, PartitionTable, StreamCall, StreamCallId, StreamReply, StreamRequest,
};
use minerva_core::stream::PushOutcome as CoreOutcome;
use minerva_proto::StreamNumber;
use tokio::sync::oneshot;

use crate::checker::Checker;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;
use crate::push::{PushAttempt, PushOutcome, PushOutcomes};

/// A call without a reply.
pub(super) struct PendingCall {
    attempt: PushAttempt,
    reply: oneshot::Receiver<StreamReply>,
}

impl PendingCall {
    /// Sends the request to the partition.
    pub(super) fn send(
        id: StreamCallId,
        attempt: PushAttempt,
        request: StreamRequest,
        partitions: &PartitionTable,
    ) -> Self {
        let (sender, reply) = oneshot::channel();
        let call = StreamCall { id, request, reply: sender };
        partitions.send(attempt.partition, Mail::StreamCall(Box::new(call)));
        Self { attempt, reply }
    }

    /// Ready with the reply; `None` if the partition dropped the call, so that the outcome is unknown.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(PushAttempt, Option<StreamReply>)> {
        Pin::new(&mut self.reply).poll(cx).map(|reply| (self.attempt.clone(), reply.ok()))
    }
}

/// Releases the reply to a push, or the interruption of the call.
pub(super) fn release(
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
    };
    outcomes.into_iter().map(|(number, of_core)| (number, outcome(of_core))).collect()
}
