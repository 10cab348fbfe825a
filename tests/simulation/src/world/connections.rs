//! Dialling: connections from clients to edges, from edges and instances to cores; starts of processes.

use minerva_client::TransportKind;
use minerva_client::simulation::WireVersion;
use minerva_proto::TransportNumber;

use super::{Phase, World};
use crate::connection::{ConnId, Node, Side};
use crate::core::{Release, State};
use crate::edge::Edge;
use crate::event::{Content, Event, Life};
use crate::faults::Fault;
use crate::messages::{service_name, service_of};
use crate::thief;

impl World {
    /// Connects a client through the load balancer to a random edge; usually to another edge if the first one is down.
    pub(super) fn client_dials(&mut self, client: usize, transport: TransportNumber) {
        let Some((kind, version)) = self.clients[client].dials(transport) else { return };
        let (is_offline, needs_new) =
            (self.clients[client].is_offline(self.net.now), self.clients[client].needs_new_edge());
        let edge = self.some_edge(needs_new).filter(|_| !is_offline);
        let conn = edge.map(|edge| {
            let caller = Node::Client { client, transport };
            let conn = self.net.connect(caller, Node::EdgeTransport { edge, transport: 0 });
            let (net, checker) = (&mut self.net, &mut self.checker);
            let service = service_name(service_of(client, self.plan.services));
            let (versions, selected) = self.edges[edge].versions_of(kind, version);
            let accepted = self.edges[edge].accept(conn, (kind, versions), service, net, checker);
            self.net.set_callee(conn, Node::EdgeTransport { edge, transport: accepted });
            (conn, selected)
        });
        self.clients[client].on_dialled(transport, conn, &mut self.net, &mut self.checker);
    }

    /// A stranger attaches to the stream of a client of version 3, with the id but without the key.
    pub(super) fn start_theft(&mut self) {
        if self.phase != Phase::Faulty {
            return;
        }
        self.net.within(500, 3000, Event::Theft);
        let client = self.net.random.below(self.clients.len());
        if !self.clients[client].needs_new_edge() || self.checker.number(client).is_none() {
            return;
        }
        let Some(edge) = self.some_edge(true) else { return };
        let kind = TransportKind::WebSocket;
        let (versions, selected) = self.edges[edge].versions_of(kind, WireVersion::V3);
        if selected != WireVersion::V3 {
            return;
        }
        let callee = Node::EdgeTransport { edge, transport: 0 };
        let conn = self.net.connect(Node::Thief { client }, callee);
        let service = service_name(service_of(client, self.plan.services));
        let (net, checker) = (&mut self.net, &mut self.checker);
        let transport = self.edges[edge].accept(conn, (kind, versions), service, net, checker);
        self.net.set_callee(conn, Node::EdgeTransport { edge, transport });
        self.net.faults.fire(Fault::KeyTheft);
        let bytes = thief::hello(client, &mut self.net.random);
        self.net.send(conn, Side::Caller, Content::ToEdge { bytes, last: false });
    }

    pub(super) fn edge_dials(&mut self, edge: usize, life: Life, core: usize) {
        if self.edges[edge].life != life || !self.edges[edge].needs_link(core) {
            return;
        }
        let conn = self.cores[core].is_reachable().then(|| {
            let link = self.cores[core].next_number();
            let caller = self.edges[edge].node_of_link(core);
            let conn = self.net.connect(caller, Node::CoreLink { core, link });
            self.cores[core].accept_link(link, conn);
            conn
        });
        self.edges[edge].on_dialled(core, conn, &mut self.net);
    }

    pub(super) fn app_dials(&mut self, app: usize, life: Life, core: usize) {
        if self.apps[app].life != life || !self.apps[app].needs_call(core) {
            return;
        }
        let conn = self.cores[core].is_reachable().then(|| {
            let session = self.cores[core].next_number();
            let callee = Node::CoreSession { core, session };
            let conn = self.net.connect(Node::App { app, core }, callee);
            self.cores[core].accept_session(session, conn);
            conn
        });
        self.apps[app].on_dialled(core, conn, &mut self.net);
    }

    pub(super) fn start_edge(&mut self, edge: usize) {
        if !self.edges[edge].is_up {
            let cores = self.cores.len();
            self.edges[edge].start(cores, &mut self.net);
        }
    }

    pub(super) fn start_core(&mut self, core: usize) {
        if self.cores[core].state == State::Down {
            // An upgrade or a downgrade, if the release differs from the one before.
            let is_old = self.plan.mixes_versions && self.net.random.percent(40);
            // Release 0.1 cannot read content of version 2.
            let release = match self.store.data.stored_version() {
                _ if !is_old => Release::New,
                0 | 1 if self.net.random.percent(50) => Release::Old,
                _ => Release::Pinned,
            };
            if is_old {
                self.net.faults.fire(Fault::OldCore);
            }
            self.cores[core].start(release);
        }
    }

    pub(super) fn start_app(&mut self, app: usize, keeps_name: bool) {
        if !self.apps[app].is_up {
            let cores = self.cores.len();
            self.apps[app].start(keeps_name, cores, &mut self.net);
        }
    }

    /// Aborts the matching ends, as the death of a process does.
    pub(super) fn abort_all(&mut self, is_meant: impl Fn(Node) -> bool) {
        let ends: Vec<(ConnId, Side)> = self.net.ends_of(is_meant);
        for (conn, side) in ends {
            self.net.abort(conn, side);
        }
    }

    /// A random edge that a client can use.
    fn some_edge(&mut self, needs_new: bool) -> Option<usize> {
        let fits = |edge: &Edge| !needs_new || edge.is_new();
        let fitting: Vec<usize> =
            (0..self.edges.len()).filter(|edge| fits(&self.edges[*edge])).collect();
        let edge = *fitting.get(self.net.random.below(fitting.len().max(1)))?;
        if self.edges[edge].accepts() || self.net.random.percent(30) {
            return Some(edge).filter(|edge| self.edges[*edge].accepts());
        }
        fitting.into_iter().find(|edge| self.edges[*edge].accepts())
    }
}
