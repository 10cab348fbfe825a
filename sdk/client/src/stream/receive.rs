//! What comes in on a transport, and how transports end.

use bytes::Bytes;
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{Frame, KillReason, Received, Reset, Sack};

use super::transport::{End, Role, Transport};
use super::{Output, StreamMachine, Time};
use crate::config::TransportKind;
use crate::error::EndedBy;

/// How long received strings may wait for their SACK on an HTTP stream: it needs an upload for it, so more may join.
/// On sockets it is a matter of patience; polls take it along anyway.
const HTTP_SACK_DELAY: Time = Time::from_millis(20);

/// A primary that lived this long worked, whatever came of it.
const WORKED: Time = Time::from_secs(5);

impl StreamMachine {
    /// A frame came in. Frames of transports that are over are ignored.
    pub(crate) fn on_frame(&mut self, now: Time, number: u64, frame: Frame) {
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        transport.last_heard = now;
        match frame {
            Frame::StreamCreated => self.on_created(now, number),
            Frame::Sack(sack) => self.on_sack(now, number, sack),
            Frame::StreamStatus(status) => self.on_status(now, number, &status),
            Frame::SeqNum(next) => {
                transport.next_received = next;
                self.on_attached(now, number);
            }
            Frame::String(string) => self.on_string(now, number, string),
            Frame::Comment(text) if text == "beat" => self.on_attached(now, number),
            Frame::Comment(_) => {}
            Frame::YouCloseIt => self.over(now, number, End::Finished),
            Frame::TransportKill(reason) => self.on_kill(now, number, reason),
            Frame::Reset(reset) => self.on_reset(reset),
            // No server says hello.
            Frame::Hello(_) => self.over(now, number, End::Failed),
        }
        self.plan(now);
    }

    /// The transport is gone: its response ended, its socket was closed, it could not be opened.
    pub(crate) fn on_end(&mut self, now: Time, number: u64, end: End) {
        if let Some(transport) = self.transports.remove(&number) {
            self.after(now, transport, end);
        }
        self.plan(now);
    }

    /// The transport is over by what was said on it: close it.
    pub(super) fn over(&mut self, now: Time, number: u64, end: End) {
        if let Some(transport) = self.transports.remove(&number) {
            self.outputs.push_back(Output::Close { number });
            self.after(now, transport, end);
        }
    }

    fn on_created(&mut self, now: Time, number: u64) {
        if !self.created {
            self.created = true;
            self.note_use(number);
        }
        self.on_attached(now, number);
    }

    /// The server has taken the transport on: older primaries have served their time.
    fn on_attached(&mut self, now: Time, number: u64) {
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
        self.carried_by = Some(transport.kind);
        for (_, older) in self.transports.range_mut(..number).filter(|(_, t)| t.is_primary()) {
            older.close_by.get_or_insert(now + self.config.heartbeat);
        }
    }

    fn on_sack(&mut self, now: Time, number: u64, sack: Sack) {
        self.on_attached(now, number);
        let before = (self.queue.base(), self.queue.bytes());
        if self.queue.apply(&sack).is_err() {
            // Someone else uses our stream id, or the server is mad: no string's number can be trusted.
            self.end(EndedBy::Client, "server acknowledged unsent strings".into(), false);
            return;
        }
        if (self.queue.base(), self.queue.bytes()) != before {
            self.note_use(number);
        }
        // Transports overtake each other: an older SACK says nothing new.
        if sack.acked >= self.seen_ack.acked && sack != self.seen_ack {
            self.seen_ack = sack;
            self.note_use(number);
        }
    }

    /// What the server has seen of our SACKs; an upload's is the last word on what it brought.
    fn on_status(&mut self, now: Time, number: u64, status: &Sack) {
        self.on_attached(now, number);
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        if transport.role == Role::Upload {
            transport.carried_sack = false;
            if *status != self.sack() {
                self.sack_by(self.http_sack_due(now));
            }
        }
    }

    fn on_string(&mut self, now: Time, number: u64, string: Bytes) {
        self.on_attached(now, number);
        self.note_use(number);
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        let mut string_number = transport.next_received;
        if mutation::is(Mutation::DeliverBehindGap) {
            string_number = string_number.min(self.window.next());
        }
        transport.next_received += 1;
        let (kind, length) = (transport.kind, string.len());
        let is_current = transport.generation == self.generation;
        let had_gap = self.window.waiting().next().is_some();
        let Ok(received) = self.window.receive(string_number, string) else {
            // It would be lost here; a new primary gets it again.
            self.over(now, number, End::Failed);
            return;
        };
        let in_order = received == Received::Deliverable && !had_gap;
        // What comes on a socket that is to be succeeded is not kept for the successor's hello.
        let may_wait = in_order && is_current;
        let due = match kind {
            TransportKind::HttpStream => self.http_sack_due(now),
            TransportKind::Tcp | TransportKind::WebSocket if may_wait => {
                self.patience.on_string(now, length)
            }
            TransportKind::Tcp | TransportKind::WebSocket | TransportKind::LongPoll => now,
        };
        self.sack_by(due);
    }

