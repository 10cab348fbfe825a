//! The network: connections with ordered delivery, an own delay each, and cuts. After a cut, data in flight is
//! delivered until a random time and then lost; each end notices the loss at its own time. Contents are opaque.

use std::collections::BTreeMap;

use crate::clock::Time;
use crate::connection::{ConnId, Cut, Node, Side};
use crate::event::{Content, Event};
use crate::event_queue::EventQueue;
use crate::faults::{Fault, Faults};
use crate::random::Random;
use crate::trace::Trace;

#[derive(Debug)]
struct Connection {
    nodes: [Node; 2],
    /// Ends that have neither closed the connection nor noticed its loss.
    is_open: [bool; 2],
    /// Base delay.
    delay: Time,
    /// Time of the last scheduled delivery at each end.
    last: [Time; 2],
    /// After a cut: the end of deliveries at each end.
    arrives_until: Option<[Time; 2]>,
    /// Sent data counts as written at once, not at delivery.
    is_buffered: bool,
}

/// All connections, with the shared state of a run: time, event queue, generator, trace and fault counts.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) now: Time,
    pub(crate) events: EventQueue<Event>,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    connections: BTreeMap<ConnId, Connection>,
    made: u64,
    /// End of the extra delays.
    slow_until: Time,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            events: EventQueue::new(),
            random: Random::new(seed),
            trace: Trace::default(),
            faults: Faults::default(),
            connections: BTreeMap::new(),
            made: 0,
            slow_until: 0,
        }
    }

    /// Schedules an event after a delay.
    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.events.schedule(self.now + delay, event);
    }

    /// Schedules an event after a random delay.
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

    /// Sets the callee, which is known only after the connection is made.
    pub(crate) fn set_callee(&mut self, id: ConnId, callee: Node) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.nodes[1] = callee;
        }
    }

    /// Sends from one end. Returns the time of delivery, unless a cut follows; `None` if the end is closed.
    pub(crate) fn send(&mut self, id: ConnId, from: Side, content: Content) -> Option<Time> {
        let to = from.other();
        let connection = self.connections.get_mut(&id).filter(|c| c.is_open[from as usize])?;
        let mut delay = connection.delay + self.random.between(0, connection.delay);
        if self.now < self.slow_until && self.random.percent(30) {
            delay += self.random.between(10, 1500);
        }
        let at = (self.now + delay).max(connection.last[to as usize]);
        connection.last[to as usize] = at;
        self.events.schedule(at, Event::Deliver { conn: id, to, content });
        Some(at)
    }

    /// Whether sent data counts as written at once.
    pub(crate) fn is_buffered(&self, id: ConnId) -> bool {
        self.connections.get(&id).is_none_or(|connection| connection.is_buffered)
    }

    /// The receiver of a delivery; `None` if the end is closed or the data is lost.
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

    /// The node that notices the loss of a connection; `None` if the end is closed.
    pub(crate) fn lose(&mut self, id: ConnId, at: Side) -> Option<Node> {
        let connection = self.connections.get(&id).filter(|c| c.is_open[at as usize])?;
        let node = connection.nodes[at as usize];
        self.leave(id, at);
        Some(node)
    }

    /// Closes one end after the delivery of its data.
    pub(crate) fn close(&mut self, id: ConnId, from: Side) {
        self.send(id, from, Content::Closed);
        self.leave(id, from);
    }

    /// Aborts one end; its data in flight may be lost.
    pub(crate) fn abort(&mut self, id: ConnId, from: Side) {
        let arrives = self.random.between(0, 10);
        self.cut(id, Cut { arrives: [arrives; 2], noticed: [arrives + 5; 2] });
        self.leave(id, from);
    }

    /// Cuts a connection.
    pub(crate) fn cut(&mut self, id: ConnId, cut: Cut) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.arrives_until.is_some() {
            return;
        }
        connection.arrives_until = Some(cut.arrives.map(|after| now + after));
        for (index, at) in [Side::Caller, Side::Callee].into_iter().enumerate() {
            let noticed = cut.noticed[index].max(cut.arrives[index] + 1);
            self.events.schedule(now + noticed, Event::Lost { conn: id, at });
        }
    }

    /// A random cut: lost tails, and possibly one end that notices late, after at most `longest`.
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

    /// The intact connections with a matching caller.
    pub(crate) fn of_callers(&self, is_meant: impl Fn(Node) -> bool) -> Vec<ConnId> {
        let is_whole = |c: &Connection| c.arrives_until.is_none() && c.is_open == [true; 2];
        let all = self.connections.iter();
        all.filter(|(_, c)| is_whole(c) && is_meant(c.nodes[0])).map(|(id, _)| *id).collect()
    }

    /// The open ends with a matching node.
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
