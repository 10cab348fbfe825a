//! The share of one partition in the gauges of the process: bytes in inboxes and outboxes, unserved and suspect streams.
//!
//! Updated by the inputs of streams and exported at the end of a turn. `Counters::streams` and `Counters::transports`
//! are not kept here: they change where a stream or a transport is added or removed.

use std::sync::Arc;

use super::super::assignment::ISOLATED;
use super::super::counters::{Counters, replace};
use crate::stream::Stream;

/// Bytes that a stream holds, and whether the stream is isolated.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    inbox_bytes: usize,
    outbox_bytes: usize,
    /// Bytes of messages behind a gap.
    gap_bytes: usize,
    /// 1 if the app instance acknowledges nothing although more events wait.
    silent: usize,
    /// 1 if the stream is isolated.
    suspects: usize,
}

impl Held {
    pub(super) fn of(stream: &Stream) -> Self {
        let state = stream.state();
        Self {
            inbox_bytes: state.inbox().bytes(),
            outbox_bytes: state.outbox().bytes() + state.outbox().retained_bytes(),
            gap_bytes: state.window().waiting_bytes(),
            silent: usize::from(stream.has_silent_app()),
            suspects: usize::from(stream.redeliveries() >= ISOLATED),
        }
    }

    /// All bytes.
    pub(super) fn total(self) -> usize {
        self.inbox_bytes + self.outbox_bytes + self.gap_bytes
    }
}

/// The current values of a partition, and the values that the counters include.
pub(super) struct Gauges {
    counters: Arc<Counters>,
    current: Values,
    exported: Values,
}

/// The values of one partition.
#[derive(Clone, Copy, Default)]
struct Values {
    /// Sums over all streams.
    held: Held,
    /// Streams without an app instance.
    unserved: usize,
}

impl Gauges {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, current: Values::default(), exported: Values::default() }
    }

    /// Sets and exports the values after a recovery.
    pub(super) fn start(&mut self, streams: impl Iterator<Item = Held>, unserved: usize) {
        streams.for_each(|held| self.change(Held::default(), held));
        self.export(unserved);
    }

    /// Bytes of all streams.
    pub(super) fn held(&self) -> usize {
        self.current.held.total()
    }

    /// Replaces the bytes that a stream held before an input. The total of the process follows at once, because it
    /// decides about the next input.
    pub(super) fn change(&mut self, before: Held, after: Held) {
        if before.total() != after.total() {
            replace(&self.counters.held_bytes, before.total(), after.total());
        }
        let total = &mut self.current.held;
        total.gap_bytes = total.gap_bytes + after.gap_bytes - before.gap_bytes;
        total.silent = total.silent + after.silent - before.silent;
        total.inbox_bytes = total.inbox_bytes + after.inbox_bytes - before.inbox_bytes;
        total.outbox_bytes = total.outbox_bytes + after.outbox_bytes - before.outbox_bytes;
        total.suspects = total.suspects + after.suspects - before.suspects;
    }

    /// Exports the current values; `unserved` is the number of streams without an app instance.
    pub(super) fn export(&mut self, unserved: usize) {
        self.current.unserved = unserved;
        self.replace(self.current);
        self.exported = self.current;
    }

    /// Removes the exported values from the counters.
    pub(super) fn remove(&self) {
        self.replace(Values::default());
        replace(&self.counters.held_bytes, self.held(), 0);
    }

    fn replace(&self, new: Values) {
        let old = self.exported;
        replace(&self.counters.inbox_bytes, old.held.inbox_bytes, new.held.inbox_bytes);
        replace(&self.counters.outbox_bytes, old.held.outbox_bytes, new.held.outbox_bytes);
        replace(&self.counters.silent, old.held.silent, new.held.silent);
        replace(&self.counters.suspects, old.held.suspects, new.held.suspects);
        replace(&self.counters.unserved, old.unserved, new.unserved);
    }
}
