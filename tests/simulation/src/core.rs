//! A core: the real ownership task, with the real partitions' tasks below it, over the simulated store, in a shell
//! that stands for its links and its calls.

mod calls;
mod link;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use minerva_core::limits::Limits;
use minerva_core::partition::{
    LinkHandle, LinkId, OutputReceiver, PartitionOptions, PartitionTable, StreamReply,
    output_channel,
};
use minerva_core::simulation::{SimulatedProcess, in_process, run_ownership};
use minerva_core::stream::AppOutput;
use minerva_proto::link::CoreFrame;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use self::calls::Waiting;
use self::link::Link;
pub(crate) use self::link::TransportWatch;
use self::session::Session;
use crate::checker::Checker;
use crate::event::{Content, Life};
use crate::network::{ConnId, Network, Side};
use crate::outsider::Attempt;
use crate::store::{CallQueue, StoreHandle};

/// Outputs taken at once.
const MANY: usize = 256;

/// The link of which no edge knows: it hears what the core owns.
const SPY: LinkId = LinkId(u64::MAX);

/// What the tasks of cores tell the run: one has given everything back.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) core: usize,
    pub(crate) life: Life,
}

/// What all cores of a run have in common.
#[derive(Clone)]
pub(crate) struct Deployment {
    pub(crate) partitions: u32,
    pub(crate) limits: Limits,
    pub(crate) options: PartitionOptions,
    pub(crate) queue: CallQueue,
    pub(crate) news: mpsc::UnboundedSender<News>,
}

/// One core.
pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) life: Life,
    pub(crate) state: State,
    is_standby: bool,
    deployment: Deployment,
    process: Option<Process>,
    links: BTreeMap<u64, Link>,
    sessions: BTreeMap<u64, Session>,
    /// From outside.
    calls: Vec<Waiting>,
    /// What came while it stood still.
    held: VecDeque<Arrived>,
    /// Numbers given to links and sessions.
    numbered: u64,
}

/// What a core is while it lives.
struct Process {
    partitions: PartitionTable,
    suspension: Arc<SimulatedProcess>,
    task: AbortHandle,
    /// Makes it give everything back.
    resign: Option<oneshot::Sender<()>>,
    /// Hears what it owns.
    spy: OutputReceiver<CoreFrame>,
    owned: BTreeSet<u32>,
}

/// What a core does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Down,
    Up,
    /// Stands still.
    Paused,
    /// Gives its partitions back, then starts anew.
    Stopping,
}

/// Something that arrives at a core.
pub(crate) enum Arrived {
    Link(u64, Content),
    LinkLost(u64),
    Session(u64, Content),
    SessionLost(u64),
}

/// What a core's partitions said.
pub(crate) enum Said {
    Edge(u64, Vec<CoreFrame>),
    App(u64, Vec<AppOutput>),
    /// `None`: nobody knows what was done.
    Outside(Attempt, Option<StreamReply>),
}

impl Core {
    pub(crate) fn new(index: usize, is_standby: bool, deployment: Deployment) -> Self {
        Self {
            index,
            life: 0,
            state: State::Down,
            is_standby,
            deployment,
            process: None,
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            calls: Vec::new(),
            held: VecDeque::new(),
            numbered: 0,
        }
    }

    pub(crate) fn start(&mut self) {
        self.life += 1;
        self.state = State::Up;
        let Deployment { partitions, limits, options, queue, news } = self.deployment.clone();
        let partitions = PartitionTable::new(partitions);
        let (spying, spy) = output_channel();
        partitions.add_link(LinkHandle { id: SPY, outputs: spying });
        let (resign, resigned) = oneshot::channel();
        let options = PartitionOptions { standby: self.is_standby, ..options };
        let name: Arc<str> = self.name().into();
        let store = Arc::new(StoreHandle::new(self.index, Arc::clone(&name), queue));
        let owning = run_ownership(name, store, partitions.clone(), limits, options, resigned);
        let suspension = Arc::<SimulatedProcess>::default();
        let (core, life) = (self.index, self.life);
        let task = tokio::spawn(in_process(Arc::clone(&suspension), async move {
            owning.await;
            // The run may be over.
            let _ = news.send(News { core, life });
        }));
        let (task, resign, owned) = (task.abort_handle(), Some(resign), BTreeSet::new());
        self.process = Some(Process { partitions, suspension, task, resign, spy, owned });
    }

    /// It is gone; its connections were cut by the caller.
    pub(crate) fn crash(&mut self) {
        self.state = State::Down;
        if let Some(process) = self.process.take() {
            process.task.abort();
        }
        self.links.clear();
        self.sessions.clear();
        self.calls.clear();
        self.held.clear();
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.state != State::Down
    }

