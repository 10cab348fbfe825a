//! Fault injection, and the end of all faults.

use minerva_client::TransportKind;

use super::{Phase, World};
use crate::connection::{ConnId, Node, Process};
use crate::core::State;
use crate::event::{Event, Life};
use crate::faults::Fault;

/// Time limit for the arrival of all messages after the last fault, in milliseconds. Long, because an upload that
/// waits for room carries no SACK for the other direction: both can be full until the client aborts the upload.
const DRAIN_TIME: u64 = 900_000;

/// Time until every partition has its final owner, in milliseconds.
const RECONNECT_DELAY: u64 = 15_000;

impl World {
    pub(super) fn inject(&mut self, fault: Fault) {
        if self.phase != Phase::Faulty {
            return;
        }
        self.net.trace.record(self.net.now, "fault", [fault as u64, 0, 0]);
        self.net.trace.detail(|| fault.name());
        match fault {
            Fault::CutClient | Fault::CutLink | Fault::CutApp => self.cut(fault),
            Fault::Delay => {
                self.net.faults.fire(fault);
                let until = self.net.now + self.net.random.between(500, 4000);
                self.net.slow_down(until);
            }
            Fault::EdgeCrash | Fault::EdgeDrain => self.hit_edge(fault),
            Fault::CoreCrash | Fault::HandOver | Fault::CorePause => self.hit_core(fault),
            Fault::AppCrash | Fault::AppRestart | Fault::AppAbsent | Fault::ServiceAbsent => {
                self.hit_app(fault)
            }
            Fault::StoreSlow | Fault::StoreUnavailable | Fault::StoreReplyLost => {
                self.hit_store(fault)
            }
            Fault::StoreFull => {
                let until = self.net.now + self.net.random.between(10_000, 30_000);
                self.store.fill_until(until);
            }
            Fault::Rollback
            | Fault::RollbackDeath
            | Fault::PartitionRollback
            | Fault::PartitionRollbackDeath => self.begin_rollback(fault),
            Fault::LostCheckpoint => self.store.lose_next_checkpoint(),
            Fault::StoreCutOff | Fault::SplitBrain => self.cut_off(fault),
            Fault::StoreClockStep => self.step_store_clock(),
            Fault::BlobDamage => self.begin_damage(),
            Fault::TransportSwitch
            | Fault::ClientOffline
            | Fault::ClientSlow
            | Fault::ClientResets
            | Fault::AppResets => self.hit_client(fault),
            // Side effects of other faults.
            Fault::TailLost
            | Fault::HalfOpen
            | Fault::OldCore
            | Fault::OldPeer
            | Fault::FencedWrite
            | Fault::ServiceLate
            | Fault::AppFinishes
            | Fault::CallerResets
            | Fault::CallInterrupted
            | Fault::CallReplyLost
            | Fault::KeyTheft => {}
        }
    }

    fn cut(&mut self, fault: Fault) {
        let conns = self.net.of_callers(|node| {
            let kind = match node {
                Node::Client { .. } => Fault::CutClient,
                Node::EdgeLink { .. } => Fault::CutLink,
                Node::App { .. } => Fault::CutApp,
                Node::Thief { .. }
                | Node::EdgeTransport { .. }
                | Node::CoreLink { .. }
                | Node::CoreSession { .. } => return false,
            };
            kind == fault
        });
        if conns.is_empty() {
            return;
        }
        // One connection, sometimes ten connections of clients.
        let many = if fault == Fault::CutClient && self.net.random.percent(20) { 10 } else { 1 };
        for _ in 0..many {
            let conn: ConnId = self.net.random.pick(&conns);
            let cut = self.net.random_cut(10_000);
            self.net.cut(conn, cut);
            self.net.faults.fire(fault);
        }
    }

    fn hit_edge(&mut self, fault: Fault) {
        let edge = self.net.random.below(self.edges.len());
        if !self.edges[edge].accepts() {
            return;
        }
        self.net.faults.fire(fault);
        let life = self.edges[edge].life;
        if fault == Fault::EdgeDrain {
            self.edges[edge].drain(&mut self.net, &mut self.checker);
            self.net.within(1000, 5000, Event::EdgeStops { edge, life });
        } else {
            self.stop_edge(edge, life);
        }
    }

    /// Crashes an edge and schedules its restart.
    pub(super) fn stop_edge(&mut self, edge: usize, life: Life) {
        if self.edges[edge].life != life || !self.edges[edge].is_up {
            return;
        }
        self.abort_all(|node| node.process() == Process::Edge(edge));
        self.edges[edge].crash();
        self.net.within(100, 5000, Event::EdgeStarts { edge });
    }

