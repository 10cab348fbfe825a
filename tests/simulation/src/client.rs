//! A client: the stream machine and inbox of the SDK, with models of the driver, of all four kinds of transports, and
//! of an application that sends numbered messages and reports received messages to the checker.

mod actions;
mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use minerva_client::simulation::{Machine, WireVersion};
use minerva_client::{Config, TransportKind, Version};
use minerva_proto::v3::ResumeKey;
use minerva_proto::{Framing, Message, MessageNumber, StreamId, TransportNumber};

use crate::checker::Checker;
use crate::clock::Time;
use crate::connection::ConnId;
use crate::event::{Content, Event};
use crate::messages::{c2s_message, stream_id};
use crate::network::Network;
use crate::versions::{ClientVersion, Versions};

/// Capacity of the inbox in messages; further messages are not acknowledged.
const MAX_RECEIVED: usize = 30;

/// One client with one stream.
pub(crate) struct Client {
    index: usize,
    machine: Machine,
    versions: Versions,
    /// The server inflates compressed runs.
    may_compress: bool,
    /// The checker was informed that two messages with one number have arrived.
    has_reported_loss: bool,
    transports: BTreeMap<TransportNumber, Transport>,
    /// Start of the stream.
    begun: Time,
    /// Queued messages, and messages to send in all.
    sent: u64,
    total: u64,
    /// Until this time the application does not receive.
    slow_until: Time,
    /// The last time without a network, from and until.
    offline: (Time, Time),
    /// Identifies the valid timer event.
    stamp: u64,
    armed: Option<Time>,
    reported_end: bool,
}

/// One transport.
struct Transport {
    kind: TransportKind,
    is_upload: bool,
    conn: Option<ConnId>,
    buffer: BytesMut,
    /// HTTP: the request was sent.
    request_sent: bool,
    /// The answer to the hello has begun.
    has_begun: bool,
    /// Content received while the inbox was full.
    unread: VecDeque<Content>,
    /// Number of the next received message.
    next_received: MessageNumber,
}

impl Transport {
    fn new(kind: TransportKind, is_upload: bool) -> Self {
        Self {
            kind,
            is_upload,
            conn: None,
            buffer: BytesMut::new(),
            request_sent: false,
            unread: VecDeque::new(),
            has_begun: false,
            next_received: MessageNumber(0),
        }
    }
}

impl Client {
    pub(crate) fn new(
        index: usize,
        seed: u64,
        kind: TransportKind,
        total: u64,
        versions: Versions,
    ) -> Self {
        let mut config = Config::new("simulated:1", kind);
        config.heartbeat = Duration::from_secs(5);
        config.max_in_flight = 2000;
        config.max_queued_messages = 40;
        config.max_received_messages = MAX_RECEIVED;
        config.version = match versions.of(index) {
            ClientVersion::V2 => Version::V2,
            ClientVersion::Auto => Version::Auto,
            ClientVersion::V3 => Version::V3,
        };
        let id = stream_id(index);
        config.id = StreamId::parse(&id).ok();
        let machine = match StreamId::parse(&id) {
            Ok(id) => Machine::new(config, id, resume_key(index), seed),
            Err(error) => unreachable!("{error}"),
        };
        Self {
            index,
            machine,
            versions,
            may_compress: false,
            has_reported_loss: false,
            transports: BTreeMap::new(),
            begun: 0,
            sent: 0,
            total,
            slow_until: 0,
            offline: (0, 0),
            stamp: 0,
            armed: None,
            reported_end: false,
        }
    }

    pub(crate) fn start(&mut self, net: &mut Network, checker: &mut Checker) {
        self.machine.on_timeout(self.time(net));
        net.within(1, 500, Event::ClientWorks { client: self.index });
        self.drive(net, checker);
    }