    /// How many partitions it serves, as far as it has said.
    pub(crate) fn owned(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.owned.len())
    }

    /// Stands still.
    pub(crate) fn pause(&mut self) {
        self.state = State::Paused;
        if let Some(process) = &self.process {
            process.suspension.suspend();
        }
    }

    /// Goes on.
    pub(crate) fn resume(&mut self, life: Life, net: &mut Network, checker: &mut Checker) {
        if life != self.life || self.state != State::Paused {
            return;
        }
        self.state = State::Up;
        if let Some(process) = &self.process {
            process.suspension.resume();
        }
        for arrived in std::mem::take(&mut self.held) {
            self.arrive(arrived, net, checker);
        }
    }

    /// PartitionTable are given back; calls end when that is done.
    pub(crate) fn stop(&mut self) {
        self.state = State::Stopping;
        if let Some(resign) = self.process.as_mut().and_then(|process| process.resign.take()) {
            // The task may be gone.
            let _ = resign.send(());
        }
    }

    /// Ends all calls, in order.
    pub(crate) fn end_calls(&mut self, net: &mut Network) {
        for link in self.links.values() {
            net.close(link.conn, Side::Callee);
        }
        for session in self.sessions.values() {
            net.close(session.conn, Side::Callee);
        }
    }

    /// Something arrives; if it stands still, later.
    pub(crate) fn arrive(&mut self, arrived: Arrived, net: &mut Network, checker: &mut Checker) {
        if self.state == State::Paused {
            self.held.push_back(arrived);
            return;
        }
        match arrived {
            Arrived::Link(link, content) => self.on_link(link, content, net, checker),
            Arrived::LinkLost(link) => self.on_link_lost(link, net),
            Arrived::Session(session, content) => self.on_session(session, content, net, checker),
            Arrived::SessionLost(session) => self.on_session_lost(session, net),
        }
    }

    /// The next number of a link or session.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    pub(crate) fn accept_link(&mut self, number: u64, conn: ConnId) {
        self.links.insert(number, Link::new(number, conn));
    }

    pub(crate) fn accept_session(&mut self, number: u64, conn: ConnId) {
        self.sessions.insert(number, Session::new(number, conn));
    }

    /// Takes what its partitions said, or arranges to be woken.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>, said: &mut Vec<(usize, Said)>) {
        if self.state == State::Paused {
            return;
        }
        if let Some(process) = &mut self.process {
            process.look(cx);
        }
        for (number, link) in &mut self.links {
            let mut outputs = Vec::new();
            while let Poll::Ready(1..) = link.receiver.poll_many(cx, &mut outputs, MANY) {}
            if !outputs.is_empty() {
                said.push((self.index, Said::Edge(*number, outputs)));
            }
        }
        for (number, session) in &mut self.sessions {
            let Some(receiver) = &mut session.receiver else { continue };
            let mut outputs = Vec::new();
            while let Poll::Ready(1..) = receiver.poll_many(cx, &mut outputs, MANY) {}
            if !outputs.is_empty() {
                said.push((self.index, Said::App(*number, outputs)));
            }
        }
        self.poll_calls(cx, said);
    }

    /// What a partition said is let out.
    pub(crate) fn let_out(&mut self, said: Said, net: &mut Network, checker: &mut Checker) {
        match said {
            Said::Edge(number, outputs) => {
                if let Some(link) = self.links.get_mut(&number) {
                    link.let_out(outputs, net, checker);
                }
            }
            Said::App(number, outputs) => {
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.let_out(outputs, net, checker);
                }
            }
            Said::Outside(attempt, answer) => calls::let_out(attempt, answer, net, checker),
        }
    }

    fn name(&self) -> String {
        format!("core-{}-{}", self.index, self.life)
    }

    fn partitions(&self) -> Option<PartitionTable> {
        self.process.as_ref().map(|process| process.partitions.clone())
    }
}

impl Process {
    /// Hears what it owns.
    fn look(&mut self, cx: &mut Context<'_>) {
        let mut outputs = Vec::new();
        while let Poll::Ready(1..) = self.spy.poll_many(cx, &mut outputs, MANY) {}
        for output in outputs {
            if let CoreFrame::Owned(claims) = output {
                self.owned.extend(claims.iter().map(|claim| claim.partition));
            } else if let CoreFrame::Released(partitions) = output {
                self.owned.retain(|partition| !partitions.contains(partition));
            }
        }
    }
}
