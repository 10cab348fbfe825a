//! Input side of the stream machine: received frames and ends of transports.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::v3::Welcome;
use minerva_proto::{Message, Received, Reset, Sack, TransportNumber};

use super::delayed_ack::HTTP_COALESCE_TIME;
use super::transport::{End, Role, Transport};
use super::{Output, STATE_LOST, StreamMachine, Time};
use crate::config::TransportKind;
use crate::error::EndedBy;
use crate::wire::{Frame, WireVersion};

/// Age at which a primary counts as working, even without messages.
const MIN_WORKING_AGE: Time = Time::from_secs(5);

impl StreamMachine {
    /// Handles a received frame. Frames of ended transports are ignored.
    pub(crate) fn on_frame(&mut self, now: Time, number: TransportNumber, frame: Frame) {
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        transport.last_received_at = now;
        match frame {
            Frame::Created => self.on_created(now, number),
            Frame::Welcome(welcome) => self.on_welcome(now, number, &welcome),
            Frame::ClaimTag(tag) => transport.next_tag = Some(tag),
            Frame::Sack(sack) => self.on_sack(now, number, sack),
            Frame::StreamStatus(status) => self.on_status(now, number, &status),
            Frame::SeqNum(next) => {
                transport.next_received = next;
                self.on_attached(now, number);
            }
            Frame::Message(message) => self.on_message(now, number, message),
            Frame::Comment(text) if text == "beat" => self.on_attached(now, number),
            Frame::Comment(_) => {}
            Frame::YouCloseIt => self.close(now, number, End::Finished),
            Frame::Kill(reason) => self.on_kill(now, number, reason),
            Frame::Refusal(refusal) => self.on_refusal(now, number, &refusal),
            Frame::Reset(reset) => self.on_reset(reset),
            Frame::CredentialsWanted => self.on_credentials_wanted(),
            // A server never sends a hello or credentials, and the codec inflates runs.
            Frame::Hello(_) | Frame::Credentials(_) | Frame::Run(_) => {
                self.close(now, number, End::Failed)
            }
        }
        self.plan(now);
    }

    /// Handles the end of a transport: complete response, closed socket or failed connect.
    pub(crate) fn on_end(&mut self, now: Time, number: TransportNumber, end: End) {
        if let Some(transport) = self.transports.remove(&number) {
            self.after_end(now, transport, end);
        }
        self.plan(now);
    }

    /// Closes a transport because of a received frame or a deadline.
    pub(super) fn close(&mut self, now: Time, number: TransportNumber, end: End) {
        if let Some(transport) = self.transports.remove(&number) {
            self.outputs.push_back(Output::Close { number });
            self.after_end(now, transport, end);
        }
    }

    fn on_created(&mut self, now: Time, number: TransportNumber) {
        if !self.created {
            self.created = true;
            self.on_progress(number);
        }
        self.on_attached(now, number);
    }

    fn on_welcome(&mut self, now: Time, number: TransportNumber, welcome: &Welcome) {
        self.negotiation.on_welcome(welcome);
        if !self.on_positions(number, welcome) {
            return self.end(EndedBy::Client, "server skipped unsent messages".into(), false);
        }
        if let Some(transport) = self.transports.get_mut(&number)
            && !transport.tag.is_known()
        {
            transport.tag = self.negotiation.creation_tag();
        }
        self.on_created(now, number);
    }

    /// Records that the server has attached the transport; older primaries get a closing deadline.
    fn on_attached(&mut self, now: Time, number: TransportNumber) {
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        if transport.attached {
            return;
        }
        transport.attached = true;
        if !transport.is_primary() {
            return;
        }
        let kind = transport.kind;
        if kind.is_socket() {
            // Messages on an HTTP predecessor may have arrived after the hello.
            self.send_sack_now(now);
        }
        self.active_kind = Some(kind);
        self.attempts.on_attached();
        self.retry.forget_halts();
        for (_, older) in self.transports.range_mut(..number).filter(|(_, t)| t.is_primary()) {
            older.close_by.get_or_insert(now + self.config.heartbeat);
        }
    }

    fn on_sack(&mut self, now: Time, number: TransportNumber, sack: Sack) {
        self.on_attached(now, number);
        let before = (self.queue.base(), self.queue.bytes());
        if self.queue.apply(&sack).is_err() {
            // Another client uses this stream id, or the server is defective: message numbers are unreliable.
            self.end(EndedBy::Client, "server acknowledged unsent messages".into(), false);
            return;
        }
        if (self.queue.base(), self.queue.bytes()) != before {
            self.on_progress(number);
        }
        // Transports may overtake each other; an older SACK is ignored.
        if sack.acked >= self.seen_ack.acked && sack != self.seen_ack {
            self.seen_ack = sack;
            self.on_progress(number);
        }
    }

    /// Handles the SACK that the server has received; on an upload this status is final.
    fn on_status(&mut self, now: Time, number: TransportNumber, status: &Sack) {
        self.on_attached(now, number);
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        if transport.role == Role::Upload {
            transport.has_unconfirmed_sack = false;
            // Messages that arrived since the hello have their own deadline.
            let has_carried = *status == transport.sack || *status == self.sack();
            if !has_carried {
                self.schedule_sack(self.http_sack_due(now));
            }
        }
    }

