//! The phases after the faults: all messages drain, then all streams end, each within a time limit.

use super::{Phase, World};
use crate::api_caller::ApiCaller;
use crate::outcome::Outcome;

/// Time limit for the ends of all streams, including the idle timeout of orphaned streams, in milliseconds.
const END_TIME: u64 = 300_000;

impl World {
    /// Moves to the next phase if the current one is complete.
    pub(super) fn advance(&mut self) {
        if !self.checker.violations().is_empty() {
            // Later violations are consequences of the first.
            self.phase = Phase::Over;
            return;
        }
        let clients = 0..self.clients.len();
        match self.phase {
            Phase::Faulty | Phase::Over => {}
            Phase::Draining { until } => {
                let is_drained = self.api_callers.iter().all(ApiCaller::is_idle)
                    && clients.clone().all(|client| self.is_drained(client));
                if is_drained {
                    self.net.trace.record(self.net.now, "drained", [0; 3]);
                    self.end_streams();
                } else if self.net.now > until {
                    self.report_incomplete("does not drain", Self::is_drained);
                }
            }
            Phase::Ending { until, retry_at } => {
                if self.net.now > retry_at {
                    self.phase = Phase::Ending { until, retry_at: until };
                    for client in &mut self.clients {
                        client.reset(&mut self.net, &mut self.checker);
                    }
                }
                let over = clients.clone().all(|client| self.checker.is_over(client));
                if over && self.checker.durable.streams() == 0 {
                    self.phase = Phase::Over;
                    if let Some(dropped) = self.checker.durable.dropped_damage(&self.store.data) {
                        self.checker.violation(format!("damage is not kept aside: {dropped:?}"));
                    }
                } else if self.net.now > until {
                    self.report_incomplete("does not end", |world, client| {
                        world.checker.is_over(client)
                    });
                }
            }
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        for (index, client) in self.clients.iter().enumerate() {
            let text = || format!("{}; {}", client.describe(), self.checker.describe(index));
            self.net.trace.detail(text);
        }
        Outcome {
            violations: self.checker.violations().to_vec(),
            reassigned: self.checker.reassigned().to_vec(),
            faults: self.net.faults.clone(),
            messages: self.checker.messages,
            tagged_streams: self.checker.tagged_streams(),
            virtual_ms: self.net.now,
            trace: self.net.trace.hash(),
        }
    }

    fn is_drained(&self, client: usize) -> bool {
        self.checker.is_drained(client)
            && (self.clients[client].is_done() || self.clients[client].has_ended())
    }

    /// Ends all live streams: half by their clients, a quarter by a reset and a quarter by a finish of the application.
    fn end_streams(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].has_ended() {
                continue;
            }
            let (net, checker) = (&mut self.net, &mut self.checker);
            let by_app = client % 4 < 2;
            let by_finish = client % 4 == 0;
            let is_ended = by_app
                && self.apps.iter_mut().any(|app| {
                    if by_finish {
                        app.finish(client, net, checker)
                    } else {
                        app.reset(client, net, checker)
                    }
                });
            if !is_ended {
                self.clients[client].reset(net, checker);
            }
        }
        let now = self.net.now;
        self.phase = Phase::Ending { until: now + END_TIME, retry_at: now + END_TIME / 10 };
    }

    fn report_incomplete(&mut self, problem: &str, is_complete: impl Fn(&Self, usize) -> bool) {
        let mut texts = Vec::new();
        for client in 0..self.clients.len() {
            if !is_complete(self, client) {
                let (shell, record) =
                    (self.clients[client].describe(), self.checker.describe(client));
                texts.push(format!("client {client} {problem}: {shell}; {record}"));
            }
        }
        let apps: Vec<String> = self.apps.iter().map(super::App::describe).collect();
        let api_callers = self.api_callers.iter().filter(|api_caller| !api_caller.is_idle());
        texts.extend(api_callers.map(ApiCaller::describe));
        texts.push(format!(
            "after {} ms, these streams are stored: {:?}; {}",
            self.net.now,
            self.checker.durable.describe_streams(),
            apps.join("; ")
        ));
        texts.into_iter().for_each(|text| self.checker.violation(text));
        self.phase = Phase::Over;
    }
}
