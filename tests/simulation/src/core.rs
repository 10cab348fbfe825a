//! A core: real partition tasks over the simulated store, in a shell that stands for its links, its calls and its
//! ownership. It claims what it can get, tells its links and instances, and serves until it dies, stops or is
//! fenced.

mod link;
mod session;
mod standing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use minerva_core::limits::Limits;
use minerva_core::partition::{Mail, MailReceiver, Partition, PartitionOptions, Partitions, Setup};
use minerva_core::simulation::live_clock;
use minerva_core::store::{Claimed, StoreError};
use minerva_core::stream::{AppOutput, EdgeOutput, Millis};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use self::link::Link;
pub(crate) use self::link::TransportWatch;
use self::session::Session;
use self::standing::{Standing, standing};
use crate::checker::Checker;
use crate::event::{Content, Event, Life};
use crate::network::{ConnId, Network, Side};
use crate::store::{Answer, Answered, Call, CallQueue, Op, Reply, StoreHandle};

/// Outputs taken at once.
const MANY: usize = 256;

/// What the tasks of cores tell the run.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) core: usize,
    pub(crate) life: Life,
    pub(crate) partition: u32,
    pub(crate) result: Result<(), StoreError>,
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
    deployment: Deployment,
    router: Option<Partitions>,
    mailboxes: BTreeMap<u32, MailReceiver>,
    owned: BTreeMap<u32, Owned>,
    claiming: bool,
    links: BTreeMap<u64, Link>,
    sessions: BTreeMap<u64, Session>,
    standing: Arc<Standing>,
    /// What came while it stood still.
    held: VecDeque<Arrived>,
    /// Told when a partition is given back.
    numbered: u64,
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

struct Owned {
    epoch: u64,
    task: AbortHandle,
}

/// Something that arrives at a core.
pub(crate) enum Arrived {
    Link(u64, Content),
    LinkLost(u64),
    Session(u64, Content),
    SessionLost(u64),
    Store(Box<Answered>),
}

/// What a core's partitions said.
pub(crate) enum Said {
    Edge(u64, Vec<EdgeOutput>),
    App(u64, Vec<AppOutput>),
}

impl Core {
    pub(crate) fn new(index: usize, deployment: Deployment) -> Self {
        Self {
            index,
            life: 0,
            state: State::Down,
            deployment,
            router: None,
            mailboxes: BTreeMap::new(),
            owned: BTreeMap::new(),
            claiming: false,
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            standing: Arc::default(),
            held: VecDeque::new(),
            numbered: 0,
        }
    }

    pub(crate) fn start(&mut self, net: &mut Network) {
        self.life += 1;
        self.state = State::Up;
        self.claiming = false;
        self.standing = Arc::default();
        let (router, mailboxes) = Partitions::new(self.deployment.partitions);
        self.router = Some(router);
        self.mailboxes = (0..).zip(mailboxes).collect();
        net.within(1, 20, Event::CoreClaims { core: self.index, life: self.life });
    }

    /// It is gone; its connections were cut by the caller.
    pub(crate) fn crash(&mut self) {
        self.state = State::Down;
        for owned in std::mem::take(&mut self.owned).into_values() {
            owned.task.abort();
        }
        self.router = None;
        self.mailboxes.clear();
        self.links.clear();
        self.sessions.clear();
        self.held.clear();
    }

    pub(crate) fn is_reachable(&self) -> bool {
        matches!(self.state, State::Up | State::Paused)
    }

    pub(crate) fn owns_all(&self) -> bool {
        self.state == State::Up && self.owned.len() == self.deployment.partitions as usize
    }

    pub(crate) fn owns_any(&self) -> bool {
        !self.owned.is_empty()
    }

    /// Stands still.
    pub(crate) fn pause(&mut self) {
        self.state = State::Paused;
        self.standing.stop();
    }

    /// Goes on.
    pub(crate) fn resume(&mut self, net: &mut Network, checker: &mut Checker) {
        self.state = State::Up;
        self.standing.go_on();
        for arrived in std::mem::take(&mut self.held) {
            self.arrive(arrived, net, checker);
        }
    }

