//! An edge: the real transport machine of each connection, in a shell that stands for its drivers and its links. It
//! has a link to every core, learns who owns which partition, and attaches each transport to the owner.

mod holder;
mod links;

use std::collections::BTreeMap;

use minerva_client::TransportKind;
use minerva_edge::simulation::Owners;
use minerva_edge::transport::Input;
use minerva_proto::link::{EdgeFrame, EdgeMessage, TransportId, encode, pb};

use self::holder::{Holder, Place};
use crate::checker::Checker;
use crate::clock::Clock;
use crate::event::{Content, Life};
use crate::network::{ConnId, Network};

/// One edge.
pub(crate) struct Edge {
    index: usize,
    pub(crate) life: Life,
    pub(crate) is_up: bool,
    is_draining: bool,
    clock: Clock,
    s2c_window: u64,
    partitions: u32,
    links: BTreeMap<usize, LinkToCore>,
    owners: Owners,
    holders: BTreeMap<u64, Holder>,
    /// Which holder has which number on a link.
    routes: BTreeMap<u64, u64>,
    /// Transports accepted, and numbers given, in all lives.
    accepted: u64,
    numbered: u64,
    linked: u64,
}

/// A link to one core.
#[derive(Default)]
struct LinkToCore {
    conn: Option<ConnId>,
    is_up: bool,
    /// Its number among the claims; a new call has a new one.
    number: u64,
    outgoing: Vec<pb::EdgeFrame>,
}

