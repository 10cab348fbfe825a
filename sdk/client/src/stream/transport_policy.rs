//! Transport policy of the stream machine: which transports to open, and the machine's next timeout.

use minerva_proto::TransportNumber;
use minerva_proto::mutation::{self, Mutation};

use super::backoff::Backoff;
use super::transport::{End, Role, Transport};
use super::{Output, RESET_UNCONFIRMED, StreamMachine, Time};
use crate::config::TransportKind;
use crate::error::EndedBy;
use crate::problem::{Problem, ProblemCode};

/// Time limit for the response to a hello, which the server sends immediately. A proxy that buffers responses
/// exceeds the limit.
const ANSWER_TIMEOUT: Time = Time::from_secs(15);

impl StreamMachine {
    /// Handles all deadlines up to `now`.
    pub(crate) fn on_timeout(&mut self, now: Time) {
        if self.reset_deadline().is_some_and(|deadline| deadline <= now) {
            self.end(EndedBy::Client, RESET_UNCONFIRMED.to_owned(), false);
        }
        for number in self.open_numbers() {
            let deadline = self.transports.get(&number).and_then(|t| self.deadline(t));
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.on_silence(number);
                self.close(now, number, End::Failed);
            }
        }
        self.plan(now);
    }

    /// Notes the problem of a transport whose deadline has passed.
    fn on_silence(&mut self, number: TransportNumber) {
        let Some(transport) = self.transports.get(&number) else { return };
        let title = match (transport.close_by, transport.hello_sent, transport.attached) {
            // Replaced by a successor.
            (Some(_), ..) => return,
            (None, false, _) => "the connection was not opened in time",
            (None, true, false) => {
                "no answer to the hello: the server is not reachable behind its address, or a proxy buffers"
            }
            (None, true, true) => "no sign of life from the server",
        };
        self.on_problem(number, Problem::new(ProblemCode::Timeout, title));
    }

    /// Time of the next [`Self::on_timeout`] call.
    pub(crate) fn next_timeout(&self, now: Time) -> Option<Time> {
        if self.ended.is_some() {
            return None;
        }
        let deadlines = self.transports.values().filter_map(|t| self.deadline(t));
        // An expired back-off counts as due until a transport was opened, since the caller may have been woken by
        // another event.
        let due =
            |wanted: bool, retry: &Backoff| wanted.then(|| retry.waits_until(now).unwrap_or(now));
        let primary = due(self.wants_primary(), &self.retry);
        let upload = due(self.wants_upload(now), &self.upload_retry);
        let sack = self.sack_due.filter(|due| *due > now);
        // An expired deadline waits for the socket, not for the timer.
        let heartbeat =
            self.carrying_transport().and_then(|t| self.heartbeat_due(t)).filter(|due| *due > now);
        let reset = self.reset_deadline();
        deadlines.chain(primary).chain(upload).chain(sack).chain(heartbeat).chain(reset).min()
    }

    fn reset_deadline(&self) -> Option<Time> {
        self.resetting.as_ref().map(|(_, deadline)| *deadline)
    }

    /// Opens missing transports whose back-off has expired.
    pub(super) fn plan(&mut self, now: Time) {
        if self.ended.is_some() {
            return;
        }
        if self.wants_primary() && self.retry.waits_until(now).is_none() {
            self.open(now, Role::Primary);
        }
        if self.wants_upload(now) && self.upload_retry.waits_until(now).is_none() {
            self.open(now, Role::Upload);
        }
    }

    /// The transport that carries c2s messages and SACKs: the newest attached primary, or the newest primary if none
    /// is attached.
    pub(super) fn carrier(&self) -> Option<TransportNumber> {
        let primaries = || self.transports.iter().rev().filter(|(_, t)| t.is_primary());
        let attached = primaries().find(|(_, t)| t.attached);
        attached.or_else(|| primaries().next()).map(|(&number, _)| number)
    }

    /// The transport of [`Self::carrier`].
    pub(super) fn carrying_transport(&self) -> Option<&Transport> {
        self.carrier().and_then(|number| self.transports.get(&number))
    }

    fn wants_primary(&self) -> bool {
        !self.has_current_primary()
    }

    pub(super) fn has_current_primary(&self) -> bool {
        self.transports.values().any(|t| t.is_primary() && t.generation == self.generation)
    }

    /// One upload at a time, only with an HTTP primary and after the server has confirmed the stream. A reset before
    /// the confirmation waits for the answers to the hellos with `new`.
    fn wants_upload(&self, now: Time) -> bool {
        let uploading = self.transports.values().any(|t| t.role == Role::Upload);
        if self.kind.is_socket() || uploading {
            return false;
        }
        if !self.created {
            return self.resetting.is_some()
                && !self.transports.values().any(Transport::may_create);
        }
        // A poll's SACK is sent with the next poll, which follows immediately.
        let sack =
            self.kind == TransportKind::HttpStream && self.sack_due.is_some_and(|due| due <= now);
        !self.queue.is_empty() || sack || self.resetting.is_some() || self.has_credentials()
    }

    fn open(&mut self, now: Time, role: Role) {
        let number = self.next_number;
        self.next_number += 1;
        self.counters.transports += 1;
        let (kind, server) = (self.kind, self.ranking.server());
        let version = self.negotiation.version();
        let mut transport = Transport::new((kind, role, server), version, self.generation, now);
        if mutation::is(Mutation::ForgetToSendAgain) && self.created {
            transport.next_sent = self.queue.next();
        }
        self.transports.insert(number, transport);
        self.outputs.push_back(Output::Open { number, kind, role, server, version });
    }

    /// Time at which a transport without input has failed.
    fn deadline(&self, transport: &Transport) -> Option<Time> {
        // Responses to uploads are always read.
        if !self.reading && transport.is_primary() {
            return None;
        }
        // Polls have no heartbeats; `maxt` ends them after one heartbeat interval.
        let mut silence = transport.last_received_at + 2 * self.config.heartbeat;
        let answers_at_once = transport.is_primary() && transport.kind != TransportKind::LongPoll;
        if answers_at_once && !transport.attached {
            silence = silence.min(transport.last_received_at + ANSWER_TIMEOUT);
        }
        Some(transport.close_by.map_or(silence, |close_by| close_by.min(silence)))
    }
}
