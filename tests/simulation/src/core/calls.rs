//! A core's end of calls from outside: mail for a partition, and the wait for its answer. Every answer passes the
//! checker; some are lost on their way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use minerva_core::partition::{Mail, StreamCall, StreamCallId, StreamReply, StreamRequest};
use tokio::sync::oneshot;

use super::{Core, Said};
use crate::checker::Checker;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;
use crate::outsider::Attempt;

/// A call that has no answer yet.
pub(super) struct Waiting {
    attempt: Attempt,
    answer: oneshot::Receiver<StreamReply>,
}

impl Core {
    /// It says that it has this partition.
    pub(crate) fn says_it_owns(&self, partition: u32) -> bool {
        let owns = |process: &super::Process| process.owned.contains(&partition);
        self.is_reachable() && self.process.as_ref().is_some_and(owns)
    }

    /// A call comes in.
    pub(crate) fn call(&mut self, attempt: Attempt, request: StreamRequest) {
        let Some(router) = self.partitions() else { return };
        let (sender, answer) = oneshot::channel();
        let id = StreamCallId(self.next_number());
        let call = StreamCall { id, request, reply: sender };
        router.send(attempt.partition, Mail::StreamCall(Box::new(call)));
        self.calls.push(Waiting { attempt, answer });
    }

    /// Takes the answers, or arranges to be woken.
    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>, said: &mut Vec<(usize, Said)>) {
        let core = self.index;
        self.calls.retain_mut(|waiting| match Pin::new(&mut waiting.answer).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                said.push((core, Said::Outside(waiting.attempt.clone(), answer.ok())));
                false
            }
        });
    }
}

/// An answer goes out, or word that the call was interrupted.
pub(super) fn let_out(
    attempt: Attempt,
    answer: Option<StreamReply>,
    net: &mut Network,
    checker: &mut Checker,
) {
    let said = match answer {
        Some(StreamReply::Pushed(said)) => Some(said),
        Some(other) => return checker.violation(format!("a push is answered {other:?}")),
        None => {
            net.faults.fire(Fault::CallInterrupted);
            None
        }
    };
    let is_answer = u64::from(said.is_some());
    net.trace.note(net.now, "let out to outsider", [attempt.push, attempt.number, is_answer]);
    net.trace.say(|| format!("{said:?}"));
    if let Some(said) = &said {
        checker.on_push_answer(&attempt, said, net.now);
    }
    if said.is_some() && net.random.percent(5) {
        net.faults.fire(Fault::CallUnheard);
    } else {
        net.within(1, 50, Event::OutsiderHears { attempt, said });
    }
}