    /// A socket that succeeds HTTP needs no upload.
    fn http_sack_due(&self, now: Time) -> Time {
        if self.kind.is_socket() { now } else { now + HTTP_SACK_DELAY }
    }

    fn on_kill(&mut self, now: Time, number: u64, reason: KillReason) {
        if reason == KillReason::AckedUnsentStrings {
            self.acked_unsent += 1;
        }
        let lost = reason == KillReason::StreamAttachFailure || self.acked_unsent > 1;
        match &self.resetting {
            Some(_) if lost => self.end_by_reset(),
            None if lost => self.end(EndedBy::Server, reason.to_string(), false),
            Some(_) | None => self.over(now, number, End::Failed),
        }
    }

    fn on_reset(&mut self, reset: Reset) {
        if self.resetting.is_some() {
            self.end_by_reset();
        } else {
            self.end(EndedBy::Server, reset.reason, reset.application_level);
        }
    }

    /// The server knows that we gave the stream up: it says that there is no such stream, or how it ended.
    fn end_by_reset(&mut self) {
        if let Some(reset) = self.resetting.take() {
            self.end(EndedBy::Client, reset.reason, reset.application_level);
        }
    }

    /// Something came of this transport: what failed before is forgotten.
    fn note_use(&mut self, number: u64) {
        let Some(transport) = self.transports.get_mut(&number) else {
            return;
        };
        transport.useful = true;
        self.acked_unsent = 0;
        match transport.role {
            Role::Primary => {
                self.retry.forget_failures();
                self.route.on_success();
            }
            Role::Upload => self.upload_retry.forget_failures(),
        }
    }

    /// What follows from the end of a transport.
    fn after(&mut self, now: Time, transport: Transport, end: End) {
        if transport.carried_sack && end == End::Failed {
            self.sack_by(now);
        }
        if transport.is_socket() {
            self.hasten_sack(now);
        }
        match transport.role {
            Role::Primary => self.after_primary(now, &transport, end),
            // Its gentle end proves nothing: a server that drains says the same before it has read the reset. The
            // primary or the next upload is told that the stream is over.
            Role::Upload if transport.reset_sent => self.upload_retry.fail(now),
            Role::Upload if end == End::Finished && transport.useful => self.upload_retry.reset(),
            // A SACK was all it had to bring, and it did.
            Role::Upload if end == End::Finished && transport.next_on_wire.is_none() => {}
            Role::Upload => self.upload_retry.fail(now),
        }
    }

    fn after_primary(&mut self, now: Time, transport: &Transport, end: End) {
        if transport.close_by.is_some() || self.has_current_primary() {
            // Its successor's strings may stand behind a gap that only a SACK makes the server fill.
            self.sack_by(now);
            return;
        }
        let lived = now.saturating_sub(transport.opened) >= WORKED;
        let worked = transport.useful || (lived && (transport.attached || end == End::Finished));
        if transport.kind == TransportKind::LongPoll && end == End::Finished {
            // An upload's answer may have overtaken it: then the server had to say that once more.
            let overtaken = transport.seen_ack != self.seen_ack;
            self.after_poll(now, worked || overtaken);
            return;
        }
        if worked {
            self.retry.forget_failures();
            self.route.on_success();
        } else {
            self.kind = self.route.on_failure(self.kind);
        }
        // One that it should have succeeded may still stand.
        let standing = self.transports.values().rev().find(|t| t.is_primary() && t.attached);
        self.carried_by = standing.map(|t| t.kind);
        self.counters.reconnects += 1;
        self.retry.fail(now);
    }

    /// Polls follow one another at once. Several in a row that say nothing new are a server that has nothing
    /// to say and does not hold them.
    fn after_poll(&mut self, now: Time, worked: bool) {
        self.futile_polls = if worked { 0 } else { self.futile_polls + 1 };
        if self.futile_polls > 1 {
            self.retry.fail(now);
        } else {
            self.retry.reset();
        }
    }
}
