//! Output side of the stream machine: hello, SACKs, messages, heartbeats and the reset.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::{Eeds, Hello, Message, MessageNumber, TransportNumber};

use super::claim_tags;
use super::transport::{Role, Transport};
use super::{StreamMachine, Time};
use crate::config::TransportKind;
use crate::wire::{Frame, WireVersion};

/// Shortest run of messages that is compressed, in bytes.
const SHORTEST_RUN: usize = 16 * 1024;
/// Length at which a run ends, in bytes. The longest message behind it fits into a run of the server's limit.
const LONGEST_RUN: usize = 32 * 1024;

impl StreamMachine {
    /// Takes the frames to write to a transport; called when the transport is writable. The first frames of an upload
    /// are the complete request body.
    pub(crate) fn take_frames(&mut self, now: Time, number: TransportNumber) -> Vec<Frame> {
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
        number: TransportNumber,
        transport: &mut Transport,
        is_carrier: bool,
        frames: &mut Vec<Frame>,
    ) {
        let is_upload = transport.role == Role::Upload;
        let is_first = !transport.hello_sent;
        if is_first {
            transport.hello_sent = true;
            transport.seen_ack = self.seen_ack.clone();
            transport.last_received_at = now;
            self.last_sent_sack = self.sack();
            transport.sack = self.last_sent_sack.clone();
            let hello = self.hello(number, transport);
            transport.asked_new = hello.new;
            self.may_exist |= hello.new;
            frames.push(self.hello_frame(hello, transport));
            transport.has_unconfirmed_sack = self.take_sack(now, |_| true);
        } else if is_upload || !is_carrier {
            self.write_reset_behind_new(transport, frames);
            return;
        }
        let carries_reset = is_first && self.resetting.is_some();
        if is_upload || (is_carrier && (transport.is_socket() || carries_reset)) {
            if !transport.reset_sent {
                self.write_credentials(transport, frames);
                self.write_messages(transport, frames);
                self.write_reset(transport, frames);
            }
            // The other transports; an unanswered hello with `new` may reach the server after this one.
            let may_be_created = self.transports.values().any(Transport::may_create);
            transport.asks_reason |= carries_reset && !may_be_created;
        }
        let heartbeat_is_due = self.heartbeat_due(transport).is_some_and(|due| due <= now);
        let can_piggyback = heartbeat_is_due || !frames.is_empty();
        if transport.is_socket() && self.take_sack(now, |due| can_piggyback || due <= now) {
            self.write_sack(transport, frames);
        }
        if heartbeat_is_due && is_carrier && frames.is_empty() {
            frames.push(self.heartbeat(transport));
        }
        if !frames.is_empty() {
            transport.last_sent_at = now;
        }
    }

    /// Time of the next heartbeat on a socket. The server closes a socket without input for twice the interval.
    pub(super) fn heartbeat_due(&self, transport: &Transport) -> Option<Time> {
        transport.is_socket().then(|| transport.last_sent_at + self.config.heartbeat)
    }

    /// Takes the pending SACK if `goes` accepts the deadline.
    fn take_sack(&mut self, now: Time, goes: impl Fn(Time) -> bool) -> bool {
        let due = self.sack_due.take_if(|due| goes(*due));
        due.inspect(|due| self.delayed_ack.on_sack_sent(now, *due)).is_some()
    }

    fn heartbeat(&self, transport: &Transport) -> Frame {
        match transport.version {
            WireVersion::V2 => Frame::Sack(self.last_sent_sack.clone()),
            WireVersion::V3 => Frame::Comment(Bytes::new()),
        }
    }

    /// Writes the SACK in front of the own messages, behind new claim tags.
    fn write_sack(&mut self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        let sack = self.sack();
        // While acknowledgements are withheld, an unchanged SACK is not repeated.
        if self.withheld == 0 || sack != self.last_sent_sack {
            self.last_sent_sack = sack.clone();
            let tags = self.claim_tags.report();
            let changed = claim_tags::changed(&transport.reported_tags, &tags);
            let changed = changed.iter().map(|tag| Frame::ClaimTag(*tag)).collect::<Vec<_>>();
            frames.splice(0..0, changed.into_iter().chain([Frame::Sack(sack)]));
            transport.reported_tags = tags;
        }
    }

    /// Writes unsent messages up to the limit of bytes in flight.
    fn write_messages(&self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        let first = frames.len();
        self.write_plain_messages(transport, frames);
        let compresses = self.config.compress
            && transport.version == WireVersion::V3
            && self.negotiation.server_inflates();
        if compresses {
            let written = frames.split_off(first);
            frames.extend(runs(written));
        }
    }

