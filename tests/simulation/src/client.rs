//! A client: the SDK's stream machine in a shell that stands for its driver and its transports, all four kinds,
//! and an application above it that sends numbered strings and takes what comes. Tells the checker what it takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use minerva_client::simulation::{Machine, Wish};
use minerva_client::{Config, TransportKind};
use minerva_proto::{Frame, Framing, MAX_FRAME, StreamId};

use crate::agenda::Time;
use crate::checker::{Checker, c2s_string, stream_id};
use crate::event::{Content, Event};
use crate::network::{ConnId, Network, Side};

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
        config.max_queued_strings = 40;
        config.max_received_strings = MAX_RECEIVED;
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

    fn read(&mut self, transport: u64, content: Content, net: &mut Network, checker: &mut Checker) {
        match content {
            Content::Down(bytes) => self.read_bytes(transport, &bytes, net, checker),
            Content::DownEnd { complete } => self.end_link(transport, complete, net),
            Content::Closed => self.end_link(transport, false, net),
            Content::Up { .. }
            | Content::ToCore(_)
            | Content::FromCore(_)
            | Content::Commands(_)
            | Content::Events(_) => {}
        }
    }

    fn read_bytes(
        &mut self,
        transport: u64,
        bytes: &[u8],
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let now = self.time(net);
        let Some(link) = self.links.get_mut(&transport) else { return };
        link.buffer.extend_from_slice(bytes);
        let framing = framing(link.kind);
        let mut frames = Vec::new();
        while let Ok(Some(raw)) = framing.cut(&mut link.buffer, MAX_FRAME) {
            match Frame::decode(raw) {
                Ok(frame) => frames.push(frame),
                Err(error) => checker.violation(format!("client {}: {error}", self.index)),
            }
        }
        net.trace.say(|| format!("client {} reads on {transport}: {frames:?}", self.index));
        for frame in frames {
            checker.on_client_frame(self.index, &frame);
            self.machine.on_frame(now, transport, frame);
        }
        self.fetch(net, checker);
    }

    /// Moves what is in order out of the machine.
    fn fetch(&mut self, net: &mut Network, checker: &mut Checker) {
        self.machine.fetch(self.time(net));
        self.take_received(net, checker);
    }

    fn take_received(&mut self, net: &mut Network, checker: &mut Checker) {
        if net.now < self.slow_until {
            return;
        }
        while let Some(string) = self.machine.take(self.time(net)) {
            checker.on_client_takes(self.index, &string);
        }
        let unread: Vec<u64> =
            self.links.iter().filter(|(_, l)| !l.unread.is_empty()).map(|(n, _)| *n).collect();
        for transport in unread {
            self.read_on(transport, net, checker);
        }
    }

    fn read_on(&mut self, transport: u64, net: &mut Network, checker: &mut Checker) {
        while let Some(link) = self.links.get_mut(&transport)
            && self.machine.may_read(link.kind, link.is_upload)
            && let Some(content) = link.unread.pop_front()
        {
            self.read(transport, content, net, checker);
        }
    }

    /// A transport is over, not by our own wish.
    fn end_link(&mut self, transport: u64, finished: bool, net: &mut Network) {
        if let Some(link) = self.links.remove(&transport) {
            if let Some(conn) = link.conn {
                net.close(conn, Side::Caller);
            }
            self.machine.on_end(self.time(net), transport, finished);
        }
    }

    /// Does what the machine wants.
    fn drive(&mut self, net: &mut Network, checker: &mut Checker) {
        self.fetch(net, checker);
        loop {
            while let Some(wish) = self.machine.next_wish() {
                self.grant(wish, net);
            }
            if !self.write(net) {
                break;
            }
        }
        self.machine.tell_reading(self.time(net));
        self.arm(net);
        if let Some(ended) = self.machine.ended().filter(|_| !self.told_end) {
            self.told_end = true;
            net.trace.note(net.now, "client ended", [self.index as u64, 0, 0]);
            net.trace.say(|| format!("{ended:?}"));
            checker.on_client_ended(self.index, ended);
        }
    }

    fn grant(&mut self, wish: Wish, net: &mut Network) {
        match wish {
            Wish::Open(number, kind, is_upload) => {
                let numbers = [self.index as u64, number, u64::from(is_upload)];
                net.trace.note(net.now, "client opens", numbers);
                net.trace.say(|| kind.to_string());
                let (buffer, unread) = (BytesMut::new(), VecDeque::new());
                let link = Link { kind, is_upload, conn: None, buffer, is_asked: false, unread };
                self.links.insert(number, link);
                let (client, transport) = (self.index, number);
                net.within(1, 20, Event::ClientDials { client, transport });
            }
            Wish::Close(number) => {
                let Some(link) = self.links.remove(&number) else { return };
                let Some(conn) = link.conn else { return };
                if is_socket(link.kind) {
                    net.close(conn, Side::Caller);
                } else {
                    net.abort(conn, Side::Caller);
                }
            }
            Wish::Drop(number) => {
                if let Some(conn) = self.links.remove(&number).and_then(|link| link.conn) {
                    net.abort(conn, Side::Caller);
                }
            }
        }
    }

    /// Writes to the transports what they can take; whether there was something.
    fn write(&mut self, net: &mut Network) -> bool {
        let now = self.time(net);
        let mut has_written = false;
        for (number, link) in &mut self.links {
            let Some(conn) = link.conn else { continue };
            if link.is_asked && !is_socket(link.kind) {
                continue;
            }
            let frames = self.machine.take_frames(now, *number);
            if frames.is_empty() {
                continue;
            }
            has_written = true;
            net.trace.say(|| format!("client {} writes on {number}: {frames:?}", self.index));
            link.is_asked = true;
            let mut bytes = BytesMut::new();
            frames.iter().for_each(|frame| framing(link.kind).put(frame, &mut bytes));
            send(conn, bytes, link.kind, net);
        }
        has_written
    }

    fn arm(&mut self, net: &mut Network) {
        let now = self.time(net);
        let due = self.machine.next_timeout(now).map(|at| {
            let at = u64::try_from(at.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
            (self.begun + at).max(net.now + 1)
        });
        if due != self.armed {
            self.armed = due;
            self.stamp += 1;
            if let Some(at) = due {
                net.agenda.put(at, Event::ClientTimer { client: self.index, stamp: self.stamp });
            }
        }
    }
}

/// Sends bytes, sometimes in two parts, whose border may be within a frame.
fn send(conn: ConnId, mut bytes: BytesMut, kind: TransportKind, net: &mut Network) {
    let last = !is_socket(kind);
    // A WebSocket's message is whole.
    if kind != TransportKind::WebSocket && bytes.len() > 1 && net.random.percent(30) {
        let at = 1 + net.random.below(bytes.len() - 1);
        let first = bytes.split_to(at).freeze();
        net.send(conn, Side::Caller, Content::Up { bytes: first, last: false });
    }
    net.send(conn, Side::Caller, Content::Up { bytes: bytes.freeze(), last });
}

pub(crate) fn is_socket(kind: TransportKind) -> bool {
    matches!(kind, TransportKind::Tcp | TransportKind::WebSocket)
}

fn framing(kind: TransportKind) -> Framing {
    if kind == TransportKind::Tcp { Framing::Int32 } else { Framing::Lines }
}
