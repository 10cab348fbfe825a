//! Attach of transports: finds the stream of a hello, creates a new one, or refuses the transport.

use minerva_proto::link::{Attach, CloseCause, CreatedStream, TransportId};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{AddressKey, ClaimTag, ClientProtocol, KillReason, Reset, StreamNumber};

use super::super::assignment::NeededInstance;
use super::super::counters::add;
use super::super::mailbox::LinkHandle;
use super::PartitionStreams;
use super::accounts::AccountedStream;
use super::resume_key::NamedStream;
use super::tombstones::{LATE_HELLO_MS, StreamKey, UnknownStream, has_history};
use crate::memory_level::MemoryLevel;
use crate::state::{Ended, EndedBy, StreamProtocol};
use crate::stream::{Effects, Intake, LinkId, Millis, Stream, TransportKey, Turn};
use crate::unavailable;

impl PartitionStreams {
    /// Another core may have owned the partition since the last turn, and the store may have lost that: peers may know
    /// more than the streams.
    pub(in crate::partition) fn on_ownership_gap(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.on_ownership_gap());
    }

    pub(super) fn on_attach(
        &mut self,
        link: LinkHandle,
        transport: TransportId,
        attach: Attach,
        now: Millis,
        effects: &mut Effects,
    ) {
        let key = TransportKey { link: link.id, transport };
        // An edge that reuses a transport number would leave a transport that is never detached.
        self.on_detach(key.link, key.transport, now, effects);
        self.links.insert(link.id, link);
        let named = self.named(&stream_key(&attach), &attach.protocol);
        if named != NamedStream::Foreign {
            self.check_claims(named.live(), attach.resume.map(|resume| resume.tag));
            self.check_claims_of_client(named.live(), tags_of_client(&attach));
        }
        let number = match (named, self.refusal(&attach, named, now)) {
            (_, Some(cause)) => {
                effects.close(key, cause);
                return;
            }
            (NamedStream::Live(number), None) => {
                self.count_for_address(number, attach.caller.address);
                number
            }
            (_, None) => match self.create(&attach, now, effects) {
                Some(number) => number,
                None => {
                    effects.close(key, unavailable::close(unavailable::ADDRESS_FULL));
                    return;
                }
            },
        };
        if self.transports.insert(key, number).is_none() {
            add(&self.counters.transports, 1);
        }
        self.with_client_input(number, now, effects, |s, turn| s.on_attach(key, attach, turn));
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

    /// The reason to refuse a hello; `None` if the stream is live or may be created.
    fn refusal(&mut self, attach: &Attach, named: NamedStream, now: Millis) -> Option<CloseCause> {
        match named {
            NamedStream::Live(number) => return self.refusal_to_adopt(number, attach),
            NamedStream::OtherVersion => return Some(CloseCause::WrongVersion),
            NamedStream::Foreign if attach.create => {
                return Some(CloseCause::Kill(KillReason::StreamAttachFailure));
            }
            // The client repeats a hello that has created the stream.
            NamedStream::Over if attach.create => return Some(self.answer(attach, named, now)),
            NamedStream::Foreign | NamedStream::Over | NamedStream::None => {}
        }
        if !attach.create || attach.resume.is_some() || is_only_reset(attach) {
            // A resumed transport belongs to a stream that has ended since. A reset must not create a second stream.
            return Some(self.answer(attach, named, now));
        }
        self.refusal_to_create(attach, now)
    }

    /// The answer to a hello for a stream that is over or unknown.
    fn answer(&mut self, attach: &Attach, named: NamedStream, now: Millis) -> CloseCause {
        // Whether the stream exists is visible to the owner alone.
        let is_own = named != NamedStream::Foreign;
        let reported = self.end_to_report(attach).filter(|_| is_own).map(UnknownStream::Ended);
        let unknown = reported.unwrap_or_else(|| self.classify(attach, is_own, now));
        if is_own {
            if self.is_newly_lost(attach, &unknown) {
                self.losses.on_unrecorded();
                add(&self.counters.unrecorded, u64::from(self.losses.is_proven()));
            }
            self.note_reset(attach, &unknown, now);
        }
        match unknown {
            UnknownStream::Ended(reset) => CloseCause::Reset(reset),
            UnknownStream::NotFound => CloseCause::Kill(KillReason::StreamAttachFailure),
            UnknownStream::Undecided => unavailable::close(unavailable::NEW_OWNER),
        }
    }

    /// The reason not to record a new generation of a live stream.
    fn refusal_to_adopt(&self, number: StreamNumber, attach: &Attach) -> Option<CloseCause> {
        let recorded = self.streams.get(&number).map_or(0, |stream| stream.state().generation());
        let is_refused = generation(attach) > recorded && !self.stores_sessions;
        is_refused.then_some(CloseCause::WrongVersion)
    }

    /// The reason not to create a stream.
    fn refusal_to_create(&self, attach: &Attach, now: Millis) -> Option<CloseCause> {
        if self.is_late(&stream_key(attach), now) {
            return Some(CloseCause::Kill(KillReason::StreamAttachFailure));
        }
        if self.memory.level() >= MemoryLevel::NoNewStreams {
            return Some(unavailable::close(unavailable::BUSY));
        }
        let has_kinds = attach.protocol != ClientProtocol::V2;
        if generation(attach) > 0 && !self.stores_sessions {
            return Some(CloseCause::WrongVersion);
        }
        if attach.identity.is_some() && !self.stores_identities {
            return Some(unavailable::close(unavailable::OLD_CORES));
        }
        if has_kinds && !(self.stores_kinds && self.may_serve_kinds(attach)) {
            return Some(CloseCause::WrongVersion);
        }
        if self.streams.len() >= self.limits.max_streams {
            return Some(unavailable::close(unavailable::TOO_MANY_STREAMS));
        }
        if now >= self.expects_services_until
            && !self.services(attach).any(|service| self.assignment.is_known(service))
            && !mutation::is(Mutation::CreateUnserved)
        {
            return Some(unavailable::close(unavailable::UNSERVED));
        }
        let waiting = self.assignment.waiting() + self.selection.pending();
        let is_full = waiting >= self.limits.max_unserved;
        let is_served = |service: &str| self.assignment.is_served(service, has_kinds);
        if is_full && !self.services(attach).all(is_served) {
            return Some(unavailable::close(unavailable::NO_APPLICATION));
        }
        None
    }

    /// Returns false if all services with an instance have none that supports streams of version 3.
    fn may_serve_kinds(&self, attach: &Attach) -> bool {
        let is_served = |service: &str| self.assignment.is_served(service, false);
        let mut served = self.services(attach).filter(|service| is_served(service)).peekable();
        served.peek().is_none() || served.any(|service| self.assignment.is_served(service, true))
    }

    /// Returns true for a stream that the store has lost without a trace.
    fn is_newly_lost(&self, attach: &Attach, unknown: &UnknownStream) -> bool {
        let key = stream_key(attach);
        *unknown == UnknownStream::lost()
            && !self.by_id.contains_key(&key)
            && !self.tombstones.is_lost(&key)
    }

    /// Notes the confirmed reset of a stream that was never created. A late hello must not create the stream.
    fn note_reset(&mut self, attach: &Attach, unknown: &UnknownStream, now: Millis) {
        let reset = attach.batch.as_ref().and_then(|batch| batch.reset.clone());
        if let (UnknownStream::NotFound, Some(reset)) = (unknown, reset) {
            let ended = Ended { reset, by: EndedBy::Client };
            let protocol = StreamProtocol::of_hello(&attach.protocol);
            self.tombstones.add(stream_key(attach), &ended, protocol, now);
        }
    }

    /// Returns true if the client has reset the stream lately, so that a hello which would create the stream is late.
    fn is_late(&self, key: &StreamKey, now: Millis) -> bool {
        let stream = self.by_id.get(key).and_then(|number| self.streams.get(number));
        stream
            .and_then(|stream| stream.reset_by_client_at())
            .is_some_and(|at| now < at.after(LATE_HELLO_MS))
            || self.tombstones.is_late(key, now)
    }

    /// The reset of an ended stream if the client must get it.
    ///
    /// A client that resets the stream, or has received anything, gets the reason of the end, which the application got:
    /// the reset may have been lost with the transport. Like from the original server, other hellos to an ended stream
    /// get an attach failure, unless the stream lost messages.
    fn end_to_report(&self, attach: &Attach) -> Option<Reset> {
        let key = stream_key(attach);
        let resumed = attach.resume.map(|resume| resume.stream);
        let number = resumed.or_else(|| self.by_id.get(&key).copied())?;
        let stream = self.streams.get(&number).filter(|s| s.state().origin().id == key.1);
        let ended = stream.and_then(|stream| stream.state().inbox().ended());
        let is_reported = |ended: &Ended| gets_reason(attach) || ended.is_loss();
        let reported = ended.filter(|(_, ended)| is_reported(ended));
        reported.map(|(_, ended)| ended.reset.clone())
    }

    /// Classifies a stream that is over or unknown; without `is_own` as an unknown one.
    fn classify(&mut self, attach: &Attach, is_own: bool, now: Millis) -> UnknownStream {
        let key = stream_key(attach);
        let created = attach.created.and_then(|created| self.classify_created(created, now));
        let is_lost = created.as_ref() == Some(&UnknownStream::lost());
        let reported = self.tombstones.reset(&key).filter(|_| is_own && gets_reason(attach));
        if let Some(reset) = reported.filter(|_| !is_lost || has_reset(attach)) {
            return UnknownStream::Ended(reset.clone());
        }
        match created {
            Some(UnknownStream::NotFound) if is_own && self.tombstones.is_lost(&key) => {
                return UnknownStream::lost();
            }
            Some(classified) => return classified,
            None => {}
        }
        if is_own && self.by_id.contains_key(&key) {
            return UnknownStream::NotFound;
        }
        // The edge has the number of a stream that the store has never recorded, or has assigned again.
        if attach.resume.is_some_and(|resume| {
            self.is_unrecorded(resume.stream) || self.is_reassigned(&key, resume.stream)
        }) {
            self.note_rollback(true);
            return UnknownStream::lost();
        }
        let reports_loss = self.lost_claim(None, tags_of_client(attach)).is_some();
        match is_own {
            true => self.tombstones.classify(&key, attach, reports_loss, now),
            false => self.tombstones.classify_unknown(attach, reports_loss, now),
        }
    }

    /// Classifies an unknown stream by number and tag of the creation; `None` if a tag is unknown.
    ///
    /// The client may have invented both, so they decide about this stream only.
    fn classify_created(&mut self, created: CreatedStream, now: Millis) -> Option<UnknownStream> {
        let (number, count) = (created.stream, created.stream.count());
        if self.streams.get(&number).is_some_and(|stream| stream.is_lost()) {
            return Some(UnknownStream::lost());
        }
        if self.is_unrecorded(number) || self.has_other_creation(number, created.tag) {
            self.tombstones.suspect_rollback();
            return Some(UnknownStream::lost());
        }
        // Damaged blobs may have removed the stream without a trace.
        let is_counted = count <= self.tombstones.reported_count(self.streams_made, now);
        let own = self.created_tags.of(count, self.streams_made)?;
        (is_counted && own == created.tag).then_some(UnknownStream::NotFound)
    }

    /// Returns true if another claim than that of `tag` has created the stream with this number.
    pub(super) fn has_other_creation(&self, number: StreamNumber, tag: ClaimTag) -> bool {
        let own = self.created_tags.of(number.count(), self.streams_made);
        u32::from(number.partition()) == self.partition
            && tag.is_known()
            && own.is_some_and(|own| own != tag)
    }

    /// Returns true if a stream number that an edge reports belongs to another stream.
    fn is_reassigned(&self, key: &StreamKey, number: StreamNumber) -> bool {
        self.streams.get(&number).is_some_and(|stream| stream.state().origin().id != key.1)
    }

    /// Returns true if a stream number is beyond the streams of this partition: the store lost the stream.
    pub(super) fn is_unrecorded(&self, number: StreamNumber) -> bool {
        u32::from(number.partition()) == self.partition && number.count() > self.streams_made
    }

    /// The services that the client of a hello may reach.
    fn services<'a>(&'a self, attach: &'a Attach) -> impl Iterator<Item = &'a str> {
        let requested = attach.caller.service.as_str();
        let selectable = self.selection.services_of(requested);
        let names = selectable.into_iter().flat_map(|services| services.iter()).map(|name| &**name);
        names.chain(selectable.is_none().then_some(requested))
    }

    /// Counts a live stream for the client of a new transport.
    fn count_for_address(&mut self, number: StreamNumber, address: AddressKey) {
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.move_to(address, &self.budgets.usage);
        }
    }

    /// Creates a stream; `None` if the address has too many.
    fn create(
        &mut self,
        attach: &Attach,
        now: Millis,
        effects: &mut Effects,
    ) -> Option<StreamNumber> {
        let (address, limit) = (attach.caller.address, self.limits.max_streams_per_address);
        let address = match address.is_exempt() {
            true => None,
            false => Some(self.budgets.usage.addresses.open(&address, limit)?),
        };
        self.streams_made += 1;
        self.created_tags.note(self.streams_made, self.tag);
        let number = StreamNumber::new(self.partition as u16, self.streams_made);
        let mut turn = Turn {
            now,
            wall_ms: self.wall_offset.wrapping_add(now.0),
            tag: self.tag,
            stores_finish: self.stores_finish,
            limits: &self.limits,
            intake: Intake::All,
            effects,
        };
        let started_at = (self.wall_clock)().0;
        let mut stream = Stream::create(number, attach, started_at, &mut turn);
        let (service, stream_id) = stream_key(attach);
        if !self.selection.offer(&mut stream)
            && let Some(session) =
                self.assignment.add(number, NeededInstance::of(stream.state()), None)
        {
            stream.on_assigned(session.id, &session.instance_id, session.window, &mut turn);
        }
        self.by_id.insert((service, stream_id), number);
        self.index.add(number, stream.state());
        let stream = AccountedStream::new(stream, address, &self.budgets.usage);
        self.streams.insert(number, Box::new(stream));
        add(&self.counters.streams, 1);
        Some(number)
    }
}