impl Edge {
    pub(crate) fn new(index: usize, clock: Clock, s2c_window: u64, partitions: u32) -> Self {
        Self {
            index,
            life: 0,
            is_up: false,
            is_draining: false,
            clock,
            s2c_window,
            partitions,
            links: BTreeMap::new(),
            owners: Owners::new(partitions),
            holders: BTreeMap::new(),
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

    /// It is gone; its connections were cut by the caller.
    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        self.links.clear();
        self.owners = Owners::new(self.partitions);
        self.holders.clear();
        self.routes.clear();
    }

    /// Asks its clients to move.
    pub(crate) fn drain(&mut self, net: &mut Network, checker: &mut Checker) {
        self.is_draining = true;
        for number in self.holder_numbers() {
            self.input(number, Input::Drain, net, checker);
        }
        self.flush(net);
    }

    pub(crate) fn accepts(&self) -> bool {
        self.is_up && !self.is_draining
    }

    /// A client connects; returns its transport here.
    pub(crate) fn accept(
        &mut self,
        conn: ConnId,
        kind: TransportKind,
        net: &mut Network,
        checker: &mut Checker,
    ) -> u64 {
        self.accepted += 1;
        let number = self.accepted;
        let now = self.clock.instant(net.now).into_std();
        self.holders.insert(number, Holder::new(now, conn, kind, self.s2c_window));
        self.run(number, net, checker);
        number
    }

    /// Something came from a client.
    pub(crate) fn on_client(
        &mut self,
        number: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        match content {
            Content::Up { bytes, last } => {
                if let Some(holder) = self.holders.get_mut(&number) {
                    holder.unread.push_back((bytes, last));
                }
                self.run(number, net, checker);
            }
            Content::Closed => self.on_client_lost(number, net, checker),
            Content::Down(_)
            | Content::DownEnd { .. }
            | Content::ToCore(_)
            | Content::FromCore(_)
            | Content::Commands(_)
            | Content::Events(_) => {}
        }
        self.flush(net);
    }

    pub(crate) fn on_client_lost(&mut self, number: u64, net: &mut Network, checker: &mut Checker) {
        if let Some(holder) = self.holders.get_mut(&number) {
            holder.is_gone = true;
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
        let holder =
            self.holders.get_mut(&number).filter(|h| life == self.life && h.stamp == stamp);
        if let Some(holder) = holder {
            holder.armed = None;
            holder.machine.handle_timeout(now);
            self.run(number, net, checker);
        }
        self.flush(net);
    }

    /// A socket took a chunk.
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

    /// Takes transports from where they cannot stay, and to where they belong.
    fn look(&mut self, net: &mut Network, checker: &mut Checker) {
        for number in self.holder_numbers() {
            let owners = &self.owners;
            let Some(holder) = self.holders.get_mut(&number) else { continue };
            let is_bad = |place: &mut Place| !owners.is_good(place.reliance);
            let place = holder.place.take_if(is_bad);
            let was_attached = std::mem::take(&mut holder.is_attached);
            let Some(place) = place else {
                holder.is_attached = was_attached;
                self.run(number, net, checker);
                continue;
            };
            self.routes.remove(&place.number);
            if was_attached {
                self.detach(place);
            }
            self.input(number, Input::Displaced, net, checker);
        }
    }

    fn holder_numbers(&self) -> Vec<u64> {
        self.holders.keys().copied().collect()
    }

    fn input(&mut self, number: u64, input: Input, net: &mut Network, checker: &mut Checker) {
        let now = self.clock.instant(net.now).into_std();
        if let Some(holder) = self.holders.get_mut(&number) {
            holder.machine.handle_input(now, input);
            self.run(number, net, checker);
        }
    }

    /// Does what a transport's machine wants, as far as it goes.
    fn run(&mut self, number: u64, net: &mut Network, checker: &mut Checker) {
        let now = self.clock.instant(net.now).into_std();
        let Some(mut holder) = self.holders.remove(&number) else { return };
        loop {
            let messages = holder.run(now, self.index, self.life, number, net);
            let has_more = self.find_place(&mut holder, number, now);
            let has_told = !messages.is_empty();
            messages.into_iter().for_each(|message| self.tell(&mut holder, message, checker));
            if !has_more && !has_told {
                break;
            }
        }
        if holder.is_finished() {
            self.let_go(holder);
            return;
        }
        holder.arm(self.clock, self.index, self.life, number, net);
        self.holders.insert(number, holder);
    }

    /// Finds a transport that has none a place with the owner of its stream; whether it has one now.
    fn find_place(&mut self, holder: &mut Holder, number: u64, now: std::time::Instant) -> bool {
        if holder.place.is_some() || holder.is_gone {
            return false;
        }
        let Some(attach) = holder.machine.attach() else { return false };
        let partition = (attach.stream_id.stable_hash() % u64::from(self.partitions)) as u32;
        let Some((link, reliance)) = self.owners.owner(partition) else { return false };
        let Some(core) = self.core_of(link) else { return false };
        self.numbered += 1;
        holder.place = Some(Place { core, number: self.numbered, reliance });
        self.routes.insert(self.numbered, number);
        holder.machine.handle_input(now, Input::Placed);
        true
    }

    fn tell(&mut self, holder: &mut Holder, message: EdgeMessage, checker: &mut Checker) {
        let Some(place) = &holder.place else { return };
        holder.is_attached = match &message {
            EdgeMessage::Attach(_) => true,
            EdgeMessage::Detach => false,
            EdgeMessage::Batch(_) | EdgeMessage::Grant(_) => holder.is_attached,
        };
        if let Some(link) = self.links.get_mut(&place.core) {
            link.outgoing.push(to_wire(place.number, message));
        } else {
            checker.violation("a place on a link that is not there".to_owned());
        }
    }

    /// A transport is over.
    fn let_go(&mut self, mut holder: Holder) {
        let Some(place) = holder.place.take() else { return };
        self.routes.remove(&place.number);
        if holder.is_attached {
            self.detach(place);
        }
    }

    fn detach(&mut self, place: Place) {
        if let Some(link) = self.links.get_mut(&place.core).filter(|link| link.is_up) {
            link.outgoing.push(to_wire(place.number, EdgeMessage::Detach));
        }
    }
}

fn to_wire(transport: u64, message: EdgeMessage) -> pb::EdgeFrame {
    encode::edge_frame(EdgeFrame { transport: TransportId(transport), message })
}
