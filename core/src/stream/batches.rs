//! What comes from the client: SACKs at once, strings as far as the inbox has room.

use std::mem;

use bytes::Bytes;
use minerva_proto::KillReason;

use super::state::Fit;
use super::transports::{Parked, Transport};
use super::{
    Batch, CloseCause, EdgeOutput, Ended, EndedBy, LinkId, Millis, Run, Stream, TransportKey, Turn,
};
use crate::record::Record;

/// Batches that wait on one transport before it is ended: an edge that keeps to its window of 256 KiB, in
/// which a frame counts as 30 bytes at least, never gets there.
pub(super) const MAX_PARKED: usize = 10_000;

/// How long an upload waits for room in the inbox while strings for the client wait for a SACK, in milliseconds.
/// The next upload brings one.
pub(super) const UPLOAD_WAIT_MS: u64 = 2_000;

impl Stream {
    /// More from the client. Ignored for a transport that is not attached (any more).
    pub fn on_batch(&mut self, link: LinkId, mut batch: Batch, turn: &mut Turn<'_>) {
        let key = TransportKey { link, transport: batch.transport };
        if self.transports.find(key).is_none() {
            return;
        }
        let sacks = mem::take(&mut batch.sacks);
        let bad_sack = sacks.into_iter().any(|sack| !self.recv_sack(sack, turn));
        if bad_sack && self.is_recovered {
            self.end_lost(turn);
            return;
        }
        let parked = Parked { batch, bad_sack, since: turn.now };
        let has_room = self.inbox_has_room(turn);
        let Some(transport) = self.transports.find(key) else { return };
        if parked.batch.reset.is_some() && !bad_sack {
            // The client is gone for good: what waits is the last there will be.
            let waiting = mem::take(&mut transport.parked);
            self.take_all(key, waiting.into_iter().chain([parked]), turn);
        } else if must_wait(transport, &parked, has_room) {
            self.park(key, parked, turn);
        } else {
            self.take(key, parked, turn);
        }
    }

    /// The inbox may have room again: takes what waits, transport by transport.
    pub(super) fn take_parked(&mut self, turn: &mut Turn<'_>) {
        for key in self.transports.keys(|transport| !transport.parked.is_empty()) {
            while self.inbox_has_room(turn) {
                let transport = self.transports.find(key);
                let Some(parked) = transport.and_then(|t| t.parked.pop_front()) else { break };
                self.take(key, parked, turn);
            }
        }
    }

    /// When the first upload has waited long enough. A client has one upload at a time, and says in its hello what
    /// it has received: two full directions would wait for each other.
    pub(super) fn upload_deadline(&self) -> Option<Millis> {
        let needs_sack = !self.state.outbox().is_empty();
        self.transports.waits_since().filter(|_| needs_sack).map(upload_deadline)
    }

    /// Ends the uploads that have waited long enough: the client says again what was not taken.
    pub(super) fn end_uploads(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        if self.upload_deadline().is_none_or(|at| at > now) {
            return;
        }
        let is_over = |t: &Transport| t.upload_since().is_some_and(|at| upload_deadline(at) <= now);
        for key in self.transports.keys(is_over) {
            self.close(key, CloseCause::Gentle, turn);
        }
    }

    fn park(&mut self, key: TransportKey, parked: Parked, turn: &mut Turn<'_>) {
        let Some(transport) = self.transports.find(key) else { return };
        transport.parked.push_back(parked);
        if transport.parked.len() > MAX_PARKED {
            let reason = "too many batches wait".to_owned();
            let cause = CloseCause::Unavailable { reason, retry_after_ms: 0 };
            self.close_bare(key, cause, turn);
        }
    }

    fn take_all(
        &mut self,
        key: TransportKey,
        parked: impl Iterator<Item = Parked>,
        turn: &mut Turn<'_>,
    ) {
        for parked in parked {
            if self.transports.find(key).is_none() {
                return;
            }
            self.take(key, parked, turn);
        }
    }

    /// Strings, their SACK, the reset, the end: in this order.
    fn take(&mut self, key: TransportKey, parked: Parked, turn: &mut Turn<'_>) {
        let Parked { batch, bad_sack, .. } = parked;
        let has_strings = batch.strings.iter().any(|run| !run.strings.is_empty());
        let overflow = !self.recv_strings(batch.strings, turn);
        if self.state.is_ended() {
            // The first string was refused, and all transports are told.
            return;
        }
        let kill = if bad_sack {
            Some(KillReason::AckedUnsentStrings)
        } else if overflow {
            Some(KillReason::RwinOverflow)
        } else {
            batch.end.and_then(|end| end.kill).filter(|_| batch.reset.is_none())
        };
        if let Some(kill) = kill {
            // Its SACK is the answer to the strings.
            self.close(key, CloseCause::Kill(kill), turn);
            return;
        }
        if has_strings {
            let sack = self.state.sack();
            turn.effects.edge(key, EdgeOutput::Sack { transport: key.transport, sack });
            if let Some(transport) = self.transports.find(key) {
                transport.has_output = true;
            }
        }
        let taken = EdgeOutput::Taken { transport: key.transport, batch: batch.number };
        turn.effects.edge(key, taken);
        if let Some(reset) = batch.reset {
            self.close(key, CloseCause::Gentle, turn);
            self.end(Ended { reset, by: EndedBy::Client }, turn);
        } else if batch.end.is_some() {
            self.close(key, CloseCause::Gentle, turn);
        }
    }

    /// Takes strings up to the first that does not fit, `false` if there is one; or to the stream's end.
    fn recv_strings(&mut self, runs: Vec<Run>, turn: &mut Turn<'_>) -> bool {
        for run in runs {
            for (index, string) in run.strings.into_iter().enumerate() {
                let number = run.first.saturating_add(index as u64);
                if self.state.is_ended() {
                    return true;
                }
                match self.state.fit(number, &string, turn.limits) {
                    Fit::Duplicate => {}
                    Fit::Fits => self.recv_string(number, string, turn),
                    Fit::Overflow => return false,
                }
            }
        }
        true
    }

    fn recv_string(&mut self, number: u64, string: Bytes, turn: &mut Turn<'_>) {
        if number == 0 && !self.settle(&string, turn) {
            return;
        }
        self.commit(Record::Received { first: number, strings: vec![string] }, turn);
    }

    fn inbox_has_room(&self, turn: &Turn<'_>) -> bool {
        let inbox = self.state.inbox();
        inbox.bytes() < turn.limits.inbox_bytes && inbox.strings() < turn.limits.inbox_strings
    }
}

fn upload_deadline(since: Millis) -> Millis {
    Millis(since.0.saturating_add(UPLOAD_WAIT_MS))
}

/// Whether a batch must wait for room in the inbox, or for one that does.
fn must_wait(transport: &Transport, parked: &Parked, has_room: bool) -> bool {
    !transport.parked.is_empty() || (!has_room && !parked.batch.strings.is_empty())
}
