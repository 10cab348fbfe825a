//! Batches from the client: SACKs are applied at once, messages as far as the inbox has room.

use std::mem;

use minerva_proto::link::{Batch, CloseCause, Run};
use minerva_proto::{KillReason, MessageNumber, Payload, ReceivedTags};

use super::batch_ack::BatchAck;
use super::machine::Stream;
use super::rollback_detection::LossReporter;
use super::transports::{Parked, Transport};
use super::{Intake, Millis, TransportKey, Turn};
use crate::state::{Admission, Ended, EndedBy, Record};
use crate::unavailable;

/// Parked batches at which a transport is closed. An edge that keeps to the window of 256 KiB, in which a frame counts
/// at least 30 bytes, never reaches this limit.
pub(super) const MAX_PARKED: usize = 10_000;

/// Longest wait of an upload for room in the inbox while s2c messages are unacknowledged, in milliseconds.
///
/// The client sends a SACK with the next upload. Without this limit two full directions would wait for each other.
pub(super) const UPLOAD_WAIT_MS: u64 = 2_000;

/// How many messages of a batch were received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    /// All, or all until the stream ended.
    All,
    /// Those in front of a gap; the budgets admit no message beyond a gap.
    Gap,
    /// Those that the receive window has room for.
    Overflow,
}

impl Stream {
    /// Handles a batch of frames. A batch of a transport that is no longer attached has no effect.
    pub fn on_batch(&mut self, key: TransportKey, mut batch: Batch, turn: &mut Turn<'_>) {
        if self.transports.find(key).is_none() {
            return;
        }
        // The link has checked that text is UTF-8.
        let has_kinds = self.state.origin().protocol.has_kinds();
        if !has_kinds
            && !batch.runs.iter().flat_map(|run| &run.messages).all(Payload::is_ascii_text)
        {
            let reason = "batch.runs: version 2 has no bytes outside 0x20-0x7E".to_owned();
            self.close_bare(key, CloseCause::Refused { reason }, turn);
            return;
        }
        if let Some(identity) = batch.identity.take() {
            self.on_renewal(&identity, turn);
        }
        let bad_sack = !self.recv_sacks(key, &mut batch, turn);
        if bad_sack && self.may_be_outdated {
            self.end_lost(LossReporter::Client, turn);
            return;
        }
        let parked = Parked { batch, bad_sack, since: turn.now };
        let has_room = self.inbox_has_room(turn);
        let Some(transport) = self.transports.find(key) else { return };
        if parked.batch.reset.is_some() && !bad_sack {
            // The client sends nothing after a reset, so the parked batches are accepted beyond the limit.
            let waiting = mem::take(&mut transport.parked);
            self.accept_all(key, waiting.into_iter().chain([parked]), turn);
        } else if must_park(transport, &parked, has_room) {
            self.park(key, parked, turn);
        } else {
            self.accept(key, parked, turn);
        }
    }

    /// Applies the SACKs of a batch with the claim tags in force; returns false at the first invalid SACK.
    fn recv_sacks(&mut self, key: TransportKey, batch: &mut Batch, turn: &mut Turn<'_>) -> bool {
        let sacks = mem::take(&mut batch.sacks);
        let mut tags = mem::take(&mut batch.tag_history);
        let has_new_tags = !tags.is_empty();
        if let Some(transport) = self.transports.find(key).filter(|_| !has_new_tags) {
            tags = mem::take(&mut transport.received_tags);
        }
        let is_valid = sacks.into_iter().all(|sack| self.recv_sack(sack, &tags, turn));
        let agrees = !has_new_tags || self.agrees_with(&tags, None);
        self.set_received_tags(key, tags);
        is_valid && agrees
    }

    /// Sets the claim tags with which the client of a transport has received messages.
    pub(super) fn set_received_tags(&mut self, key: TransportKey, tags: ReceivedTags) {
        if let Some(transport) = self.transports.find(key) {
            transport.received_tags = tags;
        }
    }

    /// The budgets outside of the stream may have room again.
    pub fn on_intake(&mut self, turn: &mut Turn<'_>) {
        if !self.state.is_ended() {
            self.accept_parked(turn);
        }
    }

    /// Whether batches wait for room.
    pub fn has_parked(&self) -> bool {
        !self.transports.keys(|transport| !transport.parked.is_empty()).is_empty()
    }

    /// Accepts parked batches, transport by transport, while the inbox has room.
    pub(super) fn accept_parked(&mut self, turn: &mut Turn<'_>) {
        for key in self.transports.keys(|transport| !transport.parked.is_empty()) {
            while self.inbox_has_room(turn) {
                let transport = self.transports.find(key);
                let Some(parked) = transport.and_then(|t| t.parked.pop_front()) else { break };
                self.accept(key, parked, turn);
            }
        }
    }

