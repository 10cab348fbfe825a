//! An edge: the real transport machine per connection and the real table of owners, with models of the drivers and of
//! the links. The edge links to every core and attaches each transport to the owner of its partition.

mod links;
mod transport;

use std::collections::BTreeMap;

use minerva_client::TransportKind;
use minerva_client::simulation::WireVersion;
use minerva_edge::simulation::Owners;
use minerva_edge::transport::{Input, WireVersions};
use minerva_proto::PartitionHash;
use minerva_proto::link::{EdgeFrame, EdgeMessage, TransportId, encode, pb};

use self::transport::{Attachment, EdgeTransport};
use crate::checker::Checker;
use crate::clock::Clock;
use crate::connection::ConnId;
use crate::event::{Content, Life};
use crate::network::Network;

/// One edge.
pub(crate) struct Edge {
    index: usize,
    pub(crate) life: Life,
    pub(crate) is_up: bool,
    is_draining: bool,
    clock: Clock,
    s2c_window: u64,
    partitions: u32,
    /// From the last hello of a core.
    hash: PartitionHash,
    /// Whether the edge has release 0.1.
    is_old: bool,
    links: BTreeMap<usize, LinkToCore>,
    owners: Owners,
    transports: BTreeMap<u64, EdgeTransport>,
    /// Transport by number on a link.
    routes: BTreeMap<u64, u64>,
    /// Counts of transports, link numbers and links in all lives.
    accepted: u64,
    numbered: u64,
    linked: u64,
}

/// A link to one core.
#[derive(Default)]
struct LinkToCore {
    conn: Option<ConnId>,
    is_up: bool,
    /// Number of the link in the table of owners, new for each connection.
    number: u64,
    /// Newest version of the wire that the core serves.
    wire_version: u32,
    outgoing: Vec<pb::EdgeFrame>,
}

impl Edge {
    pub(crate) fn new(
        index: usize,
        clock: Clock,
        s2c_window: u64,
        partitions: u32,
        is_old: bool,
    ) -> Self {
        Self {
            index,
            life: 0,
            is_up: false,
            is_draining: false,
            clock,
            s2c_window,
            partitions,
            hash: PartitionHash::UNKEYED,
            is_old,
            links: BTreeMap::new(),
            owners: Owners::new(partitions),
            transports: BTreeMap::new(),
            routes: BTreeMap::new(),
            accepted: 0,
            numbered: 0,
            linked: 0,
        }
    }

    pub(crate) fn start(&mut self, cores: usize, net: &mut Network) {
        self.life += 1;
        (self.is_up, self.is_draining) = (true, false);
        for core in 0..cores {
            self.links.insert(core, LinkToCore::default());
            self.dial_soon(core, net);
        }
    }

