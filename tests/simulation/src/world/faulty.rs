//! What goes wrong, and how it is healed.

use minerva_client::TransportKind;

use super::{Stage, World};
use crate::core::State;
use crate::event::{Event, Life};
use crate::faults::Fault;
use crate::network::{ConnId, Node, Process};

/// Time in which everything must have arrived once nothing goes wrong any more. Long, because an upload that waits
/// for room carries no SACK for the other direction: both can be full until the client gives it up.
const DRAIN_TIME: u64 = 900_000;

/// Time after which every partition has its last owner.
const HELLOS_AFTER: u64 = 15_000;

impl World {
    pub(super) fn go_wrong(&mut self, fault: Fault) {
        if self.stage != Stage::Faulty {
            return;
        }
        self.net.trace.note(self.net.now, "fault", [fault as u64, 0, 0]);
        self.net.trace.say(|| fault.name());
        match fault {
            Fault::CutClient | Fault::CutLink | Fault::CutApp => self.cut(fault),
            Fault::Delay => {
                self.net.faults.fire(fault);
                let until = self.net.now + self.net.random.between(500, 4000);
                self.net.slow_down(until);
            }
            Fault::EdgeCrash | Fault::EdgeDrain => self.hit_edge(fault),
            Fault::CoreCrash | Fault::HandOver | Fault::CorePause => self.hit_core(fault),
            Fault::AppCrash | Fault::AppRestart | Fault::AppAbsent => self.hit_app(fault),
            Fault::StoreSlow | Fault::StoreUnavailable | Fault::AnswerLost => self.hit_store(fault),
            Fault::Rollback | Fault::RollbackDeath => self.begin_rollback(fault),
            Fault::ClientMoves
            | Fault::ClientSilent
            | Fault::ClientSlow
            | Fault::ClientResets
            | Fault::AppResets => self.hit_client(fault),
            // They come with others.
            Fault::TailLost | Fault::HalfOpen | Fault::CallInterrupted | Fault::CallUnheard => {}
        }
    }

