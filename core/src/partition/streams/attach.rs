//! Attach of transports: finds the stream of a hello, creates a new one, or refuses the transport.

use minerva_proto::{KillReason, Reset};

use super::super::counters::add;
use super::super::mailbox::{LinkHandle, stream_count, stream_number};
use super::PartitionStreams;
use super::tombstones::{StreamKey, UnknownStream};
use crate::stream::{
    Attach, CloseCause, EdgeOutput, Effects, LinkId, Millis, Stream, TransportId, TransportKey,
    Turn,
};

impl PartitionStreams {
    pub(super) fn on_attach(
        &mut self,
        link: LinkHandle,
        attach: Attach,
        now: Millis,
        effects: &mut Effects,
    ) {
        let key = TransportKey { link: link.id, transport: attach.transport };
        // An edge that reuses a transport number would leave a transport that is never detached.
        self.on_detach(key.link, key.transport, now, effects);
        self.links.insert(link.id, link.outputs);
        let number = match (self.find(&attach), self.refusal(&attach, now)) {
            (Some(number), _) => number,
            (None, Some(cause)) => {
                effects.edge(key, bare_close(key, cause));
                return;
            }
            (None, None) => self.create(&attach, now, effects),
        };
        if self.transports.insert(key, number).is_none() {
            add(&self.counters.transports, 1);
        }
        self.with_client_input(number, now, effects, |s, turn| s.on_attach(key.link, attach, turn));
    }

    pub(super) fn on_detach(
        &mut self,
        link: LinkId,
        transport: TransportId,
        now: Millis,
        effects: &mut Effects,
    ) {
        let key = TransportKey { link, transport };
        if let Some(number) = self.forget_transport(key) {
            self.with_stream(number, now, effects, |s, turn| s.on_detach(key, turn));
        }
    }

    /// The live stream with the service and the id of a hello.
    fn find(&self, attach: &Attach) -> Option<u64> {
        let number = self.by_id.get(&(attach.service.clone(), attach.stream_id.clone()))?;
        let stream = self.streams.get(number)?;
        (!stream.state().is_ended()).then_some(*number)
    }

    /// The reason to refuse a hello without a live stream; `None` if a stream may be created.
    fn refusal(&mut self, attach: &Attach, now: Millis) -> Option<CloseCause> {
        let unavailable = |reason: &str| {
            let reason = reason.to_owned();
            Some(CloseCause::Unavailable { reason, retry_after_ms: 0 })
        };
        if !attach.create || attach.resume.is_some() {
            // A resumed transport belongs to a stream that has ended since.
            let reported = self.end_to_report(attach).map(UnknownStream::Ended);
            return match reported.unwrap_or_else(|| self.classify(attach, now)) {
                UnknownStream::Ended(reset) => Some(CloseCause::Reset(reset)),
                UnknownStream::NeverExisted => {
                    Some(CloseCause::Kill(KillReason::StreamAttachFailure))
                }
                UnknownStream::Undecided => unavailable("its owner is new"),
            };
        }
        if self.streams.len() >= self.limits.max_streams {
            return unavailable("too many streams");
        }
        if self.is_unserved(attach) { unavailable("no application") } else { None }
    }

    /// The reset of an ended stream if the client must get it.
    ///
    /// Like the original server, a hello to an ended stream gets an attach failure, unless the stream lost messages.
    fn end_to_report(&self, attach: &Attach) -> Option<Reset> {
        let key = (attach.service.clone(), attach.stream_id.clone());
        let resumed = attach.resume.map(|resume| resume.stream);
        let number = resumed.or_else(|| self.by_id.get(&key).copied())?;
        let stream = self.streams.get(&number).filter(|s| s.state().origin().id == key.1);
        let ended = stream.and_then(|stream| stream.state().inbox().ended());
        let reported = ended.filter(|(_, ended)| resumed.is_some() || ended.is_loss());
        reported.map(|(_, ended)| ended.reset.clone())
    }

    fn classify(&mut self, attach: &Attach, now: Millis) -> UnknownStream {
        let key = (attach.service.clone(), attach.stream_id.clone());
        if self.by_id.contains_key(&key) {
            return UnknownStream::NeverExisted;
        }
        // The edge has the number of a stream that the store has never recorded, or has assigned again.
        if attach.resume.is_some_and(|resume| {
            self.is_unrecorded(resume.stream) || self.is_reassigned(&key, resume.stream)
        }) {
            self.tombstones.note_rollback(true);
            return UnknownStream::lost();
        }
        self.tombstones.classify(&key, attach, now)
    }

    /// Returns true if a stream number that an edge reports belongs to another stream.
    fn is_reassigned(&self, key: &StreamKey, number: u64) -> bool {
        self.streams.get(&number).is_some_and(|stream| stream.state().origin().id != key.1)
    }

    /// Returns true if a stream number is beyond the streams of this partition: the store lost the stream.
    pub(super) fn is_unrecorded(&self, number: u64) -> bool {
        number == stream_number(self.partition, stream_count(number))
            && stream_count(number) > self.streams_made
    }

    /// Returns true if the service has no instance and too many streams wait for one already.
    fn is_unserved(&self, attach: &Attach) -> bool {
        let waiting = self.assignment.waiting() + self.selection.pending();
        let is_served = match self.selection.services_of(&attach.service) {
            Some(services) => services.iter().all(|name| self.assignment.is_served(name)),
            None => self.assignment.is_served(&attach.service),
        };
        waiting >= self.limits.max_unserved && !is_served
    }

    fn create(&mut self, attach: &Attach, now: Millis, effects: &mut Effects) -> u64 {
        self.streams_made += 1;
        let number = stream_number(self.partition, self.streams_made);
        let mut turn = Turn { now, limits: &self.limits, effects };
        let started_at = (self.wall_clock)().0;
        let mut stream = Stream::create(number, attach, started_at, &mut turn);
        let service = attach.service.clone();
        if !self.selection.offer(&mut stream)
            && let Some(session) = self.assignment.add(number, service.clone(), None)
        {
            stream.on_assigned(session.id, &session.instance_id, session.window, &mut turn);
        }
        self.by_id.insert((service, attach.stream_id.clone()), number);
        self.streams.insert(number, Box::new(stream));
        add(&self.counters.streams, 1);
        number
    }
}

fn bare_close(key: TransportKey, cause: CloseCause) -> EdgeOutput {
    EdgeOutput::Close { transport: key.transport, sack: None, status: None, cause }
}
