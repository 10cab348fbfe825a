//! The network: connections between two nodes, each of which keeps its order and has a delay of its own, and may
//! be cut. What is under way when a connection is cut arrives up to some moment and then no more; each end
//! notices at a time of its own. Knows nothing of what it carries.

use std::collections::BTreeMap;

use crate::agenda::{Agenda, Time};
use crate::event::{Content, Event};
use crate::faults::{Fault, Faults};
use crate::random::Random;
use crate::trace::Trace;

/// A connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that dialled.
    Caller,
    /// The one that listens.
    Callee,
}

/// Who is at an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// A client's transport.
    Client { client: usize, transport: u64 },
    /// An edge's transport.
    EdgeTransport { edge: usize, transport: u64 },
    /// An edge's link to a core.
    EdgeLink { edge: usize, core: usize },
    /// A core's link.
    CoreLink { core: usize, link: u64 },
    /// An instance's call.
    App { app: usize, core: usize },
    /// A core's session.
    CoreSession { core: usize, session: u64 },
}

/// Whose an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Client(usize),
    Edge(usize),
    Core(usize),
    App(usize),
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// What is under way arrives for so long after the cut, to the caller and to the callee.
    pub(crate) arrives: [Time; 2],
    /// After so long each of them notices; not before what is under way has arrived.
    pub(crate) noticed: [Time; 2],
}

#[derive(Debug)]
struct Connection {
    nodes: [Node; 2],
    /// Which ends have not closed it, or noticed that it is gone.
    is_open: [bool; 2],
    /// Usual delay.
    delay: Time,
    /// When the last thing arrives, at each end.
    last: [Time; 2],
    /// If it is cut: until when things arrive, at each end.
    arrives_until: Option<[Time; 2]>,
    /// What is sent counts as written at once, not when it arrives.
    is_buffered: bool,
}

/// All connections, and what every node needs beside them: time, chance, the agenda.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) now: Time,
    pub(crate) agenda: Agenda,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    connections: BTreeMap<ConnId, Connection>,
    made: u64,
    /// Until then connections are slow.
    slow_until: Time,
}