    fn cut(&mut self, fault: Fault) {
        let conns = self.net.of_callers(|node| {
            let kind = match node {
                Node::Client { .. } => Fault::CutClient,
                Node::EdgeLink { .. } => Fault::CutLink,
                Node::App { .. } => Fault::CutApp,
                Node::EdgeTransport { .. } | Node::CoreLink { .. } | Node::CoreSession { .. } => {
                    return false;
                }
            };
            kind == fault
        });
        if conns.is_empty() {
            return;
        }
        // Some, sometimes many of the clients' at once.
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

    /// An edge dies; it starts again later.
    pub(super) fn stop_edge(&mut self, edge: usize, life: Life) {
        if self.edges[edge].life != life || !self.edges[edge].is_up {
            return;
        }
        self.abort_all(|node| node.process() == Process::Edge(edge));
        self.edges[edge].crash();
        self.net.within(100, 5000, Event::EdgeStarts { edge });
    }

    fn hit_core(&mut self, fault: Fault) {
        // Mostly one that owns something.
        let any = self.net.random.below(self.cores.len());
        let owner = (0..self.cores.len()).find(|core| self.cores[*core].owned() > 0);
        let core = if self.net.random.percent(70) { owner.unwrap_or(any) } else { any };
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

    /// A core dies, with all that is under way; it starts again after a pause.
    pub(super) fn crash_core(&mut self, core: usize, pause: u64) {
        self.abort_all(|node| node.process() == Process::Core(core));
        self.cores[core].crash();
        self.net.after(pause + 1, Event::CoreStarts { core });
    }

    fn hit_app(&mut self, fault: Fault) {
        let app = self.net.random.below(self.apps.len());
        let hit = if fault == Fault::AppAbsent { 0..self.apps.len() } else { app..app + 1 };
        let pause = if fault == Fault::AppAbsent { (2000, 8000) } else { (10, 2000) };
        for app in hit.filter(|app| self.apps[*app].is_up).collect::<Vec<_>>() {
            self.net.faults.fire(fault);
            self.abort_all(|node| node.process() == Process::App(app));
            self.apps[app].crash();
            let keeps_name = fault == Fault::AppRestart;
            self.net.within(pause.0, pause.1, Event::AppStarts { app, keeps_name });
        }
    }

    fn hit_store(&mut self, fault: Fault) {
        let until = self.net.now + self.net.random.between(300, 4000);
        if fault == Fault::StoreSlow {
            self.store.be_slow(until);
        } else if fault == Fault::StoreUnavailable {
            self.store.be_unavailable(until);
        } else {
            self.store.lose_answers(until);
        }
    }

    fn begin_rollback(&mut self, fault: Fault) {
        if !self.store.is_going_back() {
            self.store.keep();
            let deadly = fault == Fault::RollbackDeath;
            self.net.within(20, 800, Event::StoreReturns { deadly });
        }
    }

    pub(super) fn store_returns(&mut self, deadly: bool) {
        if !self.store.go_back() {
            return;
        }
        self.net.faults.fire(if deadly { Fault::RollbackDeath } else { Fault::Rollback });
        if let Err(error) = self.checker.durable.go_back(&self.store.data) {
            self.checker.violation(format!("the store went back: {error}"));
        }
        self.net.trace.note(self.net.now, "store is back", [u64::from(deadly), 0, 0]);
        self.net.trace.say(|| self.checker.durable.describe());
        if deadly {
            for core in 0..self.cores.len() {
                self.crash_core(core, 50);
            }
        }
    }

    fn hit_client(&mut self, fault: Fault) {
        let client = self.net.random.below(self.clients.len());
        if self.clients[client].has_ended() {
            return;
        }
        let (net, checker) = (&mut self.net, &mut self.checker);
        if fault == Fault::ClientMoves {
            let kind = net.random.pick(&TransportKind::ALL);
            self.clients[client].switch(kind, net, checker);
        } else if fault == Fault::ClientSilent {
            self.silence(client);
        } else if fault == Fault::ClientSlow {
            let until = net.now + net.random.between(500, 5000);
            self.clients[client].be_slow(until, net);
            let app = net.random.below(self.apps.len());
            self.apps[app].be_slow(net.now + net.random.between(0, 2000));
        } else if fault == Fault::ClientResets {
            self.clients[client].reset(net, checker);
        } else if !self.apps.iter_mut().any(|app| app.reset(client, net, checker)) {
            return;
        }
        self.net.faults.fire(fault);
    }

    /// A client has no network for a while, sometimes longer than its stream lives without.
    fn silence(&mut self, client: usize) {
        let net = &mut self.net;
        let is_long = net.random.percent(30);
        let longest = if is_long { self.plan.max_idle + 10_000 } else { 8000 };
        let until = net.now + net.random.between(longest / 2, longest);
        if until - net.now > self.plan.max_idle / 2 {
            self.checker.on_long_silence(client);
        }
        self.clients[client].be_silent(until, net, &mut self.checker);
    }

    /// All clients say hello once more.
    pub(super) fn say_hellos(&mut self) {
        for client in &mut self.clients {
            client.say_hello(&mut self.net, &mut self.checker);
        }
    }

    /// From now on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        self.net.trace.note(self.net.now, "heal", [0; 3]);
        self.store.heal();
        self.net.slow_down(0);
        self.clients.iter_mut().for_each(|client| client.heal(&mut self.net));
        for core in 0..self.cores.len() {
            self.net.agenda.put(self.net.now + 1, Event::CoreStarts { core });
        }
        for edge in 0..self.edges.len() {
            self.net.agenda.put(self.net.now + 1, Event::EdgeStarts { edge });
        }
        for app in 0..self.apps.len() {
            self.net.agenda.put(self.net.now + 1, Event::AppStarts { app, keeps_name: false });
        }
        if self.checker.durable.has_gone_back() {
            self.net.after(HELLOS_AFTER, Event::Hellos);
        }
        self.stage = Stage::Draining { until: self.net.now + DRAIN_TIME };
    }
}
