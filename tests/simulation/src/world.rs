//! All processes of one run, with network, store and checker, and the event loop. The real tasks of the cores run on
//! the same thread while the loop waits for the next event.

mod api_calls;
mod connections;
mod fault_injection;
mod stages;
mod store_faults;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::api_caller::{API_CALLERS, ApiCaller};
use crate::app::{App, AppSettings};
use crate::checker::Checker;
use crate::client::Client;
use crate::clock::Clock;
use crate::clock::Time;
use crate::connection::Node;
use crate::core::{Core, CoreInput, CoreOutput, CoreStopped, Deployment, State};
use crate::edge::Edge;
use crate::event::{Content, Event};
use crate::faults::Fault;
use crate::messages::service_of;
use crate::network::Network;
use crate::outcome::Outcome;
use crate::plan::{Options, Plan};
use crate::store::{Op, Store};
use crate::thief;
use crate::wake_flag::{LoopWaker, WakeFlag};

/// State of a run.
pub(crate) struct World {
    clock: Clock,
    plan: Plan,
    net: Network,
    checker: Checker,
    store: Store,
    clients: Vec<Client>,
    edges: Vec<Edge>,
    cores: Vec<Core>,
    apps: Vec<App>,
    api_callers: Vec<ApiCaller>,
    stopped: mpsc::UnboundedReceiver<CoreStopped>,
    /// Set when a core has stopped.
    stopped_flag: WakeFlag,
    waker: Arc<LoopWaker>,
    /// Count of changes from outside.
    changes: u64,
    phase: Phase,
}

/// Phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Faults occur.
    Faulty,
    /// No more faults: all messages must arrive until this time.
    Draining {
        until: Time,
    },
    /// All live streams were reset: both sides must receive the ends until this time.
    Ending {
        until: Time,
        /// Streams still live at this time are reset by their clients, since an instance may have lost them.
        retry_at: Time,
    },
    Over,
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let clock = Clock::start();
        let mut net = Network::new(seed);
        net.trace.is_printed = options.trace;
        let plan = Plan::new(options, &mut net);
        let store = Store::new(plan.stored_version);
        let versions = plan.versions(options.clients);
        let (sender, stopped) = mpsc::unbounded_channel();
        let waker = Arc::<LoopWaker>::default();
        let deployment = Deployment {
            partitions: plan.partitions,
            hash: plan.hash,
            limits: plan.limits.clone(),
            options: plan.options.clone(),
            serves_v3: versions.serves_v3,
            queue: store.queue.clone(),
            stopped: sender,
        };
        let checker = Checker::new(options, versions, plan.stored_version);
        let clients = (0..options.streams).map(|index| {
            let kind = net.random.pick(&minerva_client::TransportKind::ALL);
            Client::new(index, net.random.bits(), kind, options.messages, versions)
        });
        let clients = clients.collect();
        let is_old = |index: usize| plan.mixes_versions && index % 2 == 1;
        let edge = |index| Edge::new(index, clock, plan.s2c_window, plan.partitions, is_old(index));
        let app = |index| {
            let settings = AppSettings {
                service: index % plan.services,
                window: plan.app_window,
                total: options.messages,
                pace: plan.pace,
                is_old: versions.is_old_app(index),
                versions,
            };
            App::new(index, settings)
        };
        Self {
            clock,
            checker,
            store,
            clients,
            edges: (0..plan.edges).map(edge).collect(),
            cores: (0..plan.cores)
                .map(|i| Core::new(i, plan.is_standby(i), deployment.clone()))
                .collect(),
            apps: (0..plan.instances()).map(app).collect(),
            api_callers: (0..API_CALLERS).map(ApiCaller::new).collect(),
            stopped,
            stopped_flag: WakeFlag::new(&waker),
            waker,
            changes: 0,
            phase: Phase::Faulty,
            plan,
            net,
        }
    }

    /// Runs all phases.
    pub(crate) async fn run(mut self) -> Outcome {
        self.begin();
        while self.phase != Phase::Over {
            self.net.now = self.clock.now();
            while let Some(event) = self.net.events.pop_due(self.net.now) {
                self.handle(event);
            }
            self.store.take_calls(&mut self.net);
            self.advance();
            if self.phase != Phase::Over {
                self.wait().await;
            }
        }
        self.outcome()
    }

    fn begin(&mut self) {
        let cores = self.cores.len();
        (0..cores).for_each(|core| self.start_core(core));
        self.edges.iter_mut().for_each(|edge| edge.start(cores, &mut self.net));
        let late = self.plan.late_service_at;
        let is_late = |service: usize| late.is_some() && service + 1 == self.plan.services;
        for app in self.apps.iter_mut().filter(|app| !is_late(app.service())) {
            app.start(false, cores, &mut self.net);
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            client.start(&mut self.net, &mut self.checker);
            if is_late(service_of(index, self.plan.services)) {
                let until = self.net.random.between(1_000, 11_000);
                client.go_offline(until, &mut self.net, &mut self.checker);
            }
        }
        if let Some(at) = late {
            self.net.faults.fire(Fault::ServiceLate);
            for app in (0..self.apps.len()).filter(|app| is_late(self.apps[*app].service())) {
                self.net.events.schedule(at, Event::AppStarts { app, keeps_name: false });
            }
        }
        self.api_callers.iter().for_each(|api_caller| api_caller.schedule_push(&mut self.net));
        self.net.after(1000, Event::ChangeStart);
        self.net.after(1500, Event::Theft);
        self.plan.schedule(&mut self.net);
    }

    /// Lets the real tasks run until they produce outputs or store calls, or the next event is due.
    async fn wait(&mut self) {
        let next = self.net.events.next_time().unwrap_or(self.net.now + 1000);
        let deadline = self.clock.instant(next);
        let (mut outputs, mut stopped) = (Vec::new(), Vec::new());
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.poll_tasks(cx, &mut outputs, &mut stopped)) => {}
            () = sleep_until(deadline) => {}
        }
        self.net.now = self.clock.now();
        for (core, outputs) in outputs {
            self.cores[core].release(outputs, &mut self.net, &mut self.checker);
        }
        for stopped in stopped {
            self.on_core_stopped(&stopped);
        }
    }

    fn poll_tasks(
        &mut self,
        cx: &mut Context<'_>,
        outputs: &mut Vec<(usize, CoreOutput)>,
        stopped: &mut Vec<CoreStopped>,
    ) -> Poll<()> {
        for core in &mut self.cores {
            core.poll_outputs(cx, outputs);
        }
        self.waker.begin_poll(cx.waker());
        if let Some(mut cx) = self.stopped_flag.take() {
            while let Poll::Ready(Some(one)) = self.stopped.poll_recv(&mut cx) {
                stopped.push(one);
            }
        }
        let calls = self.store.queue.poll_waits(cx);
        if outputs.is_empty() && stopped.is_empty() { calls } else { Poll::Ready(()) }
    }

    /// Restarts a core that has released all partitions.
    fn on_core_stopped(&mut self, stopped: &CoreStopped) {
        let core = &mut self.cores[stopped.core];
        if core.life != stopped.life || core.state == State::Down {
            return;
        }
        self.net.trace.record(self.net.now, "core stopped", [stopped.core as u64, 0, 0]);
        core.end_calls(&mut self.net);
        self.crash_core(stopped.core, 50);
    }

    fn handle(&mut self, event: Event) {
        let (net, checker) = (&mut self.net, &mut self.checker);
        match event {
            Event::Deliver { conn, to, content } => {
                if let Some(node) = net.arrive(conn, to, &content) {
                    self.deliver(node, content);
                }
            }
            Event::Lost { conn, at } => {
                if let Some(node) = net.lose(conn, at) {
                    self.lost(node);
                }
            }
            Event::ClientDials { client, transport } => self.client_dials(client, transport),
            Event::ClientTimer { client, stamp } => {
                self.clients[client].on_timer(stamp, net, checker);
            }
            Event::ClientWorks { client } => {
                self.clients[client].work(self.plan.pace, net, checker)
            }
            Event::ClientWakes { client } => self.clients[client].wake(net, checker),
            Event::EdgeTimer { edge, life, transport, stamp } => {
                self.edges[edge].on_timer(life, transport, stamp, net, checker);
            }
            Event::EdgeWrote { edge, life, transport } => {
                self.edges[edge].on_wrote(life, transport, net, checker);
            }
            Event::EdgeDials { edge, life, core } => self.edge_dials(edge, life, core),
            Event::EdgeStarts { edge } => self.start_edge(edge),
            Event::EdgeStops { edge, life } => self.stop_edge(edge, life),
            Event::CoreStarts { core } => self.start_core(core),
            Event::CoreResumes { core, life } => self.cores[core].resume(life, net, checker),
            Event::AppDials { app, life, core } => self.app_dials(app, life, core),
            Event::AppStarts { app, keeps_name } => self.start_app(app, keeps_name),
            Event::AppWorks { app, life, stream } => {
                self.apps[app].work(life, stream, net, checker);
            }
            Event::PushStart { api_caller } => self.start_push(api_caller),
            Event::PushAttempt { api_caller, push, partition } => {
                self.attempt_push(api_caller, push, partition);
            }
            Event::ApiCallReply { attempt, outcomes } => {
                self.on_push_reply(&attempt, outcomes.as_ref())
            }
            Event::ChangeStart => self.start_change(),
            Event::Theft => self.start_theft(),
            Event::StorePerforms(call) => self.perform_store_call(*call),
            Event::StoreReplies(answered) => answered.arrive(),
            Event::StoreRollback { owners_die } => self.roll_back_store(owners_die),
            Event::BlobDamage { partition } => self.damage_store(partition),
            Event::Fault(fault) => self.inject(fault),
            Event::Reconnect => self.reconnect_clients(),
            Event::Heal => self.heal(),
        }
    }

    fn deliver(&mut self, node: Node, content: Content) {
        let (net, checker) = (&mut self.net, &mut self.checker);
        match node {
            Node::Client { client, transport } => {
                self.clients[client].on_content(transport, content, net, checker);
            }
            Node::Thief { client } => thief::on_content(client, &content, checker),
            Node::EdgeTransport { edge, transport } => {
                self.edges[edge].on_client(transport, content, net, checker);
            }
            Node::EdgeLink { edge, core } => {
                if let Content::FromCore(frames) = content {
                    self.edges[edge].on_core(core, frames, net, checker);
                } else {
                    self.edges[edge].on_link_lost(core, net, checker);
                }
            }
            Node::CoreLink { core, link } => {
                self.cores[core].receive(CoreInput::Link(link, content), net, checker);
            }
            Node::App { app, core } => {
                if let Content::Events(events) = content {
                    self.apps[app].on_events(core, events, net, checker);
                } else {
                    self.apps[app].on_lost(core, net);
                }
            }
            Node::CoreSession { core, session } => {
                self.cores[core].receive(CoreInput::Session(session, content), net, checker);
            }
        }
    }

    fn lost(&mut self, node: Node) {
        let (net, checker) = (&mut self.net, &mut self.checker);
        match node {
            Node::Client { client, transport } => {
                self.clients[client].on_lost(transport, net, checker);
            }
            Node::Thief { .. } => {}
            Node::EdgeTransport { edge, transport } => {
                self.edges[edge].on_client_lost(transport, net, checker);
            }
            Node::EdgeLink { edge, core } => self.edges[edge].on_link_lost(core, net, checker),
            Node::CoreLink { core, link } => {
                self.cores[core].receive(CoreInput::LinkLost(link), net, checker);
            }
            Node::App { app, core } => self.apps[app].on_lost(core, net),
            Node::CoreSession { core, session } => {
                self.cores[core].receive(CoreInput::SessionLost(session), net, checker);
            }
        }
    }

    fn perform_store_call(&mut self, call: crate::store::Call) {
        let (core, partition, op) = (call.core, call.partition, call.op.clone());
        let is_lost = self.store.begin_checkpoint_loss(&call);
        let (is_done, is_late) = self.store.perform(call, &mut self.net);
        if is_late {
            let text = format!("partition {partition} is written after its release");
            self.checker.violation(text);
        }
        if let (true, Op::Heartbeat { member, .. }) = (is_done, &op) {
            let permits = self.cores[core].permitted_version();
            self.checker.durable.on_heartbeat(&member.name, permits, self.store.members());
        }
        if is_done {
            self.checker.on_store_call(partition, &op, &self.store.data, self.net.now);
        }
        if is_lost {
            self.lose_checkpoint();
        }
    }
}
