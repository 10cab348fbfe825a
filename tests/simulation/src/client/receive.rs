//! Input of a client: bytes to frames, frames to the machine, messages to the application.

use minerva_client::simulation::{DecodeError, Frame, check_answer, decode};
use minerva_proto::v3::{Refusal, RefusalCode};
use minerva_proto::{KillReason, MessageNumber, TransportNumber};

use super::{Client, framing};
use crate::checker::Checker;
use crate::connection::Side;
use crate::event::Content;
use crate::messages::Body;
use crate::network::Network;
use crate::observation::TransportRefusal;

impl Client {
    pub(super) fn read(
        &mut self,
        transport: TransportNumber,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        match content {
            Content::ToClient { bytes } => self.read_bytes(transport, &bytes, net, checker),
            Content::ResponseEnd { complete } => self.end_transport(transport, complete, net),
            Content::Refused(refusal) => {
                checker.on_transport_refused(self.index, &refusal_of(&refusal));
                self.machine.on_refusal(self.time(net), transport, &refusal);
                self.end_transport(transport, false, net);
            }
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
        let Some(version) = self.machine.version(transport) else { return };
        let Some(link) = self.transports.get_mut(&transport) else { return };
        link.buffer.extend_from_slice(bytes);
        let is_first = !std::mem::replace(&mut link.has_begun, true);
        let checked = if is_first { check_answer(version, &link.buffer) } else { Ok(()) };
        let frames = checked.and_then(|()| decode(version, framing(link.kind), &mut link.buffer));
        let frames = match frames {
            Ok(frames) => frames,
            Err(DecodeError::OnlyVersion2) => {
                // The transport ends if the fall-back has not closed it.
                self.machine.fall_back(self.time(net), transport);
                return self.end_transport(transport, false, net);
            }
            Err(error) => {
                checker.violation(format!("client {}: {error}", self.index));
                return;
            }
        };
        net.trace.detail(|| format!("client {} reads on {transport}: {frames:?}", self.index));
        for frame in frames {
            if let Some(refusal) = refusal_in(&frame) {
                checker.on_transport_refused(self.index, &refusal);
            }
            self.on_frame(transport, frame, net, checker);
        }
        self.fetch(net, checker);
    }

    /// Handles a frame. Reports the messages that a client with claim tags holds, and a found loss.
    fn on_frame(
        &mut self,
        transport: TransportNumber,
        frame: Frame,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let message = self.message_of(transport, &frame);
        if let Frame::Welcome(welcome) = &frame {
            self.may_compress |= welcome.inflates;
        }
        self.machine.on_frame(self.time(net), transport, frame);
        if self.machine.has_found_loss() && !self.has_reported_loss {
            self.has_reported_loss = true;
            net.trace.record(net.now, "client finds loss", [self.index as u64, 0, 0]);
            checker.on_client_found_loss(self.index);
        }
        if let Some((number, content)) = message.filter(|_| self.versions.is_v3(self.index))
            && self.machine.holds(number)
        {
            checker.durable.on_client_holds(self.index, number, content);
        }
    }

    /// Number and content of a message.
    fn message_of(
        &mut self,
        transport: TransportNumber,
        frame: &Frame,
    ) -> Option<(MessageNumber, Body)> {
        let link = self.transports.get_mut(&transport)?;
        if let Frame::SeqNum(number) = frame {
            link.next_received = *number;
        }
        let Frame::Message(message) = frame else { return None };
        let number = link.next_received;
        link.next_received = number.next();
        Some((number, message.into()))
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
            checker.on_client_message(self.index, &Body::from(&message));
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

/// The reason in a frame that ends a transport.
fn refusal_in(frame: &Frame) -> Option<TransportRefusal> {
    if let Frame::Kill(reason) = frame {
        return Some(refusal_of_kill(*reason));
    }
    if let Frame::Refusal(refusal) = frame { Some(refusal_of(refusal)) } else { None }
}

/// A refusal of version 3 in the terms of the checker.
fn refusal_of(refusal: &Refusal) -> TransportRefusal {
    match refusal.code() {
        Some(RefusalCode::Gone) => TransportRefusal::UnknownStream,
        Some(RefusalCode::Window) => TransportRefusal::WindowOverflow,
        Some(RefusalCode::Version) => TransportRefusal::Version,
        Some(
            RefusalCode::Unserved
            | RefusalCode::Busy
            | RefusalCode::Draining
            | RefusalCode::Unavailable,
        ) => TransportRefusal::Unavailable,
        _ => TransportRefusal::Fault(refusal.code_text().to_owned()),
    }
}

/// A kill of version 2 in the terms of the checker.
fn refusal_of_kill(reason: KillReason) -> TransportRefusal {
    match reason {
        KillReason::StreamAttachFailure => TransportRefusal::UnknownStream,
        KillReason::RwinOverflow => TransportRefusal::WindowOverflow,
        KillReason::AckedUnsentStrings
        | KillReason::FrameCorruption
        | KillReason::InvalidFrameTypeOrArguments => TransportRefusal::Fault(reason.to_string()),
    }
}
