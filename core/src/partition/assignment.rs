//! Assignment of streams to sessions: the least loaded session of the service, and the same one as long as the instance
//! lives or reconnects within the grace time.
//!
//! Streams in delivery at the death of an instance are suspects: they follow the other streams, few at a time per
//! instance, see `isolation.rs`.
//!
//! Pure bookkeeping of one partition. The streams and their sessions are notified by the caller.

mod isolation;
mod needed_instance;
mod recent_deaths;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use minerva_proto::StreamNumber;

use self::isolation::{BATCH, Probation, Suspect, batch_offset};
use self::recent_deaths::RecentDeaths;
use super::mailbox::SessionHandle;
use crate::stream::{Millis, SessionId};

pub use self::isolation::SuspectSlot;
pub(super) use self::isolation::{ISOLATED, Suspicion, spread_ms};
pub(super) use self::needed_instance::NeededInstance;

/// The sessions of a partition with their streams, and the streams without a session.
#[derive(Default)]
pub(super) struct Assignment {
    sessions: BTreeMap<SessionId, SessionStreams>,
    /// Streams without a session.
    waiting: BTreeMap<StreamNumber, Waiting>,
    /// The waiting streams with a grace time, by end of the grace time.
    grace: BTreeSet<(Millis, StreamNumber)>,
    probation: Probation,
    deaths: RecentDeaths,
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
    needed: NeededInstance,
    /// The last assigned instance.
    instance_id: Option<Arc<str>>,
    /// Until then the stream is reserved for that instance, or for a session that reports to hold the stream.
    grace: Option<Millis>,
    /// From then on another instance may get the stream.
    free_at: Option<Millis>,
    /// Set if the stream was in delivery when an instance died.
    suspect: Option<Suspect>,
}

