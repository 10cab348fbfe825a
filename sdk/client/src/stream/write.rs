//! What goes out on a transport: the hello, SACKs, strings, the reset.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::{Eeds, Frame, Hello};

use super::transport::{Role, Transport};
use super::{StreamMachine, Time};
use crate::config::TransportKind;

impl StreamMachine {
    /// The frames to write to this transport now; called when it can take some. An upload's whole body
    /// is its first frames.
    pub(crate) fn take_frames(&mut self, now: Time, number: u64) -> Vec<Frame> {
        let carrier = self.carrier();
        let mut frames = Vec::new();
        let Some(mut transport) = self.transports.remove(&number) else {
            return frames;
        };
        self.write(now, number, &mut transport, carrier == Some(number), &mut frames);
        self.transports.insert(number, transport);
        frames
    }

    fn write(
        &mut self,
        now: Time,
        number: u64,
        transport: &mut Transport,
        is_carrier: bool,
        frames: &mut Vec<Frame>,
    ) {
        let is_upload = transport.role == Role::Upload;
        if !transport.hello_sent {
            transport.hello_sent = true;
            transport.seen_ack = self.seen_ack.clone();
            transport.last_heard = now;
            self.told = self.sack();
            frames.push(Frame::Hello(Bytes::from(self.hello(number, transport).to_json())));
            transport.carried_sack = self.take_sack(now, |_| true);
        } else if is_upload || !is_carrier {
            return;
        }
        if is_upload || (is_carrier && transport.is_socket()) {
            self.write_strings(transport, frames);
            self.write_reset(transport, frames);
        }
        let is_silent = self.beat_due(transport).is_some_and(|due| due <= now);
        let has_company = is_silent || !frames.is_empty();
        if transport.is_socket() && self.take_sack(now, |due| has_company || due <= now) {
            self.write_sack(frames);
        }
        if is_silent && is_carrier && frames.is_empty() {
            frames.push(Frame::Sack(self.told.clone()));
        }
        if !frames.is_empty() {
            transport.last_written = now;
        }
    }

    /// When something must be written to a transport: a server that hears nothing for twice the heartbeat takes
    /// the connection for dead.
    pub(super) fn beat_due(&self, transport: &Transport) -> Option<Time> {
        transport.is_socket().then(|| transport.last_written + self.config.heartbeat)
    }

    /// Whether a SACK is to go now; then none is due any more.
    fn take_sack(&mut self, now: Time, goes: impl Fn(Time) -> bool) -> bool {
        let due = self.sack_due.take_if(|due| goes(*due));
        due.inspect(|due| self.patience.on_sack(now, *due)).is_some()
    }

    /// Before the own strings.
    fn write_sack(&mut self, frames: &mut Vec<Frame>) {
        let sack = self.sack();
        // What is withheld is not worth a repetition.
        if self.withheld == 0 || sack != self.told {
            self.told = sack.clone();
            frames.insert(0, Frame::Sack(sack));
        }
    }

    /// Strings from where this transport stands, as many as may be under way.
    fn write_strings(&self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        let under_way = self.queue.iter_from(0).take_while(|(n, _)| *n < transport.next_sent);
        let mut in_flight: usize = under_way.map(|(_, string)| cost(string)).sum();
        for (number, string) in self.queue.iter_from(transport.next_sent) {
            if in_flight > 0 && in_flight + cost(string) > self.config.max_in_flight {
                break;
            }
            if transport.next_on_wire != Some(number) {
                frames.push(Frame::SeqNum(number));
            }
            frames.push(Frame::String(string.clone()));
            in_flight += cost(string);
            transport.next_sent = number + 1;
            transport.next_on_wire = Some(number + 1);
        }
    }

    fn write_reset(&self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        if let Some(reset) = self.resetting.as_ref().filter(|_| !transport.reset_sent) {
            transport.reset_sent = true;
            frames.push(Frame::Reset(reset.clone()));
        }
    }

    fn hello(&self, number: u64, transport: &Transport) -> Hello {
        let is_upload = transport.role == Role::Upload;
        let is_poll = transport.kind == TransportKind::LongPoll;
        let heartbeat = Duration::from_secs(self.config.heartbeat.as_secs());
        Hello {
            tnum: number,
            id: self.id.clone(),
            new: !self.created,
            ming: !is_upload && !is_poll,
            // A heartbeat would end a poll at once; polls end by `maxt` instead.
            beat: if transport.is_socket() { heartbeat } else { Duration::ZERO },
            maxia: if is_upload || is_poll { Duration::ZERO } else { heartbeat },
            seenack: self.seen_ack.clone(),
            sack: Some(self.told.clone()),
            eeds: if is_upload { Eeds::Absent } else { self.predecessor(number) },
            maxt: (is_poll && !is_upload).then_some(heartbeat),
            cred: self.config.credentials.clone().filter(|_| !self.created),
            why: None,
        }
    }

    /// The primary that this one is to succeed: one that still works. After a failure there is none, and
    /// the server writes again all that we have not acknowledged.
    fn predecessor(&self, number: u64) -> Eeds {
        let mut older = self.transports.range(..number).rev();
        let working = older.find(|(_, t)| t.is_primary() && t.attached);
        working.map_or(Eeds::Null, |(&number, _)| Eeds::Number(number))
    }
}

/// What a string counts under way. Never nothing: that means that nothing is under way.
fn cost(string: &Bytes) -> usize {
    string.len() + 1
}
