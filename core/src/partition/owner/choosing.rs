//! Streams whose client has yet to pick their service: they are for no application until its first string is
//! there. Nothing of this is stored but what is picked: who may still pick follows from the streams.

use std::collections::BTreeSet;

use super::super::subprotocols::Subprotocols;
use super::Owner;
use crate::stream::{Attach, Effects, Millis, Stream, Turn};

/// Who may pick what, and the streams that have not.
pub(super) struct Choosing {
    subprotocols: Subprotocols,
    streams: BTreeSet<u64>,
}

impl Choosing {
    pub(super) fn new(subprotocols: Subprotocols) -> Self {
        Self { subprotocols, streams: BTreeSet::new() }
    }

    /// Lets a stream's client pick, if it may; `false`: the stream has its service.
    pub(super) fn offer(&mut self, stream: &mut Stream) -> bool {
        if let Some(services) = self.subprotocols.of(&stream.state().origin().service) {
            stream.offer(services.clone());
        }
        stream.is_choosing() && self.streams.insert(stream.number())
    }
}

impl Owner {
    /// Runs a stream's machine where its first string may come: its marks are of its service.
    pub(super) fn hear(
        &mut self,
        number: u64,
        now: Millis,
        effects: &mut Effects,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>),
    ) {
        if self.choosing.streams.contains(&number) {
            self.mark(number, now, effects, run);
        } else {
            self.with_stream(number, now, effects, run);
        }
    }

    /// Assigns a stream whose service was picked in this turn. One that ended without is nobody's.
    pub(super) fn place(&mut self, number: u64, now: Millis, effects: &mut Effects) {
        let Some(stream) = self.streams.get(&number) else { return };
        if stream.is_choosing() || !self.choosing.streams.remove(&number) {
            return;
        }
        if stream.state().inbox().is_done() {
            return;
        }
        let service = stream.state().service().clone();
        if let Some(session) = self.assignment.add(number, service, None).cloned() {
            self.with_stream(number, now, effects, |stream, turn| {
                stream.on_assigned(session.id, &session.instance_id, session.window, turn);
            });
        }
    }

    /// Whether too many streams wait for an application, or may soon, and nobody would serve this one either.
    pub(super) fn is_unserved(&self, attach: &Attach) -> bool {
        let waiting = self.assignment.waiting() + self.choosing.streams.len();
        let is_served = match self.choosing.subprotocols.of(&attach.service) {
            Some(services) => services.iter().all(|name| self.assignment.is_served(name)),
            None => self.assignment.is_served(&attach.service),
        };
        waiting >= self.limits.max_unserved && !is_served
    }
}
