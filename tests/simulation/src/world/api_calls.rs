//! Pushes of the API callers: choice of targets and cores.

use super::{Phase, World};
use crate::durable::partition_of;
use crate::push::{PushAttempt, PushOutcomes, PushTarget};

impl World {
    /// A caller begins a push to a random target.
    pub(super) fn start_push(&mut self, api_caller: usize) {
        if self.phase != Phase::Faulty {
            return;
        }
        let (net, checker) = (&mut self.net, &mut self.checker);
        let api_caller = &mut self.api_callers[api_caller];
        if net.random.percent(40) {
            return api_caller.begin(PushTarget::Group, 0..self.plan.partitions, net, checker);
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
        let members = match target {
            PushTarget::Stream(_) => Vec::new(),
            PushTarget::Group => self.checker.durable.members(partition),
        };
        let attempt = self.api_callers[api_caller].attempt(partition, members, &mut self.net);
        if let Some((attempt, request)) = attempt {
            self.cores[core].call(attempt, request);
        }
    }

    /// A caller receives a reply, or its attempt fails.
    pub(super) fn on_push_reply(&mut self, attempt: &PushAttempt, outcomes: Option<&PushOutcomes>) {
        let gives_up = self.phase == Phase::Faulty && self.net.random.percent(10);
        let (net, checker) = (&mut self.net, &mut self.checker);
        self.api_callers[attempt.api_caller].on_reply(attempt, outcomes, gives_up, net, checker);
    }
}
