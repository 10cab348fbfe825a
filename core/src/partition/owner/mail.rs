//! What each kind of mail does.

use minerva_proto::{KillReason, Reset};

use super::super::counters::add;
use super::super::mailbox::{
    LinkHandle, LinkId, Mail, Mark, SessionHandle, SessionId, stream_count, stream_number,
};
use super::Owner;
use super::departed::{Fate, Key};
use crate::stream::{
    AppOutput, Attach, Batch, CloseCause, EdgeOutput, Effects, Joined, Millis, Stream, TransportId,
    TransportKey, Turn, Violation,
};

impl Owner {
    /// Takes one mail. `Stop` is for the partition; it means nothing here.
    pub(in crate::partition) fn take(&mut self, mail: Mail, now: Millis, effects: &mut Effects) {
        if !self.pushes.may_wait(&mail) {
            self.push_all(now, effects);
        }
        match mail {
            Mail::Attach { link, attach } => self.on_attach(link, *attach, now, effects),
            Mail::Batch { link, batch } => self.on_batch(link, batch, now, effects),
            Mail::Detach { link, transport } => self.on_detach(link, transport, now, effects),
            Mail::Grant { link, transport, bytes } => {
                let key = TransportKey { link, transport };
                if let Some(number) = self.transports.get(&key).copied() {
                    self.with_stream(number, now, effects, |s, _| s.on_grant(key, bytes));
                }
            }
            Mail::LinkLost(link) => self.on_link_lost(link, now, effects),
            Mail::Joined { session, held } => self.on_joined(session, &held, now, effects),
            Mail::Left(session) => self.on_left(session, now, effects),
            Mail::Acknowledge { session, stream, event } => {
                let run =
                    |s: &mut Stream, turn: &mut Turn<'_>| s.on_acknowledge(session, event, turn);
                let result = self.with_stream(stream, now, effects, run);
                judge(session, result, effects);
            }
            Mail::Send { session, stream, first, strings, acknowledge } => {
                let run = |s: &mut Stream, turn: &mut Turn<'_>| {
                    s.on_send(session, first, strings, acknowledge, turn)
                };
                match self.with_stream(stream, now, effects, run) {
                    None => effects.app(session, refused(stream, first)),
                    result => judge(session, result, effects),
                }
            }
            Mail::Reset { session, stream, reason, application_level } => {
                let reset = Reset { reason, application_level };
                self.with_stream(stream, now, effects, |s, turn| s.on_reset(session, reset, turn));
            }
            Mail::SetLimits { session, stream, max_idle_ms, outbox } => {
                self.with_stream(stream, now, effects, |s, turn| {
                    if s.is_of(session) {
                        s.on_set_limits(max_idle_ms, outbox, turn);
                    }
                });
            }
            Mail::Mark { session, stream, mark } => {
                self.on_mark(session, stream, mark, now, effects);
            }
            Mail::Call(call) => self.on_call(*call, now, effects),
            Mail::Stop { .. } => {}
        }
    }

    /// The stream's instance changes its marks.
    fn on_mark(
        &mut self,
        session: SessionId,
        stream: u64,
        mark: Mark,
        now: Millis,
        effects: &mut Effects,
    ) {
        self.mark(stream, now, effects, |s, turn| {
            if !s.is_of(session) {
                return;
            }
            match mark {
                Mark::Label(label) => s.on_label(label, turn),
                Mark::Leave(group) => s.on_leave(&group, turn),
                Mark::Join(group) => {
                    if s.on_join(&group, turn) == Joined::TooMany {
                        turn.effects.app(session, AppOutput::GroupRefused { stream, group });
                    }
                }
            }
        });
    }

    fn on_attach(&mut self, link: LinkHandle, attach: Attach, now: Millis, effects: &mut Effects) {
        let key = TransportKey { link: link.id, transport: attach.transport };
        // An edge that uses a number twice must not leave a transport behind that nobody detaches.
        self.on_detach(key.link, key.transport, now, effects);
        self.links.insert(link.id, link.outputs);
        let number = match (self.find(&attach), self.refusal(&attach, now)) {
            (Some(number), _) => number,
            (None, Some(cause)) => {
                effects.edge(key, bare_close(key, cause));
                return;
            }
            (None, None) => self.open(&attach, now, effects),
        };
        if self.transports.insert(key, number).is_none() {
            add(&self.counters.transports, 1);
        }
        self.hear(number, now, effects, |s, turn| s.on_attach(key.link, attach, turn));
    }

    /// The stream that a hello names, unless it has ended.
    fn find(&self, attach: &Attach) -> Option<u64> {
        let number = self.by_id.get(&(attach.service.clone(), attach.stream_id.clone()))?;
        let stream = self.streams.get(number)?;
        (!stream.state().is_ended()).then_some(*number)
    }

    /// Why a stream that does not live cannot be had either.
    fn refusal(&mut self, attach: &Attach, now: Millis) -> Option<CloseCause> {
        let unavailable = |reason: &str| {
            let reason = reason.to_owned();
            Some(CloseCause::Unavailable { reason, retry_after_ms: 0 })
        };
        if !attach.create || attach.resume.is_some() {
            // A transport that was attached before belongs to a stream that is over by now.
            return match self.end_of(attach).map_or_else(|| self.fate(attach, now), Fate::Ended) {
                Fate::Ended(reset) => Some(CloseCause::Reset(reset)),
                Fate::Over => Some(CloseCause::Kill(KillReason::StreamAttachFailure)),
                Fate::Unsure => unavailable("its owner is new"),
            };
        }
        if self.streams.len() >= self.limits.max_streams {
            return unavailable("too many streams");
        }
        if self.is_unserved(attach) { unavailable("no application") } else { None }
    }

    /// How a stream ended, where the client must be told. (One that says hello to an ended stream gets an
    /// attach failure, as from the original, unless something was lost.)
    fn end_of(&self, attach: &Attach) -> Option<Reset> {
        let key = (attach.service.clone(), attach.stream_id.clone());
        let resumed = attach.resume.map(|resume| resume.stream);
        let number = resumed.or_else(|| self.by_id.get(&key).copied())?;
        let stream = self.streams.get(&number).filter(|s| s.state().origin().id == key.1);
        let ended = stream.and_then(|stream| stream.state().inbox().ended());
        let told = ended.filter(|(_, ended)| resumed.is_some() || ended.is_loss());
        told.map(|(_, ended)| ended.reset.clone())
    }

    /// What became of a stream that is not there, or has ended.
    fn fate(&mut self, attach: &Attach, now: Millis) -> Fate {
        let key = (attach.service.clone(), attach.stream_id.clone());
        if self.by_id.contains_key(&key) {
            return Fate::Over;
        }
        // The store has never heard of a stream that this core, or one before it, has made.
        if attach.resume.is_some_and(|resume| {
            self.is_lost(resume.stream) || self.is_given_again(&key, resume.stream)
        }) {
            self.departed.note(true);
            return Fate::lost();
        }
        self.departed.fate(&key, attach, now)
    }

    /// Whether a number that an edge knows a stream by belongs to another one.
    fn is_given_again(&self, key: &Key, number: u64) -> bool {
        self.streams.get(&number).is_some_and(|stream| stream.state().origin().id != key.1)
    }

    /// Whether a number was given to a stream that the store has lost.
    fn is_lost(&self, number: u64) -> bool {
        number == stream_number(self.partition, stream_count(number))
            && stream_count(number) > self.streams_made
    }

    fn open(&mut self, attach: &Attach, now: Millis, effects: &mut Effects) -> u64 {
        self.streams_made += 1;
        let number = stream_number(self.partition, self.streams_made);
        let mut turn = Turn { now, limits: &self.limits, effects };
        let started_at = (self.wall_clock)().0;
        let mut stream = Stream::open(number, attach, started_at, &mut turn);
        let service = attach.service.clone();
        if !self.choosing.offer(&mut stream)
            && let Some(session) = self.assignment.add(number, service.clone(), None)
        {
            stream.on_assigned(session.id, &session.instance_id, session.window, &mut turn);
        }
        self.by_id.insert((service, attach.stream_id.clone()), number);
        self.streams.insert(number, Box::new(stream));
        add(&self.counters.streams, 1);
        number
    }

    fn on_batch(&mut self, link: LinkId, batch: Batch, now: Millis, effects: &mut Effects) {
        let key = TransportKey { link, transport: batch.transport };
        if let Some(number) = self.transports.get(&key).copied() {
            self.hear(number, now, effects, |s, turn| s.on_batch(link, batch, turn));
        }
    }

    fn on_detach(&mut self, link: LinkId, id: TransportId, now: Millis, effects: &mut Effects) {
        let key = TransportKey { link, transport: id };
        if let Some(number) = self.forget_transport(key) {
            self.with_stream(number, now, effects, |s, turn| s.on_detach(key, turn));
        }
    }

    fn on_link_lost(&mut self, link: LinkId, now: Millis, effects: &mut Effects) {
        self.links.remove(&link);
        let key = |id| TransportKey { link, transport: TransportId(id) };
        let of_link = self.transports.range(key(0)..=key(u64::MAX));
        let keys: Vec<TransportKey> = of_link.map(|(key, _)| *key).collect();
        for key in keys {
            self.on_detach(link, key.transport, now, effects);
        }
    }

    fn on_joined(
        &mut self,
        session: SessionHandle,
        held: &[u64],
        now: Millis,
        effects: &mut Effects,
    ) {
        for other in self.assignment.others_of(&session) {
            self.on_left(other, now, effects);
        }
        let (id, window, instance) = (session.id, session.window, session.instance_id.clone());
        let joined = self.assignment.join(session, held);
        // Of those that are lost, the instance learns by what follows.
        for stream in joined.released {
            if self.is_lost(stream) {
                self.departed.note(true);
            } else {
                effects.app(id, AppOutput::Released { stream });
            }
        }
        for stream in joined.assigned {
            self.with_stream(stream, now, effects, |s, turn| {
                s.on_assigned(id, &instance, window, turn);
            });
        }
        let (partition, epoch, streams_made) = (self.partition, self.epoch, self.streams_made);
        effects.app(id, AppOutput::PartitionOwned { partition, epoch, streams_made });
    }

    fn on_left(&mut self, session: SessionId, now: Millis, effects: &mut Effects) {
        let grace = Millis(now.0.saturating_add(self.app_grace_ms));
        for stream in self.assignment.leave(session, grace) {
            self.with_stream(stream, now, effects, |stream, _| stream.on_unassigned());
        }
    }
}

/// Tells a session that it broke the contract.
fn judge(session: SessionId, result: Option<Result<(), Violation>>, effects: &mut Effects) {
    if let Some(Err(Violation(text))) = result {
        effects.app(session, AppOutput::Violation(text));
    }
}

/// The answer to a send to a stream that is forgotten.
fn refused(stream: u64, first: u64) -> AppOutput {
    let reason = crate::stream::RefusedReason::Ended;
    AppOutput::SendRefused { stream, first, reason, next_send: first }
}

fn bare_close(key: TransportKey, cause: CloseCause) -> EdgeOutput {
    EdgeOutput::Close { transport: key.transport, sack: None, status: None, cause }
}
