//! A program outside the service that pushes messages to streams by number or group, with idempotency keys.
//!
//! A caller has one push at a time and retries with the same key until every addressed partition has replied, or
//! gives up.

use std::collections::BTreeMap;

use minerva_core::partition::{StreamRequest, StreamSelector};
use minerva_proto::Payload;

use crate::checker::Checker;
use crate::clock::Time;
use crate::event::Event;
use crate::messages::{Body, push_key, pushed_message, service_name};
use crate::network::Network;
use crate::push::{PushAttempt, PushOutcomes, PushTarget, Selected};

/// Number of callers.
pub(crate) const API_CALLERS: usize = 2;

/// Range of the pause between two pushes. A stream remembers more keys than the pushes during one retry period.
const PAUSE: (Time, Time) = (200, 2500);

/// One caller.
pub(crate) struct ApiCaller {
    index: usize,
    push: Option<Push>,
}

/// The push in progress.
struct Push {
    number: u64,
    messages: Vec<Body>,
    target: PushTarget,
    /// Attempts by partition without a reply.
    attempts: BTreeMap<u32, u64>,
}

impl ApiCaller {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, push: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.push.is_none()
    }

    /// Schedules the next push.
    pub(crate) fn schedule_push(&self, net: &mut Network) {
        net.within(PAUSE.0, PAUSE.1, Event::PushStart { api_caller: self.index });
    }

    /// Begins a push to some partitions.
    pub(crate) fn begin(
        &mut self,
        target: PushTarget,
        partitions: impl Iterator<Item = u32>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let count = net.random.between(1, 3);
        let number = checker.on_push(self.index, count);
        let attempts: BTreeMap<u32, u64> = partitions.map(|partition| (partition, 0)).collect();
        net.trace.record(net.now, "push", [self.index as u64, number, count]);
        net.trace.detail(|| format!("{target:?}"));
        for partition in attempts.keys() {
            self.attempt_within(number, *partition, (1, 30), net);
        }
        let messages = (0..count).map(|index| pushed_message(number, index)).collect();
        self.push = Some(Push { number, messages, target, attempts });
    }

    /// The target of the push in progress, unless the partition has replied.
    pub(crate) fn target(&self, push: u64, partition: u32) -> Option<PushTarget> {
        let push = self.push.as_ref().filter(|own| own.number == push)?;
        push.attempts.contains_key(&partition).then_some(push.target)
    }

    /// Makes the next attempt and schedules its timeout.
    pub(crate) fn attempt(
        &mut self,
        partition: u32,
        audience: Vec<Selected>,
        net: &mut Network,
    ) -> Option<(PushAttempt, StreamRequest)> {
        let push = self.push.as_mut()?;
        let attempts = push.attempts.get_mut(&partition)?;
        *attempts += 1;
        let (api_caller, number) = (self.index, *attempts);
        let target = push.target;
        let attempt =
            PushAttempt { api_caller, push: push.number, partition, number, target, audience };
        let to = match push.target {
            PushTarget::Stream(number) => StreamSelector::Numbers(vec![number]),
            PushTarget::Group(service, group) => StreamSelector::Group(
                service_name(service).into(),
                group.into(),
                minerva_proto::StreamNumber(0),
            ),
            PushTarget::Label(service, label) => {
                StreamSelector::Label(service_name(service).into(), label.into())
            }
        };
        let messages = push.messages.iter().map(Payload::from).collect();
        let key = Some(push_key(push.number));
        let request = StreamRequest::Push { to, messages, key };
        let timeout = Event::ApiCallReply { attempt: attempt.clone(), outcomes: None };
        net.within(1000, 6000, timeout);
        Some((attempt, request))
    }

    /// Schedules an attempt after a pause, since no core announces the partition or an attempt has failed.
    pub(crate) fn retry_later(&self, push: u64, partition: u32, net: &mut Network) {
        self.attempt_within(push, partition, (50, 1500), net);
    }

    /// Handles a reply, or `None` for an interrupted call or a timeout.
    pub(crate) fn on_reply(
        &mut self,
        attempt: &PushAttempt,
        outcomes: Option<&PushOutcomes>,
        gives_up: bool,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(push) = self.push.as_mut().filter(|push| push.number == attempt.push) else {
            return;
        };
        if push.attempts.get(&attempt.partition) != Some(&attempt.number) {
            return;
        }
        if let Some(outcomes) = outcomes {
            push.attempts.remove(&attempt.partition);
            checker.on_push_reply_received(attempt.push, outcomes);
        } else if gives_up {
            push.attempts.clear();
            checker.on_push_given_up(attempt.push);
        } else {
            return self.retry_later(attempt.push, attempt.partition, net);
        }
        if push.attempts.is_empty() {
            net.trace.record(
                net.now,
                "push complete",
                [self.index as u64, attempt.push, attempt.number],
            );
            self.push = None;
            self.schedule_push(net);
        }
    }

    pub(crate) fn describe(&self) -> String {
        let push = self.push.as_ref().map(|push| (push.number, &push.attempts));
        format!("API caller {}: {push:?}", self.index)
    }

    fn attempt_within(&self, push: u64, partition: u32, span: (Time, Time), net: &mut Network) {
        let event = Event::PushAttempt { api_caller: self.index, push, partition };
        net.within(span.0, span.1, event);
    }
}
