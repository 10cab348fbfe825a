//! What outsiders do to the streams: whom they mean, and which core they ask.

use super::{Stage, World};
use crate::durable::partition_of;
use crate::outsider::{Attempt, Said, To};

impl World {
    /// An outsider looks for somebody to push to.
    pub(super) fn outsider_begins(&mut self, outsider: usize) {
        if self.stage != Stage::Faulty {
            return;
        }
        let (net, checker) = (&mut self.net, &mut self.checker);
        let outsider = &mut self.outsiders[outsider];
        if net.random.percent(40) {
            return outsider.begin(To::Group, 0..self.plan.partitions, net, checker);
        }
        let client = net.random.below(self.clients.len());
        match checker.number(client) {
            Some(number) => {
                let partition = partition_of(number);
                outsider.begin(To::Stream(number), partition..partition + 1, net, checker);
            }
            None => outsider.rest(net),
        }
    }

    /// An outsider asks a core that says that it has the partition.
    pub(super) fn outsider_asks(&mut self, outsider: usize, push: u64, partition: u32) {
        let Some(to) = self.outsiders[outsider].target(push, partition) else { return };
        let owns = |core: &usize| self.cores[*core].says_it_owns(partition);
        let owners: Vec<usize> = (0..self.cores.len()).filter(owns).collect();
        if owners.is_empty() {
            return self.outsiders[outsider].ask_later(push, partition, &mut self.net);
        }
        let core = self.net.random.pick(&owners);
        let members = match to {
            To::Stream(_) => Vec::new(),
            To::Group => self.checker.durable.members(partition),
        };
        let attempt = self.outsiders[outsider].attempt(partition, members, &mut self.net);
        if let Some((attempt, ask)) = attempt {
            self.cores[core].call(attempt, ask);
        }
    }

    /// An outsider gets an answer, or none in time.
    pub(super) fn outsider_hears(&mut self, attempt: &Attempt, said: Option<&Said>) {
        let gives_up = self.stage == Stage::Faulty && self.net.random.percent(10);
        let (net, checker) = (&mut self.net, &mut self.checker);
        self.outsiders[attempt.outsider].hear(attempt, said, gives_up, net, checker);
    }
}
