//! Which application session has which stream: the least loaded one of the service, and the same one as
//! long as its instance lives or comes back in time. Decides; the partition tells streams and sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mailbox::{SessionHandle, SessionId};
use crate::stream::Millis;

/// The sessions of one partition, and its streams as far as assignment goes.
#[derive(Default)]
pub(super) struct Assignment {
    sessions: BTreeMap<SessionId, Session>,
    /// Streams without a session.
    waiting: BTreeMap<u64, Waiting>,
    /// Those of them that wait for an instance to come back, by the time when that ends.
    grace: BTreeSet<(Millis, u64)>,
}

struct Session {
    handle: SessionHandle,
    streams: BTreeSet<u64>,
}

struct Waiting {
    service: Arc<str>,
    /// The instance that had it.
    instance_id: Option<Arc<str>>,
    /// Until then only that instance, or a session that says that it holds the stream, gets it.
    grace: Option<Millis>,
}

/// What became of the streams when a session joined.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    /// They are the session's now; in the order of their numbers.
    pub(super) assigned: BTreeSet<u64>,
    /// The session holds them but cannot have them.
    pub(super) released: Vec<u64>,
}

impl Assignment {
    /// The session's handle, for as long as it is there.
    pub(super) fn session(&self, id: SessionId) -> Option<&SessionHandle> {
        self.sessions.get(&id).map(|session| &session.handle)
    }

    /// How many streams have no session.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a service has a session.
    pub(super) fn is_served(&self, service: &str) -> bool {
        self.sessions.values().any(|session| *session.handle.service == *service)
    }

    /// A stream that has no session: it gets one now if it never had one, or waits until a time for the
    /// instance that had it.
    pub(super) fn add(
        &mut self,
        stream: u64,
        service: Arc<str>,
        instance: Option<(Arc<str>, Millis)>,
    ) -> Option<&SessionHandle> {
        let (instance_id, grace) = instance.unzip();
        self.wait(stream, Waiting { service, instance_id, grace });
        if grace.is_none() { self.assign(stream) } else { None }
    }

    /// A stream is forgotten.
    pub(super) fn remove(&mut self, stream: u64, session: Option<SessionId>) {
        self.stop_waiting(stream);
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id))
            && session.streams.remove(&stream)
        {
            session.handle.load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A session is there. It gets what its instance had, what it says it holds if nobody else has that,
    /// and what waits for any session of the service.
    pub(super) fn join(&mut self, handle: SessionHandle, held: &[u64]) -> Joined {
        let id = handle.id;
        let held_set: BTreeSet<u64> = held.iter().copied().collect();
        let is_for_it = |(stream, waiting): (&u64, &Waiting)| {
            let is_mine = waiting.grace.is_none()
                || held_set.contains(stream)
                || waiting.instance_id.as_ref() == Some(&handle.instance_id);
            (waiting.service == handle.service && is_mine).then_some(*stream)
        };
        let assigned: BTreeSet<u64> = self.waiting.iter().filter_map(is_for_it).collect();
        let released = held_set.difference(&assigned).copied().collect();
        self.sessions.insert(id, Session { handle, streams: BTreeSet::new() });
        for &stream in &assigned {
            self.give(stream, id);
        }
        Joined { assigned, released }
    }

    /// A session is gone. Its streams wait for its instance until `grace`. Returns them.
    pub(super) fn leave(&mut self, id: SessionId, grace: Millis) -> BTreeSet<u64> {
        let Some(session) = self.sessions.remove(&id) else { return BTreeSet::new() };
        let SessionHandle { service, instance_id, load, .. } = session.handle;
        for &stream in &session.streams {
            load.fetch_sub(1, Ordering::Relaxed);
            let (service, instance_id) = (service.clone(), Some(instance_id.clone()));
            self.wait(stream, Waiting { service, instance_id, grace: Some(grace) });
        }
        session.streams
    }

    /// Other sessions of the same instance: a new one takes their place.
    pub(super) fn others_of(&self, handle: &SessionHandle) -> Vec<SessionId> {
        let is_same = |session: &&Session| {
            let other = &session.handle;
            other.id != handle.id
                && other.service == handle.service
                && other.instance_id == handle.instance_id
        };
        self.sessions.values().filter(is_same).map(|session| session.handle.id).collect()
    }

    /// When [`Assignment::end_grace`] has something to do next.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.grace.first().map(|(at, _)| *at)
    }

    /// The next stream that has waited long enough for its instance, with the session that gets it, if there
    /// is one; otherwise it waits for any.
    pub(super) fn end_grace(&mut self, now: Millis) -> Option<(u64, Option<SessionHandle>)> {
        let (at, stream) = self.grace.first().copied().filter(|(at, _)| *at <= now)?;
        self.grace.remove(&(at, stream));
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            waiting.grace = None;
        }
        Some((stream, self.assign(stream).cloned()))
    }

    /// Gives a waiting stream to the least loaded session.
    fn assign(&mut self, stream: u64) -> Option<&SessionHandle> {
        let service = &self.waiting.get(&stream)?.service;
        let candidates = self.sessions.values().filter(|s| s.handle.service == *service);
        let least = candidates.min_by_key(|session| session.handle.load.load(Ordering::Relaxed));
        let id = least?.handle.id;
        self.give(stream, id);
        self.session(id)
    }

    fn give(&mut self, stream: u64, id: SessionId) {
        self.stop_waiting(stream);
        if let Some(session) = self.sessions.get_mut(&id)
            && session.streams.insert(stream)
        {
            session.handle.load.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait(&mut self, stream: u64, waiting: Waiting) {
        if let Some(at) = waiting.grace {
            self.grace.insert((at, stream));
        }
        self.waiting.insert(stream, waiting);
    }

    fn stop_waiting(&mut self, stream: u64) {
        if let Some(Waiting { grace: Some(at), .. }) = self.waiting.remove(&stream) {
            self.grace.remove(&(at, stream));
        }
    }
}