    /// Calls end, then partitions are given back.
    pub(crate) fn stop(&mut self, net: &mut Network) {
        self.state = State::Stopping;
        let Some(router) = &self.router else { return };
        for link in std::mem::take(&mut self.links).into_values() {
            net.close(link.conn, Side::Callee);
            router.send_to_all(|_| Mail::LinkLost(link.id()));
        }
        for session in std::mem::take(&mut self.sessions).into_values() {
            net.close(session.conn, Side::Callee);
            router.send_to_all(|_| Mail::Left(session.id()));
        }
        for partition in self.owned.keys() {
            // Its end is told by its task.
            let (done, _) = oneshot::channel();
            router.send(*partition, Mail::Stop { done });
        }
    }

    /// Claims what it does not have. Whoever has the first partition claims the others.
    pub(crate) fn claim(&mut self, net: &mut Network) {
        net.after(250, Event::CoreClaims { core: self.index, life: self.life });
        if self.state != State::Up || self.claiming {
            return;
        }
        let mut missing = self.mailboxes.keys().copied();
        let Some(partition) =
            missing.next().filter(|first| *first == 0 || self.owned.contains_key(&0))
        else {
            return;
        };
        self.claiming = true;
        let op = Op::Claim(format!("core-{}-{}", self.index, self.life));
        let (core, life, reply) = (self.index, self.life, Reply::Core);
        self.deployment.queue.put(Call { core, life, partition, op, reply, is_mute: false });
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
            Arrived::Store(answered) => self.on_claimed(*answered, net, checker),
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

    /// A partition's task has ended.
    pub(crate) fn on_ended(&mut self, partition: u32) {
        self.owned.remove(&partition);
    }

    /// Takes what its partitions said, or arranges to be woken.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>, said: &mut Vec<(usize, Said)>) {
        if self.state == State::Paused {
            return;
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
        }
    }

    fn on_claimed(&mut self, answered: Answered, net: &mut Network, checker: &mut Checker) {
        self.claiming = false;
        match answered.outcome {
            Ok(Answer::Claimed(claimed)) => self.begin(answered.partition, &claimed, net, checker),
            Ok(_) => checker.violation("a claim was answered with something else".to_owned()),
            Err(error) => net.trace.say(|| format!("core {} cannot claim: {error}", self.index)),
        }
    }

    /// Serves a partition that was claimed.
    fn begin(
        &mut self,
        partition: u32,
        claimed: &Claimed,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(mail) = self.mailboxes.remove(&partition) else { return };
        let numbers = [self.index as u64, partition.into(), claimed.epoch.0];
        net.trace.note(net.now, "core owns", numbers);
        let handle = StoreHandle::new(self.index, self.life, self.deployment.queue.clone());
        let setup = Setup {
            partition,
            store: Arc::new(handle),
            mail,
            limits: self.deployment.limits.clone(),
            options: self.deployment.options.clone(),
            clock: live_clock(),
            wall_clock: Arc::new(|| Millis(1)),
            counters: Arc::default(),
        };
        let recovered = match Partition::recover(setup, claimed) {
            Ok(recovered) => recovered,
            Err(error) => return checker.violation(format!("partition {partition}: {error}")),
        };
        let (core, life, news) = (self.index, self.life, self.deployment.news.clone());
        let serving = standing(recovered.serve(), self.standing.clone());
        let task = tokio::spawn(async move {
            let result = serving.await;
            // The run may be over.
            let _ = news.send(News { core, life, partition, result });
        });
        let owned = Owned { epoch: claimed.epoch.0, task: task.abort_handle() };
        self.owned.insert(partition, owned);
        self.introduce(partition, net);
        // The next one at once.
        if !self.mailboxes.is_empty() {
            self.claim(net);
        }
    }

    /// Tells links and sessions of a partition, and the partition of the sessions.
    fn introduce(&mut self, partition: u32, net: &mut Network) {
        let Some(owned) = self.owned.get(&partition) else { return };
        for link in self.links.values_mut().filter(|link| link.is_greeted) {
            link.tell_owned(vec![(partition, owned.epoch)], net);
        }
    }
}
