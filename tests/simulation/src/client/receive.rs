//! Input of a client: bytes to frames, frames to the machine, messages to the application.

use minerva_proto::{Frame, MAX_FRAME, TransportNumber};

use super::{Client, framing};
use crate::checker::Checker;
use crate::connection::Side;
use crate::event::Content;
use crate::network::Network;

impl Client {
    pub(super) fn read(
        &mut self,
        transport: TransportNumber,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        match content {
            Content::ToClient(bytes) => self.read_bytes(transport, &bytes, net, checker),
            Content::ResponseEnd { complete } => self.end_transport(transport, complete, net),
            Content::Closed => self.end_transport(transport, false, net),
            Content::ToEdge { .. }
            | Content::ToCore(_)
            | Content::FromCore(_)
            | Content::Commands(_)
            | Content::Events(_) => {}
        }
    }

    fn read_bytes(
        &mut self,
        transport: TransportNumber,
        bytes: &[u8],
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let now = self.time(net);
        let Some(link) = self.transports.get_mut(&transport) else { return };
        link.buffer.extend_from_slice(bytes);
        let framing = framing(link.kind);
        let mut frames = Vec::new();
        while let Ok(Some(raw)) = framing.cut(&mut link.buffer, MAX_FRAME) {
            match Frame::decode(raw) {
                Ok(frame) => frames.push(frame),
                Err(error) => checker.violation(format!("client {}: {error}", self.index)),
            }
        }
        net.trace.detail(|| format!("client {} reads on {transport}: {frames:?}", self.index));
        for frame in frames {
            checker.on_client_frame(self.index, &frame);
            self.machine.on_frame(now, transport, frame);
        }
        self.fetch(net, checker);
    }

    /// Moves deliverable messages to the application.
    pub(super) fn fetch(&mut self, net: &mut Network, checker: &mut Checker) {
        self.machine.fetch(self.time(net));
        self.take_received(net, checker);
    }

    pub(super) fn take_received(&mut self, net: &mut Network, checker: &mut Checker) {
        if net.now < self.slow_until {
            return;
        }
        while let Some(message) = self.machine.take(self.time(net)) {
            checker.on_client_message(self.index, &message);
        }
        let unread: Vec<TransportNumber> =
            self.transports.iter().filter(|(_, l)| !l.unread.is_empty()).map(|(n, _)| *n).collect();
        for transport in unread {
            self.resume_reading(transport, net, checker);
        }
    }

    fn resume_reading(
        &mut self,
        transport: TransportNumber,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        while let Some(link) = self.transports.get_mut(&transport)
            && self.machine.may_read(link.kind, link.is_upload)
            && let Some(content) = link.unread.pop_front()
        {
            self.read(transport, content, net, checker);
        }
    }

    /// Handles the end of a transport that the machine did not close.
    pub(super) fn end_transport(
        &mut self,
        transport: TransportNumber,
        finished: bool,
        net: &mut Network,
    ) {
        if let Some(link) = self.transports.remove(&transport) {
            if let Some(conn) = link.conn {
                net.close(conn, Side::Caller);
            }
            self.machine.on_end(self.time(net), transport, finished);
        }
    }
}
