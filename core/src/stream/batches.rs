//! What comes from the client: SACKs at once, strings as far as the inbox has room. And what its transport is told
//! of it: by itself, or with the strings that answer it.

use std::mem;

use bytes::Bytes;
use minerva_proto::KillReason;

use super::company::Company;
use super::transports::{Parked, Transport};
use super::{Batch, CloseCause, EdgeOutput, LinkId, Millis, Run, Stream, TransportKey, Turn};
use crate::state::{Ended, EndedBy, Fit, Record};

/// Batches that wait on one transport before it is ended: an edge that keeps to its window of 256 KiB, in
/// which a frame counts as 30 bytes at least, never gets there.
pub(super) const MAX_PARKED: usize = 10_000;

/// How long an upload waits for room in the inbox while strings for the client wait for a SACK, in milliseconds.
/// The next upload brings one.
pub(super) const UPLOAD_WAIT_MS: u64 = 2_000;

/// What the primary transport is to be told of its batches.
#[derive(Debug, Default)]
pub(super) struct Owed {
    company: Company,
    answer: Option<Answer>,
}

/// Batches that were taken, of one transport.
#[derive(Debug)]
struct Answer {
    key: TransportKey,
    /// Number of the last one.
    batch: u64,
    /// Whether there were strings in them, which a SACK answers.
    has_messages: bool,
}

impl Owed {
    /// When it is told at the latest.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.company.deadline()
    }

    /// The transport is gone.
    pub(super) fn forget(&mut self, key: TransportKey) {
        if self.answer.take_if(|answer| answer.key == key).is_some() {
            self.company.forget();
        }
    }
}

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
        let messages = batch.runs.iter().map(|run| run.messages.len()).sum();
        let bytes = batch.runs.iter().flat_map(|run| &run.messages).map(Bytes::len).sum();
        let overflow = !self.recv_strings(batch.runs, turn);
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
        self.owe(Answer { key, batch: batch.number, has_messages: messages > 0 }, turn);
        self.owed.company.owe(turn.now, messages, bytes);
        let may_wait = self.transports.primary().is_some_and(|t| t.key == key && !t.single_flush);
        if !may_wait || batch.reset.is_some() || batch.end.is_some() {
            self.say_owed(turn);
        }
        if let Some(reset) = batch.reset {
            self.close(key, CloseCause::Gentle, turn);
            self.end(Ended { reset, by: EndedBy::Client }, turn);
        } else if batch.end.is_some() {
            self.close(key, CloseCause::Gentle, turn);
        }
    }

    /// One more batch is to be answered. One answer is enough for all of a transport.
    fn owe(&mut self, mut answer: Answer, turn: &mut Turn<'_>) {
        match &self.owed.answer {
            Some(before) if before.key == answer.key => answer.has_messages |= before.has_messages,
            Some(_) => self.say_owed(turn),
            None => {}
        }
        self.owed.answer = Some(answer);
    }

    /// Says what must not wait any longer for strings.
    pub(super) fn say_due(&mut self, turn: &mut Turn<'_>) {
        if self.owed.company.is_due(turn.now) {
            self.say_owed(turn);
        }
    }

    /// Strings go to the primary transport now: what it is to be told goes before them.
    pub(super) fn say_owed_with_strings(&mut self, turn: &mut Turn<'_>) {
        if self.owed.company.join(turn.now)
            && let Some(answer) = self.owed.answer.take()
        {
            self.say(answer, turn);
        }
    }

    /// Says what a transport is to be told, if anything.
    pub(super) fn say_owed(&mut self, turn: &mut Turn<'_>) {
        self.owed.company.go_alone(turn.now);
        if let Some(answer) = self.owed.answer.take() {
            self.say(answer, turn);
        }
    }

    fn say(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Answer { key, batch, has_messages } = answer;
        if has_messages {
            let sack = self.state.sack();
            turn.effects.edge(key, EdgeOutput::Sack { transport: key.transport, sack });
            if let Some(transport) = self.transports.find(key) {
                transport.has_output = true;
            }
        }
        turn.effects.edge(key, EdgeOutput::Taken { transport: key.transport, batch });
    }

    /// Takes strings up to the first that does not fit, `false` if there is one; or to the stream's end.
    fn recv_strings(&mut self, runs: Vec<Run>, turn: &mut Turn<'_>) -> bool {
        for run in runs {
            for (index, string) in run.messages.into_iter().enumerate() {
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
        self.commit(Record::Received { first: number, messages: vec![string] }, turn);
    }

    fn inbox_has_room(&self, turn: &Turn<'_>) -> bool {
        let inbox = self.state.inbox();
        inbox.bytes() < turn.limits.inbox_bytes && inbox.messages() < turn.limits.inbox_messages
    }
}

fn upload_deadline(since: Millis) -> Millis {
    Millis(since.0.saturating_add(UPLOAD_WAIT_MS))
}

/// Whether a batch must wait for room in the inbox, or for one that does.
fn must_wait(transport: &Transport, parked: &Parked, has_room: bool) -> bool {
    !transport.parked.is_empty() || (!has_room && !parked.batch.runs.is_empty())
}
