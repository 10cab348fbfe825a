//! What comes to a client: bytes become frames, frames go into the machine, strings out of it to the application.

use minerva_proto::{Frame, MAX_FRAME};

use super::{Client, framing};
use crate::checker::Checker;
use crate::event::Content;
use crate::network::{Network, Side};

impl Client {
    pub(super) fn read(
        &mut self,
        transport: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
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
    pub(super) fn fetch(&mut self, net: &mut Network, checker: &mut Checker) {
        self.machine.fetch(self.time(net));
        self.take_received(net, checker);
    }

    pub(super) fn take_received(&mut self, net: &mut Network, checker: &mut Checker) {
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
    pub(super) fn end_link(&mut self, transport: u64, finished: bool, net: &mut Network) {
        if let Some(link) = self.links.remove(&transport) {
            if let Some(conn) = link.conn {
                net.close(conn, Side::Caller);
            }
            self.machine.on_end(self.time(net), transport, finished);
        }
    }
}
