//! The links of an edge: frames of cores to transports, frames of transports to cores.

use minerva_edge::transport::Input;
use minerva_proto::link::pb::core_frame::Frame;
use minerva_proto::link::pb::{CoreFrame, EdgeFrame, edge_frame};
use minerva_proto::link::{self, CoreMessage, decode, greeting};

use super::transport::Attachment;
use super::{Edge, LinkToCore};
use crate::checker::Checker;
use crate::connection::{ConnId, Node, Side};
use crate::event::{Content, Event};
use crate::faults::Fault;
use crate::network::Network;
use crate::release_0_1;

impl Edge {
    /// Handles the result of a dial.
    pub(crate) fn on_dialled(&mut self, core: usize, conn: Option<ConnId>, net: &mut Network) {
        let Some(link) = self.links.get_mut(&core) else { return };
        let Some(conn) = conn else { return self.dial_soon(core, net) };
        link.conn = Some(conn);
        let edge_id = format!("edge-{}", self.index);
        let hello = edge_frame::Frame::Hello(greeting::edge_hello(edge_id));
        link.outgoing.push(EdgeFrame { frame: Some(hello) });
        if self.is_old {
            net.faults.fire(Fault::OldPeer);
        }
        self.flush(net);
    }

    pub(crate) fn needs_link(&self, core: usize) -> bool {
        self.is_up && self.links.get(&core).is_some_and(|link| link.conn.is_none())
    }

    /// Handles frames of a core.
    pub(crate) fn on_core(
        &mut self,
        core: usize,
        frames: Vec<CoreFrame>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        for frame in frames {
            self.on_frame(core, frame, net, checker);
        }
        self.flush(net);
    }

    /// Handles the loss of a link.
    pub(crate) fn on_link_lost(&mut self, core: usize, net: &mut Network, checker: &mut Checker) {
        if let Some(link) = self.links.get_mut(&core) {
            if let Some(conn) = link.conn.take() {
                net.close(conn, Side::Caller);
            }
            self.owners.lose(link.number);
            *link = LinkToCore::default();
            self.dial_soon(core, net);
            self.update_attachments(net, checker);
        }
        self.flush(net);
    }

    fn on_frame(
        &mut self,
        core: usize,
        mut frame: CoreFrame,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        if self.is_old {
            if release_0_1::is_gated(&frame) {
                let edge = self.index;
                checker.violation(format!("edge {edge} of release 0.1 gets claim tags"));
            }
            release_0_1::core_frame(&mut frame);
        }
        let Some(link) = self.links.get_mut(&core) else { return };
        if let Some(Frame::Hello(hello)) = frame.frame {
            self.linked += 1;
            (link.is_up, link.number) = (true, self.linked);
            match greeting::accept_core(hello) {
                Ok(core) => {
                    self.hash = core.hash;
                    link.wire_version = core.wire_version;
                }
                Err(error) => checker.violation(format!("hello of a core: {error}")),
            }
            return;
        }
        let number = link.number;
        match decode::core_frame(frame) {
            Ok(link::CoreFrame::Owned(claims)) => {
                for claim in claims {
                    self.owners.claim(number, claim.partition, claim.epoch);
                }
                self.update_attachments(net, checker);
            }
            Ok(link::CoreFrame::Released(partitions)) => {
                for partition in partitions {
                    self.owners.release(number, partition);
                }
                self.update_attachments(net, checker);
            }
            Ok(link::CoreFrame::Transport { transport, message }) if message.is_moved() => {
                self.on_moved(core, transport.0, net, checker);
            }
            Ok(link::CoreFrame::Transport { transport, message }) => {
                self.on_message(core, transport.0, message, net, checker);
            }
            Err(error) => checker.violation(format!("frame of a core: {error}")),
        }
    }

    fn on_moved(&mut self, core: usize, number: u64, net: &mut Network, checker: &mut Checker) {
        let Some(transport_number) = self.routes.get(&number).copied() else { return };
        let Some(transport_number) = self.transports.get_mut(&transport_number) else { return };
        if let Some(attachment) =
            transport_number.attachment.filter(|p| p.core == core && p.number == number)
        {
            // The core has no state of the transport.
            transport_number.is_attached = false;
            self.owners.withdraw(attachment.reliance);
            self.update_attachments(net, checker);
        }
    }

    fn on_message(
        &mut self,
        core: usize,
        number: u64,
        message: CoreMessage,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Some(transport_number) = self.routes.get(&number).copied() else { return };
        let Some(transport) = self.transports.get_mut(&transport_number) else { return };
        let is_meant = |at: Attachment| at.core == core && at.number == number;
        if transport.attachment.is_some_and(is_meant) {
            self.input(transport_number, Input::Core(message), net, checker);
        }
    }

    pub(super) fn core_of(&self, number: u64) -> Option<usize> {
        let mut links = self.links.iter();
        links.find(|(_, link)| link.is_up && link.number == number).map(|(core, _)| *core)
    }

    pub(super) fn flush(&mut self, net: &mut Network) {
        for link in self.links.values_mut() {
            if let Some(conn) = link.conn.filter(|_| !link.outgoing.is_empty()) {
                let mut frames = std::mem::take(&mut link.outgoing);
                if self.is_old {
                    frames.iter_mut().for_each(release_0_1::edge_frame);
                }
                net.send(conn, Side::Caller, Content::ToCore(frames));
            }
        }
    }

    pub(super) fn dial_soon(&self, core: usize, net: &mut Network) {
        net.within(5, 500, Event::EdgeDials { edge: self.index, life: self.life, core });
    }

    /// The edge's end of a link.
    pub(crate) fn node_of_link(&self, core: usize) -> Node {
        Node::EdgeLink { edge: self.index, core }
    }
}
