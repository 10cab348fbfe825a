//! Assignment of streams to sessions: the least loaded session of the service, and the same one as long as the instance
//! lives or reconnects within the grace time.
//!
//! Streams in delivery at the death of an instance are suspects: they follow the other streams, one at a time per
//! instance, see `isolation.rs`.
//!
//! Pure bookkeeping of one partition. The streams and their sessions are notified by the caller.

mod isolation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use minerva_proto::StreamNumber;
use minerva_proto::mutation::{self, Mutation};

use self::isolation::{BATCH, Probation, RETRY_MS, Suspect, batch_offset};
use super::mailbox::SessionHandle;
use crate::stream::{Millis, SessionId};

pub use self::isolation::SuspectSlot;
pub(super) use self::isolation::{ISOLATED, delay_ms};

/// The sessions of a partition with their streams, and the streams without a session.
#[derive(Default)]
pub(super) struct Assignment {
    sessions: BTreeMap<SessionId, SessionStreams>,
    /// Streams without a session.
    waiting: BTreeMap<StreamNumber, Waiting>,
    /// The waiting streams with a grace time, by end of the grace time.
    grace: BTreeSet<(Millis, StreamNumber)>,
    probation: Probation,
    /// Services that have, or have had, an instance; at most [`MAX_SERVICES`].
    known: BTreeSet<Arc<str>>,
}

/// Most known services. Beyond this number every service counts as known.
pub(super) const MAX_SERVICES: usize = 10_000;

struct SessionStreams {
    handle: SessionHandle,
    streams: BTreeSet<StreamNumber>,
}

struct Waiting {
    service: Arc<str>,
    /// The last assigned instance.
    instance_id: Option<Arc<str>>,
    /// Until then the stream is reserved for that instance, or for a session that reports to hold the stream.
    grace: Option<Millis>,
    /// Set if the stream was in delivery when an instance died.
    suspect: Option<Suspect>,
}

/// The streams concerned by a new session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct JoinedStreams {
    /// Streams assigned to the session.
    pub(super) assigned: BTreeSet<StreamNumber>,
    /// Streams that the session holds but that are assigned elsewhere or unknown.
    pub(super) released: Vec<StreamNumber>,
}

impl Assignment {
    /// The handle of a registered session.
    pub(super) fn session(&self, id: SessionId) -> Option<&SessionHandle> {
        self.sessions.get(&id).map(|session| &session.handle)
    }

    /// Number of streams without a session.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns true if a service has a session.
    pub(super) fn is_served(&self, service: &str) -> bool {
        self.sessions.values().any(|session| *session.handle.service == *service)
    }

    /// Returns true if a service has, or has had, an instance.
    pub(super) fn is_known(&self, service: &str) -> bool {
        self.known.contains(service) || self.known.len() >= MAX_SERVICES
    }

    pub(super) fn note_service(&mut self, service: &Arc<str>) {
        if !self.is_known(service) {
            self.known.insert(service.clone());
        }
    }

    /// Adds a stream without a session.
    ///
    /// With an `instance` the stream waits for that instance until the given time. Otherwise the stream is assigned
    /// at once if the service has a session, which is returned.
    pub(super) fn add(
        &mut self,
        stream: StreamNumber,
        service: Arc<str>,
        instance: Option<(Arc<str>, Millis)>,
    ) -> Option<&SessionHandle> {
        if instance.is_some() {
            self.note_service(&service);
        }
        let (instance_id, grace) = instance.unzip();
        self.wait(stream, Waiting { service, instance_id, grace, suspect: None });
        if grace.is_none() { self.assign(stream) } else { None }
    }