    fn hit_core(&mut self, fault: Fault) {
        let core = self.some_core();
        if self.cores[core].state != State::Up {
            return;
        }
        self.net.faults.fire(fault);
        if fault == Fault::HandOver {
            self.cores[core].stop();
        } else if fault == Fault::CorePause {
            self.cores[core].pause();
            let life = self.cores[core].life;
            self.net.within(200, 15_000, Event::CoreResumes { core, life });
        } else {
            let pause = self.net.random.between(50, 6000);
            self.crash_core(core, pause);
        }
    }

    /// A random core, usually one with partitions.
    pub(super) fn some_core(&mut self) -> usize {
        let any = self.net.random.below(self.cores.len());
        let owner = (0..self.cores.len()).find(|core| self.cores[*core].owned() > 0);
        if self.net.random.percent(70) { owner.unwrap_or(any) } else { any }
    }

    /// Crashes a core and schedules its restart.
    pub(super) fn crash_core(&mut self, core: usize, pause: u64) {
        self.abort_all(|node| node.process() == Process::Core(core));
        self.cores[core].crash();
        self.net.after(pause + 1, Event::CoreStarts { core });
    }

    fn hit_app(&mut self, fault: Fault) {
        let app = self.net.random.below(self.apps.len());
        let service = self.apps[app].service();
        let (all, of_service) = (fault == Fault::AppAbsent, fault == Fault::ServiceAbsent);
        let is_hit = |other: &usize| {
            all || *other == app || of_service && self.apps[*other].service() == service
        };
        let hit: Vec<usize> =
            (0..self.apps.len()).filter(|app| is_hit(app) && self.apps[*app].is_up).collect();
        let pause = match (all, of_service) {
            (true, _) => (2000, 8000),
            (_, true) => (3000, 20_000),
            (false, false) => (10, 2000),
        };
        for app in hit {
            self.net.faults.fire(fault);
            self.abort_all(|node| node.process() == Process::App(app));
            self.apps[app].crash(&mut self.checker);
            let keeps_name = fault == Fault::AppRestart;
            self.net.within(pause.0, pause.1, Event::AppStarts { app, keeps_name });
        }
    }

    fn hit_client(&mut self, fault: Fault) {
        let client = self.net.random.below(self.clients.len());
        if self.clients[client].has_ended() {
            return;
        }
        let (net, checker) = (&mut self.net, &mut self.checker);
        if fault == Fault::TransportSwitch {
            let kind = net.random.pick(&TransportKind::ALL);
            self.clients[client].switch(kind, net, checker);
        } else if fault == Fault::ClientOffline {
            self.take_offline(client);
        } else if fault == Fault::ClientSlow {
            let until = net.now + net.random.between(500, 5000);
            self.clients[client].slow_down(until, net);
            let app = net.random.below(self.apps.len());
            self.apps[app].slow_down(net.now + net.random.between(0, 2000));
        } else if fault == Fault::ClientResets {
            self.clients[client].reset(net, checker);
        } else if net.now.is_multiple_of(3) {
            if !self.apps.iter_mut().any(|app| app.reset(client, net, checker)) {
                return;
            }
        } else {
            if self.apps.iter_mut().any(|app| app.finish(client, net, checker)) {
                self.net.faults.fire(Fault::AppFinishes);
            }
            return;
        }
        self.net.faults.fire(fault);
    }

    /// Takes a client offline, sometimes beyond the idle limit of its stream.
    fn take_offline(&mut self, client: usize) {
        let net = &mut self.net;
        let is_long = net.random.percent(30);
        let longest = if is_long { self.plan.max_idle + 10_000 } else { 8000 };
        let until = net.now + net.random.between(longest / 2, longest);
        let since = self.clients[client].offline_since(net.now);
        if until - since > self.plan.max_idle / 2 {
            self.checker.on_long_offline(client);
        }
        self.clients[client].go_offline(until, net, &mut self.checker);
    }

    /// Reopens the primary transports of all clients.
    pub(super) fn reconnect_clients(&mut self) {
        for client in &mut self.clients {
            client.reconnect(&mut self.net, &mut self.checker);
        }
    }

    /// Ends all faults and restarts all processes.
    pub(super) fn heal(&mut self) {
        self.net.trace.record(self.net.now, "heal", [0; 3]);
        self.store.heal();
        self.net.slow_down(0);
        self.clients.iter_mut().for_each(|client| client.heal(&mut self.net));
        for core in 0..self.cores.len() {
            self.net.events.schedule(self.net.now + 1, Event::CoreStarts { core });
        }
        for edge in 0..self.edges.len() {
            self.net.events.schedule(self.net.now + 1, Event::EdgeStarts { edge });
        }
        for app in 0..self.apps.len() {
            self.net.events.schedule(self.net.now + 1, Event::AppStarts { app, keeps_name: false });
        }
        if self.checker.durable.has_rolled_back() {
            self.net.after(RECONNECT_DELAY, Event::Reconnect);
        }
        self.phase = Phase::Draining { until: self.net.now + DRAIN_TIME };
    }
}