    fn on_message(&mut self, now: Time, number: TransportNumber, message: Message) {
        self.on_attached(now, number);
        self.on_progress(number);
        if self.is_resetting() {
            // Dropped without a SACK, so that the server stops at the limit of the outbox.
            return;
        }
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        let mut message_number = transport.next_received;
        if mutation::is(Mutation::DeliverBehindGap) {
            message_number = message_number.min(self.window.next());
        }
        transport.next_received += 1;
        let tag = transport.tag_of(message_number);
        let version = transport.version;
        if self.claim_tags.contradicts(message_number, tag) {
            self.begin_reset(now, Reset::new(STATE_LOST, false));
            return;
        }
        let (kind, length) = (transport.kind, message.len());
        let is_current = transport.generation == self.generation;
        let had_gap = self.window.waiting().next().is_some();
        let Ok(received) = self.window.receive(message_number, message) else {
            // The window overflows. A new primary receives the message again.
            self.close(now, number, End::Failed);
            return;
        };
        if version == WireVersion::V3 {
            self.claim_tags.receive(message_number, tag, self.window.next());
        }
        let in_order = received == Received::Deliverable && !had_gap;
        // On a socket with a pending successor, the SACK must precede the successor's hello.
        let may_wait = in_order && is_current;
        let due = match kind {
            TransportKind::HttpStream if in_order && !self.has_socket_for_sacks() => {
                self.delayed_ack.on_received_over_http(now, length)
            }
            TransportKind::HttpStream => self.http_sack_due(now),
            TransportKind::Tcp | TransportKind::WebSocket if may_wait => {
                self.delayed_ack.on_received(now, length)
            }
            TransportKind::Tcp | TransportKind::WebSocket | TransportKind::LongPoll => now,
        };
        self.schedule_sack(due);
    }

    /// Deadline of a SACK on HTTP that may not wait for more messages; immediate on a socket, which needs no upload.
    fn http_sack_due(&self, now: Time) -> Time {
        if self.has_socket_for_sacks() { now } else { now + HTTP_COALESCE_TIME }
    }

    /// Whether a socket carries the next SACK: the next primary, or an attached one of an earlier generation.
    fn has_socket_for_sacks(&self) -> bool {
        self.kind.is_socket()
            || self
                .carrying_transport()
                .is_some_and(|carrier| carrier.is_socket() && carrier.attached)
    }

    /// Records progress on a transport, which resets back-off and failure counts.
    fn on_progress(&mut self, number: TransportNumber) {
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        transport.useful = true;
        self.last_fault = None;
        match transport.role {
            Role::Primary => {
                self.retry.forget_failures();
                self.ranking.on_success();
            }
            Role::Upload => self.upload_retry.forget_failures(),
        }
    }

    /// Reacts to the end of a transport.
    fn after_end(&mut self, now: Time, transport: Transport, end: End) {
        if transport.has_unconfirmed_sack && end == End::Failed {
            self.schedule_sack(now);
        }
        if transport.is_socket() || self.carrying_transport().is_some_and(Transport::is_socket) {
            // Also if a socket carries SACKs again, behind an HTTP successor that has failed.
            self.send_sack_now(now);
        }
        if mutation::is(Mutation::ForgetReset)
            && let Some((reset, _)) = self.resetting.clone().filter(|_| transport.reset_sent)
        {
            return self.end(EndedBy::Client, reset.reason, reset.application_level);
        }
        match transport.role {
            Role::Primary => self.after_primary_end(now, &transport, end),
            // A complete response does not confirm the reset: a draining server ends uploads before reading them. The
            // confirmation arrives on the primary or the next upload.
            Role::Upload if transport.reset_sent => self.upload_retry.fail(now),
            Role::Upload if end == End::Finished && transport.useful => self.upload_retry.reset(),
            // The upload carried only a SACK.
            Role::Upload if end == End::Finished && transport.next_on_wire.is_none() => {}
            Role::Upload => self.upload_retry.fail(now),
        }
    }

    fn after_primary_end(&mut self, now: Time, transport: &Transport, end: End) {
        if transport.close_by.is_some() || self.has_current_primary() {
            // The successor's messages may be behind a gap, which the server fills after a SACK.
            self.schedule_sack(now);
            return;
        }
        let lived = now.saturating_sub(transport.opened) >= MIN_WORKING_AGE;
        let worked = transport.useful || (lived && (transport.attached || end == End::Finished));
        if transport.kind == TransportKind::LongPoll && end == End::Finished {
            // The response to an upload may have overtaken the poll, which then repeats known content.
            let overtaken = transport.seen_ack != self.seen_ack;
            self.after_poll_end(now, worked || overtaken);
            return;
        }
        if worked {
            self.retry.forget_failures();
            self.ranking.on_success();
        } else {
            self.kind = self.ranking.on_failure(self.kind);
            if !self.created && self.attempts.is_halted(self.ranking.round()) {
                self.retry.halt(now);
            } else {
                self.retry.forget_halts();
            }
        }
        // The predecessor may still be attached.
        let standing = self.transports.values().rev().find(|t| t.is_primary() && t.attached);
        self.active_kind = standing.map(|t| t.kind);
        self.counters.reconnects += 1;
        self.retry.fail(now);
    }

    /// Starts the next poll immediately. After two polls without new content the back-off applies, since the server
    /// does not hold its responses.
    fn after_poll_end(&mut self, now: Time, worked: bool) {
        self.idle_polls = if worked { 0 } else { self.idle_polls + 1 };
        if self.idle_polls > 1 {
            self.retry.fail(now);
        } else {
            self.retry.reset();
        }
    }
}
