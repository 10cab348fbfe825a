//! Which transports there should be, and when to look again.

use minerva_proto::mutation::{self, Mutation};

use super::backoff::Backoff;
use super::transport::{End, Role, Transport};
use super::{Output, StreamMachine, Time};
use crate::config::TransportKind;

/// A hello is answered with a heartbeat at once, unless the server waits for one behind it, or something on the way
/// holds the response back.
const ANSWER_TIMEOUT: Time = Time::from_secs(15);

impl StreamMachine {
    /// The time has come that [`Self::next_timeout`] named.
    pub(crate) fn on_timeout(&mut self, now: Time) {
        for number in self.open_numbers() {
            let deadline = self.transports.get(&number).and_then(|t| self.deadline(t));
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.over(now, number, End::Failed);
            }
        }
        self.plan(now);
    }

    /// When [`Self::on_timeout`] must be called, unless something happens before.
    pub(crate) fn next_timeout(&self, now: Time) -> Option<Time> {
        if self.ended.is_some() {
            return None;
        }
        let deadlines = self.transports.values().filter_map(|t| self.deadline(t));
        // A wait that is over counts until something was opened: whoever asks may have been woken by something else.
        let due =
            |wanted: bool, retry: &Backoff| wanted.then(|| retry.waits_until(now).unwrap_or(now));
        let primary = due(self.wants_primary(), &self.retry);
        let upload = due(self.wants_upload(now), &self.upload_retry);
        let sack = self.sack_due.filter(|due| *due > now);
        // One that is over waits for the socket, not for the time.
        let carrier = self.carrier().and_then(|number| self.transports.get(&number));
        let beat = carrier.and_then(|t| self.beat_due(t)).filter(|due| *due > now);
        deadlines.chain(primary).chain(upload).chain(sack).chain(beat).min()
    }

    /// Opens what should be open and is not.
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

    /// The socket that strings and SACKs go out on: the newest one that the server has taken on. Until
    /// a successor is taken on, the old one goes on.
    pub(super) fn carrier(&self) -> Option<u64> {
        let primaries = || self.transports.iter().rev().filter(|(_, t)| t.is_primary());
        let attached = primaries().find(|(_, t)| t.attached);
        attached.or_else(|| primaries().next()).map(|(&number, _)| number)
    }

    fn wants_primary(&self) -> bool {
        !self.has_current_primary()
    }

    pub(super) fn has_current_primary(&self) -> bool {
        self.transports.values().any(|t| t.is_primary() && t.generation == self.generation)
    }

    /// At most one upload at a time, and only beside an HTTP primary, once the stream exists.
    fn wants_upload(&self, now: Time) -> bool {
        let uploading = self.transports.values().any(|t| t.role == Role::Upload);
        if self.kind.is_socket() || !self.created || uploading {
            return false;
        }
        // A poll's SACK goes with the next poll, which follows at once.
        let sack =
            self.kind == TransportKind::HttpStream && self.sack_due.is_some_and(|due| due <= now);
        !self.queue.is_empty() || sack || self.resetting.is_some()
    }

    fn open(&mut self, now: Time, role: Role) {
        let number = self.next_number;
        self.next_number += 1;
        self.counters.transports += 1;
        let mut transport = Transport::new(self.kind, role, self.generation, now);
        if mutation::is(Mutation::ForgetToSendAgain) && self.created {
            transport.next_sent = self.queue.next();
        }
        self.transports.insert(number, transport);
        let (kind, server) = (self.kind, self.route.server());
        self.outputs.push_back(Output::Open { number, kind, role, server });
    }

    /// When a transport counts as dead.
    fn deadline(&self, transport: &Transport) -> Option<Time> {
        if !self.reading {
            return None;
        }
        // Polls have no heartbeats; they end by `maxt`, which is one heartbeat long.
        let mut silence = transport.last_heard + 2 * self.config.heartbeat;
        let answers_at_once = transport.is_primary() && transport.kind != TransportKind::LongPoll;
        if answers_at_once && !transport.attached {
            silence = silence.min(transport.last_heard + ANSWER_TIMEOUT);
        }
        Some(transport.close_by.map_or(silence, |close_by| close_by.min(silence)))
    }
}