/// Returns true if the hello to an ended stream is answered with the reason of the end: in version 3 any hello with the
/// key.
fn gets_reason(attach: &Attach) -> bool {
    attach.protocol != ClientProtocol::V2
        || has_reset(attach)
        || has_history(attach)
        || attach.created.is_some()
}

/// Returns true if the client resets the stream right behind the hello.
fn has_reset(attach: &Attach) -> bool {
    attach.batch.as_ref().is_some_and(|batch| batch.reset.is_some())
}

/// The claim tags that a client reports with a transport.
fn tags_of_client(attach: &Attach) -> impl Iterator<Item = ClaimTag> {
    let received = attach.tag_history.pairs().iter().map(|pair| pair.tag);
    received.chain(attach.created.map(|created| created.tag))
}

/// The service and the id under which the stream of a transport is found.
pub(super) fn stream_key(attach: &Attach) -> StreamKey {
    (attach.caller.service.clone().into(), attach.stream_id.clone())
}

/// Whether the hello precedes a reset and no message. Messages in front of a reset are delivered first, so they create
/// a stream.
fn is_only_reset(attach: &Attach) -> bool {
    has_reset(attach) && attach.batch.as_ref().is_none_or(|batch| batch.runs.is_empty())
}

/// Number of the page load that sent a hello.
fn generation(attach: &Attach) -> u32 {
    match attach.protocol {
        ClientProtocol::V2 => 0,
        ClientProtocol::V3(proof) => proof.generation.number,
    }
}