    /// Drops all state. The caller has cut the connections.
    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        self.links.clear();
        self.owners = Owners::new(self.partitions);
        self.transports.clear();
        self.routes.clear();
    }

    /// Drains all transports.
    pub(crate) fn drain(&mut self, net: &mut Network, checker: &mut Checker) {
        self.is_draining = true;
        for number in self.transport_numbers() {
            self.input(number, Input::Drain, net, checker);
        }
        self.flush(net);
    }

    /// Whether the edge has this release.
    pub(crate) fn is_new(&self) -> bool {
        !self.is_old
    }

    /// Whether the edge and all linked cores serve version 3.
    fn serves_v3(&self) -> bool {
        let oldest = self.links.values().filter(|link| link.is_up).map(|link| link.wire_version);
        !self.is_old && oldest.min() >= Some(3)
    }

    /// The versions of a transport whose client requests `requested`, and the version that a WebSocket selects.
    pub(crate) fn versions_of(
        &self,
        kind: TransportKind,
        requested: WireVersion,
    ) -> (WireVersions, WireVersion) {
        let is_v3 = requested == WireVersion::V3;
        match kind {
            _ if !self.serves_v3() && kind == TransportKind::WebSocket => {
                (WireVersions::Two, WireVersion::V2)
            }
            _ if !self.serves_v3() => (WireVersions::Two, requested),
            TransportKind::WebSocket if is_v3 => (WireVersions::Three, requested),
            TransportKind::WebSocket => (WireVersions::Two, requested),
            TransportKind::HttpStream | TransportKind::LongPoll if !is_v3 => {
                (WireVersions::TwoByContentType, requested)
            }
            TransportKind::Tcp | TransportKind::HttpStream | TransportKind::LongPoll => {
                (WireVersions::TwoOrThree, requested)
            }
        }
    }

    pub(crate) fn accepts(&self) -> bool {
        self.is_up && !self.is_draining
    }

    /// Accepts a client. Returns the number of the transport.
    pub(crate) fn accept(
        &mut self,
        conn: ConnId,
        (kind, versions): (TransportKind, WireVersions),
        service: String,
        net: &mut Network,
        checker: &mut Checker,
    ) -> u64 {
        self.accepted += 1;
        let number = self.accepted;
        let now = self.clock.instant(net.now).into_std();
        self.transports.insert(
            number,
            EdgeTransport::new(now, conn, (kind, versions), service, self.s2c_window),
        );
        self.drive(number, net, checker);
        number
    }

    /// Handles data of a client.
    pub(crate) fn on_client(
        &mut self,
        number: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        match content {
            Content::ToEdge { bytes, last } => {
                if let Some(transport) = self.transports.get_mut(&number) {
                    transport.unread.push_back((bytes, last));
                }
                self.drive(number, net, checker);
            }
            Content::Closed => self.on_client_lost(number, net, checker),
            Content::ToClient { .. }
            | Content::ResponseEnd { .. }
            | Content::Refused(_)
            | Content::ToCore(_)
            | Content::FromCore(_)
            | Content::Commands(_)
            | Content::Events(_) => {}
        }
        self.flush(net);
    }

    pub(crate) fn on_client_lost(&mut self, number: u64, net: &mut Network, checker: &mut Checker) {
        if let Some(transport) = self.transports.get_mut(&number) {
            transport.is_gone = true;
            self.input(number, Input::Gone, net, checker);
        }
        self.flush(net);
    }

    pub(crate) fn on_timer(
        &mut self,
        life: Life,
        number: u64,
        stamp: u64,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let now = self.clock.instant(net.now).into_std();
        let transport =
            self.transports.get_mut(&number).filter(|h| life == self.life && h.stamp == stamp);
        if let Some(transport) = transport {
            transport.armed = None;
            transport.machine.handle_timeout(now);
            self.drive(number, net, checker);
        }
        self.flush(net);
    }

    /// Handles the completed write of a chunk.
    pub(crate) fn on_wrote(
        &mut self,
        life: Life,
        number: u64,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        if life != self.life {
            return;
        }
        self.input(number, Input::Written, net, checker);
        self.flush(net);
    }

    /// Displaces transports with an invalid attachment and places all others.
    fn update_attachments(&mut self, net: &mut Network, checker: &mut Checker) {
        for number in self.transport_numbers() {
            let owners = &self.owners;
            let Some(transport) = self.transports.get_mut(&number) else { continue };
            let is_bad = |attachment: &mut Attachment| !owners.is_good(attachment.reliance);
            let attachment = transport.attachment.take_if(is_bad);
            let was_attached = std::mem::take(&mut transport.is_attached);
            let Some(attachment) = attachment else {
                transport.is_attached = was_attached;
                self.drive(number, net, checker);
                continue;
            };
            self.routes.remove(&attachment.number);
            if was_attached {
                self.detach(attachment);
            }
            self.input(number, Input::OwnerLost, net, checker);
        }
    }

    fn transport_numbers(&self) -> Vec<u64> {
        self.transports.keys().copied().collect()
    }

    fn input(&mut self, number: u64, input: Input, net: &mut Network, checker: &mut Checker) {
        let now = self.clock.instant(net.now).into_std();
        if let Some(transport) = self.transports.get_mut(&number) {
            transport.machine.handle_input(now, input);
            self.drive(number, net, checker);
        }
    }

    /// Runs a transport machine until no output is left.
    fn drive(&mut self, number: u64, net: &mut Network, checker: &mut Checker) {
        let now = self.clock.instant(net.now).into_std();
        let Some(mut transport) = self.transports.remove(&number) else { return };
        loop {
            let messages = transport.run(now, self.index, self.life, number, net);
            let has_more = self.place(&mut transport, number, now);
            let has_sent = !messages.is_empty();
            messages.into_iter().for_each(|message| self.send(&mut transport, message, checker));
            if !has_more && !has_sent {
                break;
            }
        }
        if transport.is_finished() {
            self.remove(transport);
            return;
        }
        transport.arm(self.clock, self.index, self.life, number, net);
        self.transports.insert(number, transport);
    }

    /// Places an unplaced transport with the owner of its stream. Returns whether the transport is newly placed.
    fn place(
        &mut self,
        transport: &mut EdgeTransport,
        number: u64,
        now: std::time::Instant,
    ) -> bool {
        if transport.attachment.is_some() || transport.is_gone {
            return false;
        }
        let Some(attach) = transport.machine.attach() else { return false };
        let owner = self.hash.partition(&attach.stream_id, self.partitions);
        let owner = owner.and_then(|partition| self.owners.owner(partition));
        let Some((link, reliance)) = owner else { return false };
        let Some(core) = self.core_of(link) else { return false };
        self.numbered += 1;
        transport.attachment = Some(Attachment { core, number: self.numbered, reliance });
        self.routes.insert(self.numbered, number);
        let serves = transport.machine.wire_version() <= self.wire_version_of(core);
        let input = if serves { Input::OwnerFound } else { Input::VersionUnavailable };
        transport.machine.handle_input(now, input);
        true
    }

    /// Newest version of the wire that a linked core serves.
    fn wire_version_of(&self, core: usize) -> u32 {
        self.links.get(&core).map_or(2, |link| link.wire_version.max(2))
    }

    fn send(&mut self, transport: &mut EdgeTransport, message: EdgeMessage, checker: &mut Checker) {
        let Some(attachment) = &transport.attachment else { return };
        transport.is_attached = match &message {
            EdgeMessage::Attach(_) => true,
            EdgeMessage::Detach => false,
            EdgeMessage::Batch(_) | EdgeMessage::Grant(_) => transport.is_attached,
        };
        if let Some(link) = self.links.get_mut(&attachment.core) {
            link.outgoing.push(encode_frame(attachment.number, message));
        } else {
            checker.violation("attachment on a missing link".to_owned());
        }
    }

    /// Removes a finished transport.
    fn remove(&mut self, mut transport: EdgeTransport) {
        let Some(attachment) = transport.attachment.take() else { return };
        self.routes.remove(&attachment.number);
        if transport.is_attached {
            self.detach(attachment);
        }
    }

    fn detach(&mut self, attachment: Attachment) {
        if let Some(link) = self.links.get_mut(&attachment.core).filter(|link| link.is_up) {
            link.outgoing.push(encode_frame(attachment.number, EdgeMessage::Detach));
        }
    }
}

fn encode_frame(transport: u64, message: EdgeMessage) -> pb::EdgeFrame {
    encode::edge_frame(EdgeFrame { transport: TransportId(transport), message })
}