/// How long the streams of an ended session wait for their instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    /// Until then without another instance.
    pub(super) longest: Millis,
    /// Until then with another instance, also one that joins later.
    pub(super) with_others: Millis,
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

    /// Returns true if a service has a session, with `has_kinds` one that serves streams of version 3.
    pub(super) fn is_served(&self, service: &str, has_kinds: bool) -> bool {
        let mut handles = self.sessions.values().map(|session| &session.handle);
        handles.any(|handle| *handle.service == *service && (handle.has_kinds || !has_kinds))
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
        needed: NeededInstance,
        instance: Option<(Arc<str>, Millis)>,
    ) -> Option<&SessionHandle> {
        if instance.is_some() {
            self.note_service(&needed.service);
        }
        let (instance_id, grace) = instance.unzip();
        self.wait(stream, Waiting { needed, instance_id, grace, free_at: grace, suspect: None });
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
        needed: &NeededInstance,
        from: SessionId,
    ) -> Option<SessionHandle> {
        let other = self.least_loaded(needed, Some(from))?;
        let other = self.session(other)?.clone();
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
                || waiting.free_at.is_some_and(|at| at <= now)
                || held_set.contains(stream)
                || waiting.instance_id.as_ref() == Some(&handle.instance_id);
            (waiting.needed.is_served_by(&handle) && is_eligible).then_some(*stream)
        };
        let eligible: BTreeSet<StreamNumber> = self.waiting.iter().filter_map(gets).collect();
        let released = held_set.difference(&eligible).copied().collect();
        self.deaths.on_joined(&handle);
        self.free_after_join(&handle, &eligible);
        let assigned = self.first_batch(eligible, &held_set, now);
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
        held: &BTreeSet<StreamNumber>,
        now: Millis,
    ) -> BTreeSet<StreamNumber> {
        let mut others = 0;
        let is_first = |stream: &StreamNumber| {
            if held.contains(stream) {
                return true;
            }
            let Some(waiting) = self.waiting.get_mut(stream) else { return false };
            let due = match &mut waiting.suspect {
                Some(suspect) => {
                    let due = suspect.restart(now);
                    if suspect.is_isolated() { due.max(waiting.grace.unwrap_or(now)) } else { due }
                }
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

    /// Delays a waiting stream that was in delivery at the deaths of instances, by an additional time.
    pub(super) fn suspect(&mut self, stream: StreamNumber, suspicion: Suspicion, ms: u64) {
        let Some(waiting) = self.waiting.get(&stream) else { return };
        let (free_at, grace) = (waiting.free_at, waiting.grace);
        let had_other = self.least_loaded(&waiting.needed, None).is_some();
        let suspect = Suspect::new(suspicion, had_other);
        let is_spread = suspect.is_isolated() && !suspicion.has_failed;
        let spread = if is_spread { spread_ms(stream) } else { 0 };
        let delayed = |at: Option<Millis>| at.map(|at| at.after(suspect.delay_ms() + spread + ms));
        let (free_at, grace) = (delayed(free_at), delayed(grace));
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            (waiting.suspect, waiting.free_at) = (Some(suspect), free_at);
        }
        grace.into_iter().for_each(|at| self.reschedule(stream, at));
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

    /// Removes a session. Returns the streams, which wait for the instance, and move in batches.
    pub(super) fn leave(
        &mut self,
        id: SessionId,
        grace: Grace,
        has_kinds: impl Fn(StreamNumber) -> bool,
    ) -> BTreeSet<StreamNumber> {
        let Some(session) = self.sessions.remove(&id) else { return BTreeSet::new() };
        self.probation.leave(id);
        let SessionHandle { service, instance_id, load, .. } = session.handle;
        let has_others = [false, true].map(|has_kinds| self.is_served(&service, has_kinds));
        for (index, &stream) in session.streams.iter().enumerate() {
            load.fetch_sub(1, Ordering::Relaxed);
            let needed = NeededInstance { service: service.clone(), has_kinds: has_kinds(stream) };
            let (instance_id, has_others) =
                (Some(instance_id.clone()), has_others[usize::from(needed.has_kinds)]);
            let offset = batch_offset(index);
            let free_at = grace.with_others.after(offset);
            let grace = if has_others { free_at } else { grace.longest.after(offset) };
            let (grace, free_at) = (Some(grace), Some(free_at));
            self.wait(stream, Waiting { needed, instance_id, grace, free_at, suspect: None });
        }
        session.streams
    }

    /// Whether another instance of the service has died lately. Notes the death of this one.
    pub(super) fn note_death(&mut self, session: SessionId, now: Millis) -> bool {
        let Some(handle) = self.session(session).cloned() else { return false };
        self.deaths.on_died(&handle.service, &handle.instance_id, now)
    }

    /// Shortens the grace time of other streams of a service, which now has an instance.
    fn free_after_join(&mut self, handle: &SessionHandle, eligible: &BTreeSet<StreamNumber>) {
        let is_concerned = |(stream, waiting): (&StreamNumber, &Waiting)| {
            let free_at = waiting.free_at.filter(|_| waiting.needed.is_served_by(handle))?;
            let is_earlier = waiting.grace.is_some_and(|grace| free_at < grace);
            (is_earlier && !eligible.contains(stream)).then_some((*stream, free_at))
        };
        let concerned: Vec<_> = self.waiting.iter().filter_map(is_concerned).collect();
        concerned.into_iter().for_each(|(stream, at)| self.reschedule(stream, at));
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
    /// Without a session of the service the stream waits for any instance. A suspect waits while each instance has
    /// other suspects, and for a while if there is only one instance.
    pub(super) fn place(&mut self, stream: StreamNumber, now: Millis) -> Option<&SessionHandle> {
        let waiting = self.waiting.get_mut(&stream)?;
        let Some(suspect) = &mut waiting.suspect else { return self.assign(stream) };
        suspect.on_due(now);
        let (suspect, needed) = (*suspect, waiting.needed.clone());
        let session = &self.sessions.get(&self.least_loaded(&needed, None)?)?.handle;
        let (id, slot) = (session.id, session.suspect.clone());
        let is_last = self.least_loaded(&needed, Some(id)).is_none();
        if is_last && suspect.spares_last_instance(now) {
            self.reschedule(stream, suspect.retry(now));
            return None;
        }
        if self.probation.begin(stream, suspect, (id, &slot), now) {
            self.assign_to(stream, id);
            return self.session(id);
        }
        self.reschedule(stream, suspect.retry(now));
        None
    }

    /// Assigns a waiting stream to the least loaded session of the service.
    fn assign(&mut self, stream: StreamNumber) -> Option<&SessionHandle> {
        let id = self.least_loaded(&self.waiting.get(&stream)?.needed, None)?;
        self.assign_to(stream, id);
        self.session(id)
    }

    /// The least loaded session that can serve a stream; one without a suspect in delivery comes first.
    fn least_loaded(
        &self,
        needed: &NeededInstance,
        except: Option<SessionId>,
    ) -> Option<SessionId> {
        let serves = |session: &&SessionStreams| {
            Some(session.handle.id) != except && needed.is_served_by(&session.handle)
        };
        let rank = |session: &&SessionStreams| {
            let handle = &session.handle;
            (handle.suspect.is_taken(), handle.load.load(Ordering::Relaxed))
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
