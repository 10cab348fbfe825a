//! Input of a client: bytes to frames, frames to the machine, messages to the application.

use bytes::Bytes;
use minerva_client::simulation::{Frame, WireVersion, decode};
use minerva_proto::{ClaimTag, MessageNumber, TransportNumber};

use super::stream_tags::StreamTags;
use super::{Client, STATE_LOST, framing};
use crate::checker::Checker;
use crate::claim_tags::ServerTags;
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
            Content::ToClient { bytes, tags } => {
                self.on_tags(transport, tags, checker);
                self.read_bytes(transport, &bytes, net, checker);
            }
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
        let Some(link) = self.transports.get_mut(&transport) else { return };
        link.buffer.extend_from_slice(bytes);
        let frames =
            decode(WireVersion::V2, framing(link.kind), &mut link.buffer).unwrap_or_else(|error| {
                checker.violation(format!("client {}: {error}", self.index));
                Vec::new()
            });
        net.trace.detail(|| format!("client {} reads on {transport}: {frames:?}", self.index));
        for frame in frames {
            checker.on_client_frame(self.index, &frame);
            self.on_frame(transport, frame, net, checker);
        }
        self.fetch(net, checker);
    }

    /// Handles tags, which precede the messages.
    fn on_tags(&mut self, transport: TransportNumber, tags: ServerTags, checker: &mut Checker) {
        let ServerTags { created, messages } = tags;
        if let Some(link) = self.transports.get_mut(&transport) {
            link.tags.extend(messages);
        }
        let is_untagged = |tags: &mut StreamTags| created.is_some_and(|one| !tags.on_created(one));
        if self.tags.as_mut().is_some_and(is_untagged) {
            self.tags = None;
            checker.on_untagged_stream(self.index);
        }
    }

    /// Handles a frame. A number that arrives under another tag than before proves a loss, and the stream is reset.
    fn on_frame(
        &mut self,
        transport: TransportNumber,
        frame: Frame,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let now = self.time(net);
        let message = self.message_of(transport, &frame);
        let content = if let Frame::Message(content) = &frame {
            content.as_bytes().clone()
        } else {
            Bytes::new()
        };
        if let (Some(tags), Some((number, tag))) = (&self.tags, message)
            && tags.contradicts(number, tag)
        {
            net.trace.record(net.now, "client finds loss", [self.index as u64, number.0, tag.0]);
            checker.on_client_found_loss(self.index);
            self.has_found_loss = true;
            return self.machine.reset(now, STATE_LOST);
        }
        self.machine.on_frame(now, transport, frame);
        if let (Some(tags), Some((number, tag))) = (&mut self.tags, message)
            && self.machine.holds(number)
        {
            tags.receive(number, tag);
            checker.durable.on_client_holds(self.index, number, content);
        }
    }

    /// Number and tag of a message.
    fn message_of(
        &mut self,
        transport: TransportNumber,
        frame: &Frame,
    ) -> Option<(MessageNumber, ClaimTag)> {
        let link = self.transports.get_mut(&transport)?;
        if let Frame::SeqNum(number) = frame {
            link.next_received = *number;
        }
        let Frame::Message(_) = frame else { return None };
        let number = link.next_received;
        link.next_received = number.next();
        let (tag, count) = link.tags.pop_front().unwrap_or((ClaimTag::UNKNOWN, 1));
        if count > 1 {
            link.tags.push_front((tag, count - 1));
        }
        Some((number, tag))
    }

    /// Moves deliverable messages to the application.
    pub(super) fn fetch(&mut self, net: &mut Network, checker: &mut Checker) {
        self.machine.fetch(self.time(net));
        self.take_received(net, checker);
    }

    pub(super) fn take_received(&mut self, net: &mut Network, checker: &mut Checker) {
        if net.now < self.slow_until || self.has_found_loss {
            return;
        }
        while let Some(message) = self.machine.take(self.time(net)) {
            checker.on_client_message(self.index, message.as_bytes());
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