impl Node {
    pub(crate) fn process(self) -> Process {
        match self {
            Self::Client { client, .. } => Process::Client(client),
            Self::EdgeTransport { edge, .. } | Self::EdgeLink { edge, .. } => Process::Edge(edge),
            Self::CoreLink { core, .. } | Self::CoreSession { core, .. } => Process::Core(core),
            Self::App { app, .. } => Process::App(app),
        }
    }
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            agenda: Agenda::default(),
            random: Random::new(seed),
            trace: Trace::default(),
            faults: Faults::default(),
            connections: BTreeMap::new(),
            made: 0,
            slow_until: 0,
        }
    }

    /// Puts something on the agenda, in so many milliseconds.
    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.agenda.put(self.now + delay, event);
    }

    /// Puts something on the agenda, at a random time within a span.
    pub(crate) fn within(&mut self, low: Time, high: Time, event: Event) {
        let delay = self.random.between(low, high);
        self.after(delay, event);
    }

    pub(crate) fn connect(&mut self, caller: Node, callee: Node) -> ConnId {
        self.made += 1;
        let id = ConnId(self.made);
        let connection = Connection {
            nodes: [caller, callee],
            is_open: [true; 2],
            delay: self.random.between(1, 8),
            last: [self.now; 2],
            arrives_until: None,
            is_buffered: self.random.percent(50),
        };
        self.connections.insert(id, connection);
        id
    }

    /// The callee of a connection is known only after it was made.
    pub(crate) fn set_callee(&mut self, id: ConnId, callee: Node) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.nodes[1] = callee;
        }
    }

    /// Sends from one end. Returns when it arrives, if nothing comes in between.
    pub(crate) fn send(&mut self, id: ConnId, from: Side, content: Content) -> Option<Time> {
        let to = from.other();
        let connection = self.connections.get_mut(&id).filter(|c| c.is_open[from as usize])?;
        let mut delay = connection.delay + self.random.between(0, connection.delay);
        if self.now < self.slow_until && self.random.percent(30) {
            delay += self.random.between(10, 1500);
        }
        let at = (self.now + delay).max(connection.last[to as usize]);
        connection.last[to as usize] = at;
        self.agenda.put(at, Event::Deliver { conn: id, to, content });
        Some(at)
    }

    /// Whether what is sent counts as written at once.
    pub(crate) fn is_buffered(&self, id: ConnId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.is_buffered)
    }

    /// Who gets what arrives; `None` if nobody does.
    pub(crate) fn arrive(&mut self, id: ConnId, to: Side, content: &Content) -> Option<Node> {
        let now = self.now;
        let connection = self.connections.get_mut(&id)?;
        let is_late = connection.arrives_until.is_some_and(|until| now > until[to as usize]);
        if !connection.is_open[to as usize] || is_late {
            if is_late && !matches!(content, Content::Closed) {
                self.faults.fire(Fault::TailLost);
            }
            return None;
        }
        let node = connection.nodes[to as usize];
        if matches!(content, Content::Closed) {
            self.leave(id, to);
        }
        Some(node)
    }

    /// Who notices that a connection is gone; `None` if it is closed there already.
    pub(crate) fn lose(&mut self, id: ConnId, at: Side) -> Option<Node> {
        let connection = self.connections.get(&id).filter(|c| c.is_open[at as usize])?;
        let node = connection.nodes[at as usize];
        self.leave(id, at);
        Some(node)
    }

    /// One end closes; what it has sent arrives first.
    pub(crate) fn close(&mut self, id: ConnId, from: Side) {
        self.send(id, from, Content::Closed);
        self.leave(id, from);
    }

    /// One end is gone without a word: what it had sent may not arrive.
    pub(crate) fn abort(&mut self, id: ConnId, from: Side) {
        let arrives = self.random.between(0, 10);
        self.cut(id, Cut { arrives: [arrives; 2], noticed: [arrives + 5; 2] });
        self.leave(id, from);
    }

    /// The connection breaks.
    pub(crate) fn cut(&mut self, id: ConnId, cut: Cut) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.arrives_until.is_some() {
            return;
        }
        connection.arrives_until = Some(cut.arrives.map(|after| now + after));
        for (index, at) in [Side::Caller, Side::Callee].into_iter().enumerate() {
            let noticed = cut.noticed[index].max(cut.arrives[index] + 1);
            self.agenda.put(now + noticed, Event::Lost { conn: id, at });
        }
    }

    /// A cut as chance wants it: whether tails are lost, and which end notices late.
    pub(crate) fn random_cut(&mut self, longest: Time) -> Cut {
        let random = &mut self.random;
        let mut arrives = [0; 2];
        for arrives in &mut arrives {
            *arrives = if random.percent(60) { random.between(0, 5) } else { 50 };
        }
        let mut noticed = [0; 2].map(|_: Time| random.between(1, 100));
        if random.percent(25) {
            let side = random.below(2);
            noticed[side] = random.between(longest / 4, longest);
            self.faults.fire(Fault::HalfOpen);
        }
        Cut { arrives, noticed }
    }

    /// The connections that are whole and have such a node at the caller's end.
    pub(crate) fn of_callers(&self, is_meant: impl Fn(Node) -> bool) -> Vec<ConnId> {
        let is_whole = |c: &Connection| c.arrives_until.is_none() && c.is_open == [true; 2];
        let all = self.connections.iter();
        all.filter(|(_, c)| is_whole(c) && is_meant(c.nodes[0])).map(|(id, _)| *id).collect()
    }

    /// The open ends of a process.
    pub(crate) fn ends_of(&self, is_meant: impl Fn(Node) -> bool) -> Vec<(ConnId, Side)> {
        let mut ends = Vec::new();
        for (id, connection) in &self.connections {
            for side in [Side::Caller, Side::Callee] {
                if connection.is_open[side as usize] && is_meant(connection.nodes[side as usize]) {
                    ends.push((*id, side));
                }
            }
        }
        ends
    }

    pub(crate) fn slow_down(&mut self, until: Time) {
        self.slow_until = until;
    }

    fn leave(&mut self, id: ConnId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.is_open[side as usize] = false;
        if connection.is_open == [false; 2] {
            self.connections.remove(&id);
        }
    }
}
