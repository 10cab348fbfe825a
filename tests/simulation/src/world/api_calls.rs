//! Calls from outside: choice of targets and cores.

use minerva_core::partition::{StreamRequest, StreamSelector};
use minerva_proto::Reset;

use super::{Phase, World};
use crate::durable::partition_of;
use crate::event::Event;
use crate::faults::Fault;
use crate::push::{
    ChangeKind, EVERYBODY, LABELS, OutsideCall, OutsideChange, PushAttempt, PushOutcomes,
    PushTarget, SOME,
};

impl World {
    /// A caller begins a push to a random target.
    pub(super) fn start_push(&mut self, api_caller: usize) {
        if self.phase != Phase::Faulty {
            return;
        }
        let (net, checker) = (&mut self.net, &mut self.checker);
        let api_caller = &mut self.api_callers[api_caller];
        let service = net.random.below(self.plan.services);
        let target = match net.random.between(0, 9) {
            0..=2 => Some(PushTarget::Group(service, EVERYBODY)),
            3 => Some(PushTarget::Group(service, SOME)),
            4 => Some(PushTarget::Label(service, net.random.pick(&LABELS))),
            _ => None,
        };
        if let Some(target) = target {
            return api_caller.begin(target, 0..self.plan.partitions, net, checker);
        }
        let client = net.random.below(self.clients.len());
        match checker.number(client) {
            Some(number) => {
                let partition = partition_of(number);
                api_caller.begin(
                    PushTarget::Stream(number),
                    partition..partition + 1,
                    net,
                    checker,
                );
            }
            None => api_caller.schedule_push(net),
        }
    }

    /// A caller sends its request to a core that announces the partition.
    pub(super) fn attempt_push(&mut self, api_caller: usize, push: u64, partition: u32) {
        let Some(target) = self.api_callers[api_caller].target(push, partition) else { return };
        let owns = |core: &usize| self.cores[*core].announces(partition);
        let owners: Vec<usize> = (0..self.cores.len()).filter(owns).collect();
        if owners.is_empty() {
            return self.api_callers[api_caller].retry_later(push, partition, &mut self.net);
        }
        let core = self.net.random.pick(&owners);
        let audience = self.checker.durable.audience(partition, target);
        let attempt = self.api_callers[api_caller].attempt(partition, audience, &mut self.net);
        if let Some((attempt, request)) = attempt {
            self.cores[core].call(OutsideCall::Push(attempt), request);
        }
    }

    /// A caller receives a reply, or its attempt fails.
    pub(super) fn on_push_reply(&mut self, attempt: &PushAttempt, outcomes: Option<&PushOutcomes>) {
        let gives_up = self.phase == Phase::Faulty && self.net.random.percent(10);
        let (net, checker) = (&mut self.net, &mut self.checker);
        self.api_callers[attempt.api_caller].on_reply(attempt, outcomes, gives_up, net, checker);
    }

    /// A program outside the services changes a random stream; an interrupted change is not repeated.
    pub(super) fn start_change(&mut self) {
        if self.phase != Phase::Faulty {
            return;
        }
        self.net.within(100, 1500, Event::ChangeStart);
        let client = self.net.random.below(self.clients.len());
        let kind = match self.net.random.between(0, 79) {
            0..=29 => ChangeKind::Label(Some(self.net.random.pick(&LABELS))),
            30..=34 => ChangeKind::Label(None),
            35..=64 => ChangeKind::Join,
            65..=78 => ChangeKind::Leave,
            _ => ChangeKind::Reset,
        };
        let Some(stream) = self.checker.number(client) else { return };
        let owns = |core: &usize| self.cores[*core].announces(partition_of(stream));
        let owners: Vec<usize> = (0..self.cores.len()).filter(owns).collect();
        if owners.is_empty() {
            return;
        }
        let core = self.net.random.pick(&owners);
        self.changes += 1;
        let change = OutsideChange { number: self.changes, client, stream, kind };
        self.net.trace.record(self.net.now, "change", [change.number, client as u64, stream.0]);
        self.net.trace.detail(|| format!("{kind:?}"));
        if kind == ChangeKind::Reset {
            self.net.faults.fire(Fault::CallerResets);
            self.checker.on_caller_reset(client);
        }
        self.cores[core].call(OutsideCall::Change(change), request(&change));
    }
}

fn request(change: &OutsideChange) -> StreamRequest {
    let to = StreamSelector::Numbers(vec![change.stream]);
    match change.kind {
        ChangeKind::Label(label) => StreamRequest::SetLabel(to, label.map(Into::into)),
        ChangeKind::Join => StreamRequest::Join(to, SOME.into()),
        ChangeKind::Leave => StreamRequest::Leave(to, SOME.into()),
        ChangeKind::Reset => StreamRequest::Reset(to, Reset::new("caller had enough", true)),
    }
}