    /// The application sends and receives messages.
    pub(crate) fn work(&mut self, pace: Time, net: &mut Network, checker: &mut Checker) {
        for _ in 0..net.random.between(1, 6) {
            if self.sent == self.total || self.machine.ended().is_some() {
                break;
            }
            let contents = self.versions.contents(self.index);
            let message = Message::from(&c2s_message(contents, self.index, self.sent));
            if self.machine.push(self.time(net), message).is_none() {
                break;
            }
            self.sent += 1;
        }
        self.take_received(net, checker);
        let has_received = self.machine.has_received();
        if self.sent < self.total || has_received {
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

    /// Whether the client connects only to edges of this release: those of release 0.1 do not serve version 3.
    pub(crate) fn needs_new_edge(&self) -> bool {
        self.versions.is_v3(self.index)
    }

    /// Kind and version of a transport that is to be dialled.
    pub(crate) fn dials(&self, transport: TransportNumber) -> Option<(TransportKind, WireVersion)> {
        let link = self.transports.get(&transport).filter(|link| link.conn.is_none())?;
        Some((link.kind, self.machine.version(transport)?))
    }

    /// Handles the result of a dial: the connection, with the version that the server has selected for a WebSocket.
    pub(crate) fn on_dialled(
        &mut self,
        transport: TransportNumber,
        conn: Option<(ConnId, WireVersion)>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        match (self.transports.get_mut(&transport), conn) {
            (Some(link), Some((conn, selected))) => {
                link.conn = Some(conn);
                if self.machine.version(transport) != Some(selected)
                    && !self.machine.fall_back(self.time(net), transport)
                {
                    self.end_transport(transport, false, net);
                }
            }
            (Some(_), None) => self.end_transport(transport, false, net),
            (None, _) => {}
        }
        self.drive(net, checker);
    }

    /// Handles data on a transport.
    pub(crate) fn on_content(
        &mut self,
        transport: TransportNumber,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(link) = self.transports.get_mut(&transport) else { return };
        if !self.machine.may_read(link.kind, link.is_upload) || !link.unread.is_empty() {
            link.unread.push_back(content);
        } else {
            self.read(transport, content, net, checker);
        }
        self.drive(net, checker);
    }

    /// Handles the loss of a transport.
    pub(crate) fn on_lost(
        &mut self,
        transport: TransportNumber,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        self.end_transport(transport, false, net);
        self.drive(net, checker);
    }

    /// Switches to another kind of transport.
    pub(crate) fn switch(&mut self, kind: TransportKind, net: &mut Network, checker: &mut Checker) {
        self.machine.switch(self.time(net), kind);
        self.drive(net, checker);
    }

    /// Opens a new primary transport of the same kind.
    pub(crate) fn reconnect(&mut self, net: &mut Network, checker: &mut Checker) {
        let kind = self.transports.values().last().map(|link| link.kind);
        if let Some(kind) = kind.filter(|_| !self.has_ended()) {
            self.switch(kind, net, checker);
        }
    }

    /// Takes the client offline.
    pub(crate) fn go_offline(&mut self, until: Time, net: &mut Network, checker: &mut Checker) {
        self.offline = (self.offline_since(net.now), until);
        net.trace.record(net.now, "client offline", [self.index as u64, until, 0]);
        net.events.schedule(until, Event::ClientWakes { client: self.index });
        self.machine.cut(self.time(net));
        self.drive(net, checker);
    }

    pub(crate) fn is_offline(&self, now: Time) -> bool {
        now < self.offline.1
    }

    /// Begin of the time without a network that lasts; now if the client is online.
    pub(crate) fn offline_since(&self, now: Time) -> Time {
        if self.is_offline(now) { self.offline.0 } else { now }
    }

    /// Pauses the application.
    pub(crate) fn slow_down(&mut self, until: Time, net: &mut Network) {
        self.slow_until = until;
        net.events.schedule(until, Event::ClientWakes { client: self.index });
    }

    /// Resumes the application and the transports.
    pub(crate) fn wake(&mut self, net: &mut Network, checker: &mut Checker) {
        self.take_received(net, checker);
        self.drive(net, checker);
    }

    /// Resets the stream.
    pub(crate) fn reset(&mut self, net: &mut Network, checker: &mut Checker) {
        if self.machine.ended().is_none() {
            checker.on_client_reset(self.index);
            self.machine.reset(self.time(net), "client had enough");
            self.drive(net, checker);
        }
    }

    pub(crate) fn heal(&mut self, net: &mut Network) {
        (self.slow_until, self.offline) = (0, (0, 0));
        net.after(1, Event::ClientWakes { client: self.index });
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.machine.ended().is_some()
    }

    /// Whether all messages are acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.machine.acknowledged().0 == self.total
    }

    /// Progress, for the trace.
    pub(crate) fn describe(&self) -> String {
        format!(
            "client {}: sent {}, acknowledged {}, {} transports, timer {:?}, ended {:?}",
            self.index,
            self.sent,
            self.machine.acknowledged(),
            self.transports.len(),
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

/// The key of a client's stream, which has no effect in version 2.
fn resume_key(client: usize) -> ResumeKey {
    match ResumeKey::parse(&format!("key-{client:018}")) {
        Some(key) => key,
        None => unreachable!("22 characters"),
    }
}

fn framing(kind: TransportKind) -> Framing {
    if kind == TransportKind::Tcp { Framing::Int32 } else { Framing::Lines }
}
