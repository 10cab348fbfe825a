//! The world of one run: all nodes, the network, the store and the checker, and the loop that makes time pass. One
//! thread: real tasks (the partitions) run while the loop waits; everything else is done by the loop itself,
//! event by event.

mod dials;
mod faulty;
mod finish;
mod outside;

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::agenda::Time;
use crate::app::App;
use crate::checker::Checker;
use crate::client::Client;
use crate::clock::Clock;
use crate::core::{Arrived, Core, Deployment, News, Said, State};
use crate::edge::Edge;
use crate::event::{Content, Event};
use crate::network::{Network, Node};
use crate::outsider::{OUTSIDERS, Outsider};
use crate::plan::{Options, Plan};
use crate::run::Outcome;
use crate::store::Store;

/// Everything there is.
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
    outsiders: Vec<Outsider>,
    news: mpsc::UnboundedReceiver<News>,
    stage: Stage,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Things go wrong.
    Faulty,
    /// Nothing goes wrong any more: all that is under way must arrive by then.
    Draining {
        until: Time,
    },
    /// The streams that live are ended: all must hear of it by then.
    Ending {
        until: Time,
        /// Those that live then are ended by their clients: an instance may have lost them in the meantime.
        again: Time,
    },
    Over,
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let clock = Clock::start();
        let mut net = Network::new(seed);
        net.trace.is_printed = options.trace;
        let plan = Plan::new(options, &mut net);
        let store = Store::default();
        let (sender, news) = mpsc::unbounded_channel();
        let deployment = Deployment {
            partitions: plan.partitions,
            limits: plan.limits.clone(),
            options: plan.options.clone(),
            queue: store.queue.clone(),
            news: sender,
        };
        let clients = (0..options.streams).map(|index| {
            let kind = net.random.pick(&minerva_client::TransportKind::ALL);
            Client::new(index, net.random.bits(), kind, options.messages, 0)
        });
        let clients = clients.collect();
        let edge = |index| Edge::new(index, clock, plan.s2c_window, plan.partitions);
        let app = |index| App::new(index, plan.app_window, options.messages, plan.pace);
        Self {
            clock,
            checker: Checker::new(options.streams, options.messages),
            store,
            clients,
            edges: (0..plan.edges).map(edge).collect(),
            cores: (0..plan.cores)
                .map(|i| Core::new(i, plan.is_standby(i), deployment.clone()))
                .collect(),
            apps: (0..plan.apps).map(app).collect(),
            outsiders: (0..OUTSIDERS).map(Outsider::new).collect(),
            news,
            stage: Stage::Faulty,
            plan,
            net,
        }
    }

    /// Runs to the end.
    pub(crate) async fn run(mut self) -> Outcome {
        self.begin();
        while self.stage != Stage::Over {
            self.net.now = self.clock.now();
            while let Some(event) = self.net.agenda.take(self.net.now) {
                self.happen(event);
            }
            self.store.take_calls(&mut self.net);
            self.advance();
            if self.stage != Stage::Over {
                self.wait().await;
            }
        }
        self.outcome()
    }

    fn begin(&mut self) {
        let cores = self.cores.len();
        self.cores.iter_mut().for_each(Core::start);
        self.edges.iter_mut().for_each(|edge| edge.start(cores, &mut self.net));
        self.apps.iter_mut().for_each(|app| app.start(false, cores, &mut self.net));
        for client in &mut self.clients {
            client.start(&mut self.net, &mut self.checker);
        }
        self.outsiders.iter().for_each(|outsider| outsider.rest(&mut self.net));
        self.plan.schedule(&mut self.net);
    }

    /// Lets the partitions run until something happens: they say something, or time has passed.
    async fn wait(&mut self) {
        let next = self.net.agenda.next().unwrap_or(self.net.now + 1000);
        let deadline = self.clock.instant(next);
        let (mut said, mut news) = (Vec::new(), Vec::new());
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.poll_tasks(cx, &mut said, &mut news)) => {}
            () = sleep_until(deadline) => {}
        }
        self.net.now = self.clock.now();
        for (core, said) in said {
            self.cores[core].let_out(said, &mut self.net, &mut self.checker);
        }
        for news in news {
            self.on_news(&news);
        }
    }

    fn poll_tasks(
        &mut self,
        cx: &mut Context<'_>,
        said: &mut Vec<(usize, Said)>,
        news: &mut Vec<News>,
    ) -> Poll<()> {
        for core in &mut self.cores {
            core.poll_said(cx, said);
        }
        while let Poll::Ready(Some(one)) = self.news.poll_recv(cx) {
            news.push(one);
        }
        let calls = self.store.queue.poll_waits(cx);
        if said.is_empty() && news.is_empty() { calls } else { Poll::Ready(()) }
    }

    /// A core has given everything back: its calls end, and it starts anew.
    fn on_news(&mut self, news: &News) {
        let core = &mut self.cores[news.core];
        if core.life != news.life || core.state == State::Down {
            return;
        }
        self.net.trace.note(self.net.now, "core has stopped", [news.core as u64, 0, 0]);
        core.end_calls(&mut self.net);
        self.crash_core(news.core, 50);
    }

    fn happen(&mut self, event: Event) {
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
            Event::OutsiderBegins { outsider } => self.outsider_begins(outsider),
            Event::OutsiderAsks { outsider, push, partition } => {
                self.outsider_asks(outsider, push, partition);
            }
            Event::OutsiderHears { attempt, said } => self.outsider_hears(&attempt, said.as_ref()),
            Event::StoreActs(call) => self.store_acts(*call),
            Event::StoreAnswers(answered) => answered.arrive(),
            Event::StoreReturns { deadly } => self.store_returns(deadly),
            Event::Fault(fault) => self.go_wrong(fault),
            Event::Hellos => self.say_hellos(),
            Event::Heal => self.heal(),
        }
    }

    fn deliver(&mut self, node: Node, content: Content) {
        let (net, checker) = (&mut self.net, &mut self.checker);
        match node {
            Node::Client { client, transport } => {
                self.clients[client].on_content(transport, content, net, checker);
            }
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
                self.cores[core].arrive(Arrived::Link(link, content), net, checker);
            }
            Node::App { app, core } => {
                if let Content::Events(events) = content {
                    self.apps[app].on_core(core, events, net, checker);
                } else {
                    self.apps[app].on_lost(core, net);
                }
            }
            Node::CoreSession { core, session } => {
                self.cores[core].arrive(Arrived::Session(session, content), net, checker);
            }
        }
    }

    fn lost(&mut self, node: Node) {
        let (net, checker) = (&mut self.net, &mut self.checker);
        match node {
            Node::Client { client, transport } => {
                self.clients[client].on_lost(transport, net, checker);
            }
            Node::EdgeTransport { edge, transport } => {
                self.edges[edge].on_client_lost(transport, net, checker);
            }
            Node::EdgeLink { edge, core } => self.edges[edge].on_link_lost(core, net, checker),
            Node::CoreLink { core, link } => {
                self.cores[core].arrive(Arrived::LinkLost(link), net, checker);
            }
            Node::App { app, core } => self.apps[app].on_lost(core, net),
            Node::CoreSession { core, session } => {
                self.cores[core].arrive(Arrived::SessionLost(session), net, checker);
            }
        }
    }

    fn store_acts(&mut self, call: crate::store::Call) {
        let (partition, op) = (call.partition, call.op.clone());
        let (is_done, is_late) = self.store.act(call, &mut self.net);
        if is_late {
            let text = format!("partition {partition} is written after it was given back");
            self.checker.violation(text);
        }
        if is_done && let Err(error) = self.checker.durable.on_act(partition, &op, &self.store.data)
        {
            self.checker.violation(format!("partition {partition}: {error}"));
        }
    }
}
