//! Somebody outside: no instance of the service, but a program that pushes strings to streams, by number or to a group,
//! each push with an idempotency key. It has one push at a time, and asks again, with the same key, until each
//! partition that it means has answered; sometimes it gives up.

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_core::partition::{StreamRequest, StreamSelector};
use minerva_core::stream::PushOutcome;

use minerva_proto::StreamNumber;

use crate::agenda::Time;
use crate::checker::{Checker, out_string, push_key};
use crate::event::Event;
use crate::network::Network;

/// The group that every stream is put into.
pub(crate) const GROUP: &str = "everybody";

/// How many there are.
pub(crate) const OUTSIDERS: usize = 2;

/// Between two pushes. Far fewer than a stream remembers keys may pass while an answer is under way.
const PAUSE: (Time, Time) = (200, 2500);

/// One of them.
pub(crate) struct Outsider {
    index: usize,
    push: Option<Push>,
}

/// What it is about.
struct Push {
    number: u64,
    messages: Vec<Bytes>,
    to: To,
    /// How often each partition was asked that has not answered.
    asked: BTreeMap<u32, u64>,
}

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Stream(StreamNumber),
    Group,
}

/// One question to one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) outsider: usize,
    pub(crate) push: u64,
    pub(crate) partition: u32,
    /// From 1.
    pub(crate) number: u64,
    /// Streams that were in the group when it was made, if that is meant.
    pub(crate) members: Vec<StreamNumber>,
}

/// What a partition says of each stream.
pub(crate) type Said = Vec<(StreamNumber, PushOutcome)>;

impl Outsider {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, push: None }
    }

    /// It is about nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.push.is_none()
    }

    /// Looks for something to push, later.
    pub(crate) fn rest(&self, net: &mut Network) {
        net.within(PAUSE.0, PAUSE.1, Event::OutsiderBegins { outsider: self.index });
    }

    /// Begins a push to some partitions.
    pub(crate) fn begin(
        &mut self,
        to: To,
        partitions: impl Iterator<Item = u32>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let count = net.random.between(1, 3);
        let number = checker.on_push(self.index, count);
        let asked: BTreeMap<u32, u64> = partitions.map(|partition| (partition, 0)).collect();
        net.trace.note(net.now, "push", [self.index as u64, number, count]);
        net.trace.say(|| format!("{to:?}"));
        for partition in asked.keys() {
            self.ask_within(number, *partition, (1, 30), net);
        }
        let messages = (0..count).map(|index| out_string(number, index)).collect();
        self.push = Some(Push { number, messages, to, asked });
    }

    /// The next attempt, unless the partition has answered: whom it means.
    pub(crate) fn target(&self, push: u64, partition: u32) -> Option<To> {
        let push = self.push.as_ref().filter(|own| own.number == push)?;
        push.asked.contains_key(&partition).then_some(push.to)
    }

    /// Makes the next attempt; it has a time limit.
    pub(crate) fn attempt(
        &mut self,
        partition: u32,
        members: Vec<StreamNumber>,
        net: &mut Network,
    ) -> Option<(Attempt, StreamRequest)> {
        let push = self.push.as_mut()?;
        let asked = push.asked.get_mut(&partition)?;
        *asked += 1;
        let (outsider, number) = (self.index, *asked);
        let attempt = Attempt { outsider, push: push.number, partition, number, members };
        let to = match push.to {
            To::Stream(number) => StreamSelector::Numbers(vec![number]),
            To::Group => StreamSelector::Group("default".into(), GROUP.into()),
        };
        let ask = StreamRequest::Push {
            to,
            messages: push.messages.clone(),
            key: Some(push_key(push.number)),
        };
        let silence = Event::OutsiderHears { attempt: attempt.clone(), said: None };
        net.within(1000, 6000, silence);
        Some((attempt, ask))
    }

    /// Nobody has the partition now.
    pub(crate) fn ask_later(&self, push: u64, partition: u32, net: &mut Network) {
        self.ask_within(push, partition, (50, 1500), net);
    }

    /// An answer comes, or word that none will.
    pub(crate) fn hear(
        &mut self,
        attempt: &Attempt,
        said: Option<&Said>,
        gives_up: bool,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(push) = self.push.as_mut().filter(|push| push.number == attempt.push) else {
            return;
        };
        if push.asked.get(&attempt.partition) != Some(&attempt.number) {
            return;
        }
        if let Some(said) = said {
            push.asked.remove(&attempt.partition);
            checker.on_push_answered(attempt.push, said);
        } else if gives_up {
            push.asked.clear();
            checker.on_push_given_up(attempt.push);
        } else {
            return self.ask_later(attempt.push, attempt.partition, net);
        }
        if push.asked.is_empty() {
            net.trace.note(net.now, "pushed", [self.index as u64, attempt.push, attempt.number]);
            self.push = None;
            self.rest(net);
        }
    }

    pub(crate) fn describe(&self) -> String {
        let push = self.push.as_ref().map(|push| (push.number, &push.asked));
        format!("outsider {}: {push:?}", self.index)
    }

    fn ask_within(&self, push: u64, partition: u32, span: (Time, Time), net: &mut Network) {
        net.within(span.0, span.1, Event::OutsiderAsks { outsider: self.index, push, partition });
    }
}
