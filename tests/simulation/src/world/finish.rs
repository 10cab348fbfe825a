//! How a run comes to its end: everything drains, then every stream ends, each within a bounded time.

use super::{Stage, World};
use crate::outsider::Outsider;
use crate::run::Outcome;

/// Time in which both sides must know of an end; and streams that nobody knows must have idled away.
const END_TIME: u64 = 300_000;

impl World {
    /// Looks whether a stage is over.
    pub(super) fn advance(&mut self) {
        if !self.checker.violations().is_empty() {
            // What follows would only be more of the same.
            self.stage = Stage::Over;
            return;
        }
        let clients = 0..self.clients.len();
        match self.stage {
            Stage::Faulty | Stage::Over => {}
            Stage::Draining { until } => {
                let is_drained = self.outsiders.iter().all(Outsider::is_idle)
                    && clients.clone().all(|client| self.is_drained(client));
                if is_drained {
                    self.net.trace.note(self.net.now, "drained", [0; 3]);
                    self.end_streams();
                } else if self.net.now > until {
                    self.complain("does not drain", Self::is_drained);
                }
            }
            Stage::Ending { until, again } => {
                if self.net.now > again {
                    self.stage = Stage::Ending { until, again: until };
                    for client in &mut self.clients {
                        client.reset(&mut self.net, &mut self.checker);
                    }
                }
                let over = clients.clone().all(|client| self.checker.is_over(client));
                if over && self.checker.durable.streams() == 0 {
                    self.stage = Stage::Over;
                } else if self.net.now > until {
                    self.complain("does not end", |world, client| world.checker.is_over(client));
                }
            }
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        for (index, client) in self.clients.iter().enumerate() {
            let text = || format!("{}; {}", client.describe(), self.checker.describe(index));
            self.net.trace.say(text);
        }
        Outcome {
            violations: self.checker.violations().to_vec(),
            faults: self.net.faults.clone(),
            messages: self.checker.messages,
            virtual_ms: self.net.now,
            trace: self.net.trace.hash(),
        }
    }

    fn is_drained(&self, client: usize) -> bool {
        self.checker.is_drained(client)
            && (self.clients[client].is_done() || self.clients[client].has_ended())
    }

    /// Half of the streams that live are ended by their clients, half by the application.
    fn end_streams(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].has_ended() {
                continue;
            }
            let (net, checker) = (&mut self.net, &mut self.checker);
            let by_app = client % 4 < 2;
            if !(by_app && self.apps.iter_mut().any(|app| app.reset(client, net, checker))) {
                self.clients[client].reset(net, checker);
            }
        }
        let now = self.net.now;
        self.stage = Stage::Ending { until: now + END_TIME, again: now + END_TIME / 10 };
    }

    fn complain(&mut self, what: &str, is_fine: impl Fn(&Self, usize) -> bool) {
        let mut texts = Vec::new();
        for client in 0..self.clients.len() {
            if !is_fine(self, client) {
                let (shell, record) =
                    (self.clients[client].describe(), self.checker.describe(client));
                texts.push(format!("client {client} {what}: {shell}; {record}"));
            }
        }
        let apps: Vec<String> = self.apps.iter().map(super::App::describe).collect();
        let outsiders = self.outsiders.iter().filter(|outsider| !outsider.is_idle());
        texts.extend(outsiders.map(Outsider::describe));
        texts.push(format!(
            "after {} ms, {} streams are stored; {}",
            self.net.now,
            self.checker.durable.streams(),
            apps.join("; ")
        ));
        texts.into_iter().for_each(|text| self.checker.violation(text));
        self.stage = Stage::Over;
    }
}