    fn write_plain_messages(&self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        let sent =
            self.queue.iter_from(MessageNumber(0)).take_while(|(n, _)| *n < transport.next_sent);
        let mut in_flight: usize = sent.map(|(_, message)| cost(message)).sum();
        for (number, message) in self.queue.iter_from(transport.next_sent) {
            if in_flight > 0 && in_flight + cost(message) > self.config.max_in_flight {
                break;
            }
            if transport.next_on_wire != Some(number) {
                frames.push(Frame::SeqNum(number));
            }
            frames.push(Frame::Message(message.clone()));
            in_flight += cost(message);
            transport.next_sent = number.next();
            transport.next_on_wire = Some(number.next());
        }
    }

    /// Writes the reset behind a hello with `new` that is not answered: the hello may arrive after those of newer
    /// transports.
    fn write_reset_behind_new(&self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        if transport.is_socket() && transport.may_create() {
            self.write_reset(transport, frames);
        }
    }

    fn write_reset(&self, transport: &mut Transport, frames: &mut Vec<Frame>) {
        if let Some((reset, _)) = self.resetting.as_ref().filter(|_| !transport.reset_sent) {
            transport.reset_sent = true;
            frames.push(Frame::Reset(reset.clone()));
        }
    }

    /// The hello in the version of the transport; notes the reported claim tags.
    fn hello_frame(&self, hello: Hello, transport: &mut Transport) -> Frame {
        let json = match transport.version {
            WireVersion::V2 => hello.to_json(),
            WireVersion::V3 => {
                let tags = self.claim_tags.report();
                let last = tags.pairs().last().map(|pair| pair.tag);
                transport.tag = last.unwrap_or_else(|| self.negotiation.creation_tag());
                transport.reported_tags = tags.clone();
                self.resumption.complete(self.negotiation.hello(hello, tags)).to_json()
            }
        };
        Frame::Hello(json.into())
    }

    fn hello(&self, number: TransportNumber, transport: &Transport) -> Hello {
        let is_upload = transport.role == Role::Upload;
        let is_poll = transport.kind == TransportKind::LongPoll;
        let heartbeat = Duration::from_secs(self.config.heartbeat.as_secs());
        Hello {
            tnum: number,
            id: self.id.clone(),
            // A hello with a reset behind it must not create a second stream.
            new: !self.created && self.resetting.is_none() && !self.resumption.is_resumed(),
            ming: !is_upload && !is_poll,
            // A heartbeat would end a poll; `maxt` bounds polls instead.
            beat: if transport.is_socket() { heartbeat } else { Duration::ZERO },
            maxia: if is_upload || is_poll { Duration::ZERO } else { heartbeat },
            seenack: self.seen_ack.clone(),
            sack: Some(self.last_sent_sack.clone()),
            eeds: if is_upload { Eeds::Absent } else { self.predecessor(number) },
            maxt: (is_poll && !is_upload).then_some(heartbeat),
            cred: self.config.credentials.clone().filter(|_| !self.created),
            why: None,
        }
    }

    /// The attached primary that this transport succeeds. Without one, the server writes all unacknowledged messages
    /// again.
    fn predecessor(&self, number: TransportNumber) -> Eeds {
        let mut older = self.transports.range(..number).rev();
        let working = older.find(|(_, t)| t.is_primary() && t.attached);
        working.map_or(Eeds::Null, |(&number, _)| Eeds::Number(number))
    }
}

/// Joins frames to runs of about [`LONGEST_RUN`]; frames of less than [`SHORTEST_RUN`] stay as they are.
fn runs(frames: Vec<Frame>) -> Vec<Frame> {
    let (mut joined, mut run, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut frames = frames.into_iter().peekable();
    while let Some(frame) = frames.next() {
        bytes += if let Frame::Message(message) = &frame { cost(message) } else { 0 };
        run.push(frame);
        if bytes >= LONGEST_RUN || frames.peek().is_none() {
            let run = std::mem::take(&mut run);
            if std::mem::take(&mut bytes) >= SHORTEST_RUN {
                joined.push(Frame::Run(run));
            } else {
                joined.extend(run);
            }
        }
    }
    joined
}

/// Cost of a message in flight, in bytes; never 0, which means that no message is in flight.
fn cost(message: &Message) -> usize {
    message.len() + 1
}
