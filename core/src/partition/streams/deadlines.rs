//! The next deadline of each stream, ordered by time. Pure.

use std::collections::{BTreeSet, HashMap};

use minerva_proto::StreamNumber;

use crate::stream::Millis;

/// A set with at most one deadline per stream.
#[derive(Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Millis, StreamNumber)>,
    by_stream: HashMap<StreamNumber, Millis>,
}

impl Deadlines {
    /// The earliest deadline.
    pub(super) fn first(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Replaces the deadline of a stream.
    pub(super) fn set(&mut self, stream: StreamNumber, deadline: Option<Millis>) {
        let old = match deadline {
            Some(at) => self.by_stream.insert(stream, at),
            None => self.by_stream.remove(&stream),
        };
        if old != deadline {
            old.map(|at| self.by_time.remove(&(at, stream)));
            deadline.map(|at| self.by_time.insert((at, stream)));
        }
    }

    /// Removes the earliest deadline if that time has passed; returns the stream.
    pub(super) fn pop_due(&mut self, now: Millis) -> Option<StreamNumber> {
        let (_, stream) = self.by_time.first().copied().filter(|(at, _)| *at <= now)?;
        self.set(stream, None);
        Some(stream)
    }
}