    /// Removes a forgotten stream.
    pub(super) fn remove(&mut self, stream: StreamNumber, session: Option<SessionId>) {
        self.stop_waiting(stream);
        self.probation.end(stream);
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id))
            && session.streams.remove(&stream)
        {
            session.handle.load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Moves a stream of a session to the least loaded other session of the service; `None` without one.
    pub(super) fn move_from(
        &mut self,
        stream: StreamNumber,
        from: SessionId,
    ) -> Option<SessionHandle> {
        let service = self.session(from)?.service.clone();
        let others = self.sessions.values().map(|session| &session.handle);
        let others = others.filter(|other| other.id != from && other.service == service);
        let other = others.min_by_key(|other| other.load.load(Ordering::Relaxed))?.clone();
        self.remove(stream, Some(from));
        self.assign_to(stream, other.id);
        Some(other)
    }

    /// Adds a session.
    ///
    /// The session gets the waiting streams of its instance, the waiting streams in `held`, and those of its service
    /// that wait for any instance. The first batch is assigned at once. Further streams, and suspects that the instance
    /// does not hold, follow from [`Assignment::next_due`].
    pub(super) fn join(
        &mut self,
        handle: SessionHandle,
        held: &[StreamNumber],
        now: Millis,
    ) -> JoinedStreams {
        let id = handle.id;
        self.note_service(&handle.service);
        let held_set: BTreeSet<StreamNumber> = held.iter().copied().collect();
        let gets = |(stream, waiting): (&StreamNumber, &Waiting)| {
            let is_eligible = waiting.grace.is_none()
                || held_set.contains(stream)
                || waiting.instance_id.as_ref() == Some(&handle.instance_id);
            (waiting.service == handle.service && is_eligible).then_some(*stream)
        };
        let eligible: BTreeSet<StreamNumber> = self.waiting.iter().filter_map(gets).collect();
        let released = held_set.difference(&eligible).copied().collect();
        let assigned = self.first_batch(eligible, (&handle.instance_id, &held_set), now);
        self.sessions.insert(id, SessionStreams { handle, streams: BTreeSet::new() });
        for &stream in &assigned {
            self.assign_to(stream, id);
        }
        JoinedStreams { assigned, released }
    }

    /// The streams that a new session gets at once. The other ones wait for their batch, or for the end of a delay.
    fn first_batch(
        &mut self,
        eligible: BTreeSet<StreamNumber>,
        (instance_id, held): (&Arc<str>, &BTreeSet<StreamNumber>),
        now: Millis,
    ) -> BTreeSet<StreamNumber> {
        let mut others = 0;
        let is_first = |stream: &StreamNumber| {
            if held.contains(stream) {
                return true;
            }
            let Some(waiting) = self.waiting.get(stream) else { return false };
            let is_back = waiting.instance_id.as_ref() == Some(instance_id);
            let due = match waiting.suspect.filter(|suspect| !is_back || suspect.is_isolated()) {
                Some(suspect) => suspect.due_after_join(now).max(waiting.grace.unwrap_or(now)),
                None if others < BATCH => {
                    others += 1;
                    return true;
                }
                None => {
                    others += 1;
                    now.after(batch_offset(others - 1))
                }
            };
            self.reschedule(*stream, due);
            false
        };
        eligible.into_iter().filter(is_first).collect()
    }

    /// Delays a waiting stream that was in delivery at the death of `deaths` instances.
    pub(super) fn suspect(&mut self, stream: StreamNumber, deaths: u32, due: Millis) {
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            waiting.suspect = Some(Suspect::new(deaths, due));
            self.reschedule(stream, due);
        }
    }

    /// The suspect in delivery at the instance of a session.
    pub(super) fn suspect_of(&self, session: SessionId) -> Option<StreamNumber> {
        self.session(session)?.suspect.current()
    }

    /// Whether a suspect occupies the slot of the instance.
    pub(super) fn is_on_probation(&self, stream: StreamNumber) -> bool {
        self.probation.contains(stream)
    }

    /// Lifts the suspicion from a waiting stream.
    pub(super) fn clear_suspect(&mut self, stream: StreamNumber) {
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            waiting.suspect = None;
        }
    }

    /// The stream is no suspect any more: its instance survived.
    pub(super) fn end_probation(&mut self, stream: StreamNumber) {
        self.probation.end(stream);
    }

    /// Removes a session. Returns the streams, which wait for the instance until `grace`, in batches.
    pub(super) fn leave(&mut self, id: SessionId, grace: Millis) -> BTreeSet<StreamNumber> {
        let Some(session) = self.sessions.remove(&id) else { return BTreeSet::new() };
        self.probation.leave(id);
        let SessionHandle { service, instance_id, load, .. } = session.handle;
        for (index, &stream) in session.streams.iter().enumerate() {
            load.fetch_sub(1, Ordering::Relaxed);
            let (service, instance_id) = (service.clone(), Some(instance_id.clone()));
            let grace = Some(grace.after(batch_offset(index)));
            self.wait(stream, Waiting { service, instance_id, grace, suspect: None });
        }
        session.streams
    }

    /// Earlier sessions of the same instance, which the new session replaces.
    pub(super) fn others_of(&self, handle: &SessionHandle) -> Vec<SessionId> {
        let is_same = |session: &&SessionStreams| {
            let other = &session.handle;
            other.id != handle.id
                && other.service == handle.service
                && other.instance_id == handle.instance_id
        };
        self.sessions.values().filter(is_same).map(|session| session.handle.id).collect()
    }

    /// The time of the next [`Assignment::next_due`].
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let grace = self.grace.first().map(|(at, _)| *at);
        grace.into_iter().chain(self.probation.next_deadline()).min()
    }

    /// A stream whose grace time or delay has passed; [`Assignment::place`] must follow.
    pub(super) fn next_due(&mut self, now: Millis) -> Option<StreamNumber> {
        self.probation.expire(now);
        let (at, stream) = self.grace.first().copied().filter(|(at, _)| *at <= now)?;
        self.grace.remove(&(at, stream));
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            waiting.grace = None;
        }
        Some(stream)
    }

    /// Assigns a waiting stream; returns the session.
    ///
    /// Without a session of the service the stream waits for any instance, and a suspect waits while each instance has
    /// another one.
    pub(super) fn place(&mut self, stream: StreamNumber, now: Millis) -> Option<&SessionHandle> {
        let waiting = self.waiting.get(&stream)?;
        let Some(suspect) = waiting.suspect.filter(|suspect| now < suspect.patience_ends) else {
            return self.assign(stream);
        };
        let session = &self.sessions.get(&self.least_loaded(&waiting.service)?)?.handle;
        let (id, slot) = (session.id, session.suspect.clone());
        if self.probation.begin(stream, suspect, (id, &slot), now) {
            self.assign_to(stream, id);
            return self.session(id);
        }
        self.reschedule(stream, now.after(RETRY_MS));
        None
    }

    /// Assigns a waiting stream to the least loaded session of the service.
    fn assign(&mut self, stream: StreamNumber) -> Option<&SessionHandle> {
        let id = self.least_loaded(&self.waiting.get(&stream)?.service)?;
        self.assign_to(stream, id);
        self.session(id)
    }

    /// The least loaded session of a service; one without a suspect in delivery comes first.
    fn least_loaded(&self, service: &str) -> Option<SessionId> {
        let serves = |session: &&SessionStreams| {
            *session.handle.service == *service || mutation::is(Mutation::MixServices)
        };
        let rank = |session: &&SessionStreams| {
            let handle = &session.handle;
            (handle.suspect.current().is_some(), handle.load.load(Ordering::Relaxed))
        };
        let least = self.sessions.values().filter(serves).min_by_key(rank);
        least.map(|session| session.handle.id)
    }

    fn reschedule(&mut self, stream: StreamNumber, at: Millis) {
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            if let Some(old) = waiting.grace.replace(at) {
                self.grace.remove(&(old, stream));
            }
            self.grace.insert((at, stream));
        }
    }

    fn assign_to(&mut self, stream: StreamNumber, id: SessionId) {
        self.stop_waiting(stream);
        if let Some(session) = self.sessions.get_mut(&id)
            && session.streams.insert(stream)
        {
            session.handle.load.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait(&mut self, stream: StreamNumber, waiting: Waiting) {
        if let Some(at) = waiting.grace {
            self.grace.insert((at, stream));
        }
        self.waiting.insert(stream, waiting);
    }

    fn stop_waiting(&mut self, stream: StreamNumber) {
        if let Some(Waiting { grace: Some(at), .. }) = self.waiting.remove(&stream) {
            self.grace.remove(&(at, stream));
        }
    }
}
