//! A client: the SDK's stream machine in a shell that stands for its driver and its transports, all four kinds,
//! and an application above it that sends numbered strings and takes what comes. Tells the checker what it takes.

mod driving;
mod reading;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use minerva_client::simulation::Machine;
use minerva_client::{Config, TransportKind};
use minerva_proto::{Framing, StreamId};

use crate::agenda::Time;
use crate::checker::{Checker, c2s_string, stream_id};
use crate::event::{Content, Event};
use crate::network::{ConnId, Network};

/// Strings received and not taken, beyond which none is acknowledged.
const MAX_RECEIVED: usize = 30;

/// One client with one stream.
pub(crate) struct Client {
    index: usize,
    machine: Machine,
    links: BTreeMap<u64, Link>,
    /// When the stream began.
    begun: Time,
    /// Strings queued so far, and how many there are to be.
    sent: u64,
    total: u64,
    /// Set while the application takes nothing.
    slow_until: Time,
    /// Set while it has no network.
    silent_until: Time,
    /// Which call of the timer counts.
    stamp: u64,
    armed: Option<Time>,
    told_end: bool,
}

/// One transport.
struct Link {
    kind: TransportKind,
    is_upload: bool,
    conn: Option<ConnId>,
    buffer: BytesMut,
    /// HTTP: the request was sent.
    is_asked: bool,
    /// Came while the application had no room.
    unread: VecDeque<Content>,
}

impl Client {
    pub(crate) fn new(index: usize, seed: u64, kind: TransportKind, total: u64, now: Time) -> Self {
        let mut config = Config::new("simulated:1", kind);
        config.heartbeat = Duration::from_secs(5);
        config.max_in_flight = 2000;
        config.max_queued_messages = 40;
        config.max_received_messages = MAX_RECEIVED;
        let id = stream_id(index);
        config.id = StreamId::parse(&id).ok();
        let machine = match StreamId::parse(&id) {
            Ok(id) => Machine::new(config, id, seed),
            Err(error) => unreachable!("{error}"),
        };
        Self {
            index,
            machine,
            links: BTreeMap::new(),
            begun: now,
            sent: 0,
            total,
            slow_until: 0,
            silent_until: 0,
            stamp: 0,
            armed: None,
            told_end: false,
        }
    }

    /// Begins.
    pub(crate) fn start(&mut self, net: &mut Network, checker: &mut Checker) {
        self.machine.on_timeout(self.time(net));
        net.within(1, 500, Event::ClientWorks { client: self.index });
        self.drive(net, checker);
    }

    /// The application sends some strings, and takes some.
    pub(crate) fn work(&mut self, pace: Time, net: &mut Network, checker: &mut Checker) {
        for _ in 0..net.random.between(1, 6) {
            if self.sent == self.total || self.machine.ended().is_some() {
                break;
            }
            let string = c2s_string(self.index, self.sent);
            if self.machine.push(self.time(net), string).is_none() {
                break;
            }
            self.sent += 1;
        }
        self.take_received(net, checker);
        if self.sent < self.total || self.machine.has_received() {
            let delay = if self.sent < self.total { pace } else { 100 };
            net.within(1, 2 * delay, Event::ClientWorks { client: self.index });
        }
        self.drive(net, checker);
    }

    pub(crate) fn on_timer(&mut self, stamp: u64, net: &mut Network, checker: &mut Checker) {
        if stamp == self.stamp {
            self.armed = None;
            self.machine.on_timeout(self.time(net));
            self.drive(net, checker);
        }
    }

    /// Whether a transport is to be dialled; what carries it.
    pub(crate) fn dials(&self, transport: u64) -> Option<TransportKind> {
        self.links.get(&transport).filter(|link| link.conn.is_none()).map(|link| link.kind)
    }

    /// A transport is connected, or could not be.
    pub(crate) fn on_dialled(
        &mut self,
        transport: u64,
        conn: Option<ConnId>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        match (self.links.get_mut(&transport), conn) {
            (Some(link), Some(conn)) => link.conn = Some(conn),
            (Some(_), None) => self.end_link(transport, false, net),
            (None, _) => {}
        }
        self.drive(net, checker);
    }

    /// Something came on a transport.
    pub(crate) fn on_content(
        &mut self,
        transport: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(link) = self.links.get_mut(&transport) else { return };
        if !self.machine.may_read(link.kind, link.is_upload) || !link.unread.is_empty() {
            link.unread.push_back(content);
        } else {
            self.read(transport, content, net, checker);
        }
        self.drive(net, checker);
    }

    /// A transport's connection is gone.
    pub(crate) fn on_lost(&mut self, transport: u64, net: &mut Network, checker: &mut Checker) {
        self.end_link(transport, false, net);
        self.drive(net, checker);
    }

    /// Goes over to another transport.
    pub(crate) fn switch(&mut self, kind: TransportKind, net: &mut Network, checker: &mut Checker) {
        self.machine.switch(self.time(net), kind);
        self.drive(net, checker);
    }

    /// Opens its primary transport anew.
    pub(crate) fn say_hello(&mut self, net: &mut Network, checker: &mut Checker) {
        let kind = self.links.values().last().map(|link| link.kind);
        if let Some(kind) = kind.filter(|_| !self.has_ended()) {
            self.switch(kind, net, checker);
        }
    }

    /// Has no network for a while.
    pub(crate) fn be_silent(&mut self, until: Time, net: &mut Network, checker: &mut Checker) {
        self.silent_until = until;
        net.trace.note(net.now, "client silent", [self.index as u64, until, 0]);
        net.agenda.put(until, Event::ClientWakes { client: self.index });
        self.machine.cut(self.time(net));
        self.drive(net, checker);
    }

    pub(crate) fn is_silent(&self, now: Time) -> bool {
        now < self.silent_until
    }

    /// Its application takes nothing for a while.
    pub(crate) fn be_slow(&mut self, until: Time, net: &mut Network) {
        self.slow_until = until;
        net.agenda.put(until, Event::ClientWakes { client: self.index });
    }

    /// It is as before.
    pub(crate) fn wake(&mut self, net: &mut Network, checker: &mut Checker) {
        self.take_received(net, checker);
        self.drive(net, checker);
    }

    /// Gives the stream up.
    pub(crate) fn reset(&mut self, net: &mut Network, checker: &mut Checker) {
        if self.machine.ended().is_none() {
            checker.on_client_resets(self.index);
            self.machine.reset(self.time(net), "client had enough");
            self.drive(net, checker);
        }
    }

    pub(crate) fn heal(&mut self, net: &mut Network) {
        (self.slow_until, self.silent_until) = (0, 0);
        net.after(1, Event::ClientWakes { client: self.index });
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.machine.ended().is_some()
    }

    /// All its strings are acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.machine.acknowledged() == self.total
    }

    /// How far it is, for whoever reads.
    pub(crate) fn describe(&self) -> String {
        format!(
            "client {}: sent {}, acknowledged {}, {} transports, alarm {:?}, ended {:?}",
            self.index,
            self.sent,
            self.machine.acknowledged(),
            self.links.len(),
            self.armed,
            self.machine.ended()
        )
    }

    fn time(&self, net: &Network) -> Duration {
        Duration::from_millis(net.now.saturating_sub(self.begun))
    }
}

pub(crate) fn is_socket(kind: TransportKind) -> bool {
    matches!(kind, TransportKind::Tcp | TransportKind::WebSocket)
}

fn framing(kind: TransportKind) -> Framing {
    if kind == TransportKind::Tcp { Framing::Int32 } else { Framing::Lines }
}