    /// The time at which the oldest waiting upload must be ended.
    pub(super) fn upload_deadline(&self) -> Option<Millis> {
        let needs_sack = !self.state.outbox().is_empty();
        let since = self.transports.upload_since().filter(|_| needs_sack);
        since.map(|since| since.after(UPLOAD_WAIT_MS))
    }

    /// Ends the uploads whose deadline has passed. The client sends the unacknowledged messages again.
    pub(super) fn end_uploads(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        if self.upload_deadline().is_none_or(|at| at > now) {
            return;
        }
        let is_over = |transport: &Transport| {
            transport.upload_since().is_some_and(|since| since.after(UPLOAD_WAIT_MS) <= now)
        };
        for key in self.transports.keys(is_over) {
            self.close(key, CloseCause::Gentle, turn);
        }
    }

    fn park(&mut self, key: TransportKey, parked: Parked, turn: &mut Turn<'_>) {
        let Some(transport) = self.transports.find(key) else { return };
        transport.parked.push_back(parked);
        if transport.parked.len() > MAX_PARKED {
            self.close_bare(key, unavailable::close(unavailable::TOO_MANY_BATCHES), turn);
        }
    }

    fn accept_all(
        &mut self,
        key: TransportKey,
        parked: impl Iterator<Item = Parked>,
        turn: &mut Turn<'_>,
    ) {
        for parked in parked {
            if self.transports.find(key).is_none() {
                return;
            }
            self.accept(key, parked, turn);
        }
    }

    /// Handles the messages of a batch, then acknowledges them, then handles the reset and the end.
    fn accept(&mut self, key: TransportKey, parked: Parked, turn: &mut Turn<'_>) {
        let Parked { batch, bad_sack, .. } = parked;
        let messages = batch.runs.iter().map(|run| run.messages.len()).sum();
        let bytes = batch.runs.iter().flat_map(|run| &run.messages).map(Payload::len).sum();
        let received = self.recv_messages(batch.runs, turn);
        if self.state.is_ended() {
            // The first message selected no service: all transports are closed.
            return;
        }
        let kill = if bad_sack {
            Some(KillReason::AckedUnsentStrings)
        } else if received == Received::Overflow {
            Some(KillReason::RwinOverflow)
        } else {
            batch.end.and_then(|end| end.kill).filter(|_| batch.reset.is_none())
        };
        if let Some(kill) = kill {
            // The SACK of the close acknowledges the messages.
            self.close(key, CloseCause::Kill(kill), turn);
            return;
        }
        if received == Received::Gap && batch.reset.is_none() {
            self.close_bare(key, unavailable::close(unavailable::NO_ROOM_BEHIND_GAP), turn);
            return;
        }
        if self.batch_ack.is_for_other(key) {
            self.flush_batch_ack(turn);
        }
        let ack = BatchAck { key, batch: batch.number, has_messages: messages > 0 };
        self.batch_ack.add(ack, turn.now, messages, bytes);
        let may_wait = self.transports.primary().is_some_and(|t| t.key == key && !t.single_flush);
        if !may_wait || batch.reset.is_some() || batch.end.is_some() {
            self.flush_batch_ack(turn);
        }
        if let Some(reset) = batch.reset {
            self.end(Ended { reset, by: EndedBy::Client }, turn);
        } else if batch.end.is_some() {
            self.close(key, CloseCause::Gentle, turn);
        }
    }

    /// Receives messages until the stream ends, or until the first one that must not be taken.
    fn recv_messages(&mut self, runs: Vec<Run>, turn: &mut Turn<'_>) -> Received {
        for run in runs {
            for (index, message) in run.messages.into_iter().enumerate() {
                let number = run.first.saturating_add(index as u64);
                if self.state.is_ended() {
                    return Received::All;
                }
                match self.state.admission(number, &message, turn.limits) {
                    Admission::Duplicate => {}
                    Admission::Accept
                        if turn.intake < Intake::All && number > self.state.window().next() =>
                    {
                        return Received::Gap;
                    }
                    Admission::Accept => self.recv_message(number, message, turn),
                    Admission::Overflow => return Received::Overflow,
                }
            }
        }
        Received::All
    }

    fn recv_message(&mut self, number: MessageNumber, message: Payload, turn: &mut Turn<'_>) {
        if number == MessageNumber(0) && !self.select_service(&message, turn) {
            return;
        }
        self.commit(Record::Received { first: number, messages: vec![message] }, turn);
    }

    fn inbox_has_room(&self, turn: &Turn<'_>) -> bool {
        let inbox = self.state.inbox();
        turn.intake > Intake::Nothing
            && inbox.bytes() < turn.limits.inbox_bytes
            && inbox.messages() < turn.limits.inbox_messages
    }
}

/// Returns true if the batch must wait for room in the inbox or for an earlier batch of the transport.
fn must_park(transport: &Transport, parked: &Parked, has_room: bool) -> bool {
    !transport.parked.is_empty() || (!has_room && !parked.batch.runs.is_empty())
}
