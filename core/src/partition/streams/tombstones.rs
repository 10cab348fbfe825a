//! Streams that a partition no longer holds: how forgotten streams ended, and whether the store lost others.
//!
//! Classifies a hello for an unknown stream. After a proven rollback the tombstones are part of each checkpoint, so the
//! next owner classifies in the same way. Pure; used by the attach path of the partition.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use minerva_proto::link::Attach;
use minerva_proto::{Reset, Sack, StreamId};

use super::super::recovery::is_jump;
use crate::state::{
    Ended, EndedBy, Meta, STATE_LOST, StoreRollback, StoredTombstone, StreamProtocol,
};
use crate::stream::Millis;

/// Tombstones that are kept: the ends of a few seconds, so that a client that returns by then gets the reason.
pub(super) const MAX_TOMBSTONES: usize = 1000;

/// Service and stream id, as in the client's hello.
pub(super) type StreamKey = (Arc<str>, StreamId);

/// The classification of a stream that the partition does not hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnknownStream {
    /// The stream ended, and the client must get this reset.
    Ended(Reset),
    /// The client must get an attach failure: the stream never existed, or the reason of its end is unknown.
    NotFound,
    /// The store may have lost the stream; a peer may prove so during the grace time.
    Undecided,
}

impl UnknownStream {
    /// The store lost the stream in a rollback.
    pub(super) fn lost() -> Self {
        Self::Ended(Reset::new(STATE_LOST, false))
    }
}

/// Time after a reset by the client in which a hello with the same id is late, in milliseconds: longer than an edge holds a
/// transport. Afterwards the id may be used for another stream.
pub(super) const LATE_HELLO_MS: u64 = 60_000;

/// The end of a forgotten stream.
struct Tombstone {
    /// The store lost a part of the stream.
    is_lost: bool,
    /// The reset that ended the stream; `None` if an earlier owner has forgotten the stream.
    reset: Option<Reset>,
    /// The client has reset the stream: until this time a hello that would create the stream is late.
    late_until: Option<Millis>,
    protocol: StreamProtocol,
}

/// The tombstones of one partition.
pub(super) struct Tombstones {
    /// The ends of forgotten streams.
    ends: HashMap<StreamKey, Tombstone>,
    /// The keys of `ends`, the oldest first.
    order: VecDeque<StreamKey>,
    /// An edge, an app instance or the store has proven that the store rolled back before the claim of this owner.
    rollback_proven: bool,
    /// A client reports a loss. Later owners get the tombstones and unwritten numbers then; no answer depends on that.
    rollback_suspected: bool,
    /// Streams that the store had recorded at the first claim after the rollback.
    streams_made: u64,
    /// Until this time an unknown stream is undecided: the peers that can prove a loss have returned by then.
    decided_from: Millis,
    /// From this time on every unknown stream has exceeded the idle limit.
    idle_from: Millis,
}

impl Tombstones {
    /// The tombstones of a new owner. Peers that can prove a loss return within `grace_ms`, clients within `idle_ms`.
    pub(super) fn new(meta: &Meta, now: Millis, grace_ms: u64, idle_ms: u64) -> Self {
        let after = |ms| now.after(ms);
        let mut tombstones = Self {
            ends: HashMap::new(),
            order: VecDeque::new(),
            rollback_proven: false,
            rollback_suspected: false,
            streams_made: meta.streams_made,
            decided_from: after(grace_ms),
            idle_from: after(idle_ms),
        };
        if let Some(rollback) = &meta.rollback {
            tombstones.rollback_suspected = true;
            if rollback.is_proven() {
                tombstones.rollback_proven = true;
                tombstones.streams_made = rollback.streams_made;
                tombstones.idle_from = after(idle_ms.min(rollback.remaining_ms));
            }
            for StoredTombstone { service, id, is_lost, key } in &rollback.tombstones {
                let (reset, late_until) = (None, None);
                let protocol = key.map_or(StreamProtocol::V2, |key| StreamProtocol::V3 { key });
                let end = Tombstone { is_lost: *is_lost, reset, late_until, protocol };
                tombstones.insert((service.clone(), id.clone()), end);
            }
        }
        tombstones
    }

    /// The rollback to write into a checkpoint; `None` if none was proven or suspected, or the idle limit has passed since.
    pub(super) fn rollback(&self, now: Millis) -> Option<StoreRollback> {
        let remaining_ms = self.idle_from.0.saturating_sub(now.0);
        let is_noted = self.rollback_proven || self.rollback_suspected;
        if !is_noted || remaining_ms == 0 {
            return None;
        }
        let end = |key: &StreamKey| {
            let Tombstone { is_lost, protocol, .. } = self.ends.get(key)?;
            let ((service, id), is_lost, key) = (key.clone(), *is_lost, protocol.key());
            Some(StoredTombstone { service, id, is_lost, key })
        };
        let ends = self.order.iter().filter_map(end).collect();
        Some(StoreRollback {
            streams_made: self.streams_made,
            remaining_ms: if self.rollback_proven { remaining_ms } else { 0 },
            tombstones: ends,
            unwritten: None,
        })
    }

    /// Adds a forgotten stream.
    pub(super) fn add(
        &mut self,
        key: StreamKey,
        end: &Ended,
        protocol: StreamProtocol,
        now: Millis,
    ) {
        let late_until = (end.by == EndedBy::Client).then(|| now.after(LATE_HELLO_MS));
        let reset = Some(end.reset.clone());
        self.insert(key, Tombstone { is_lost: end.is_loss(), reset, late_until, protocol });
    }

    /// Version and key of a forgotten stream; `None` without a tombstone.
    pub(super) fn protocol(&self, key: &StreamKey) -> Option<StreamProtocol> {
        self.ends.get(key).map(|end| end.protocol)
    }

    /// The reset that ended a forgotten stream, if known.
    pub(super) fn reset(&self, key: &StreamKey) -> Option<&Reset> {
        self.ends.get(key)?.reset.as_ref()
    }

    /// Returns true if the client has reset the stream lately: a hello that would create the stream is late.
    pub(super) fn is_late(&self, key: &StreamKey, now: Millis) -> bool {
        self.ends.get(key).and_then(|end| end.late_until).is_some_and(|until| now < until)
    }

    /// Returns true if a forgotten stream ended because the store lost a part of the stream.
    pub(super) fn is_lost(&self, key: &StreamKey) -> bool {
        self.ends.get(key).is_some_and(|end| end.is_lost)
    }

    fn insert(&mut self, key: StreamKey, end: Tombstone) {
        if self.ends.insert(key.clone(), end).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_TOMBSTONES
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
    }

    /// Records that a client reports a loss, which may be invented.
    pub(super) fn suspect_rollback(&mut self) {
        self.rollback_suspected = true;
    }

    /// Records whether an edge, an app instance or the store has proven a rollback.
    pub(super) fn note_rollback(&mut self, is_proven: bool) {
        self.rollback_proven |= is_proven;
    }

    /// The stream count to report to app instances; `made` is the current count.
    ///
    /// After damage that may have removed streams without a trace, the count of the streams known to the store: an
    /// instance ends streams with a greater number as lost, unless this core has started or released them.
    pub(super) fn reported_count(&self, made: u64, now: Millis) -> u64 {
        let is_reduced =
            self.rollback_proven && now < self.idle_from && is_jump(self.streams_made, made);
        if is_reduced { self.streams_made } else { made }
    }

    /// Classifies an unknown stream by the hello or the resumption of a transport.
    ///
    /// `reports_loss`: the client reports a claim that the store has lost.
    pub(super) fn classify(
        &self,
        key: &StreamKey,
        attach: &Attach,
        reports_loss: bool,
        now: Millis,
    ) -> UnknownStream {
        match self.ends.get(key).map(|end| end.is_lost) {
            Some(true) => UnknownStream::lost(),
            Some(false) => UnknownStream::NotFound,
            None => self.classify_unknown(attach, reports_loss, now),
        }
    }

    /// As [`Self::classify`], for a stream without a tombstone.
    pub(super) fn classify_unknown(
        &self,
        attach: &Attach,
        reports_loss: bool,
        now: Millis,
    ) -> UnknownStream {
        if now >= self.idle_from || self.was_recorded(attach) {
            UnknownStream::NotFound
        } else if self.rollback_proven || reports_loss {
            UnknownStream::lost()
        } else if now < self.decided_from && has_history(attach) {
            UnknownStream::Undecided
        } else {
            UnknownStream::NotFound
        }
    }

    /// Returns true if the resumed stream is older than the last stream that the store had recorded.
    fn was_recorded(&self, attach: &Attach) -> bool {
        attach.resume.is_some_and(|resume| resume.stream.count() <= self.streams_made)
    }
}

/// Returns true if the client or the edge has received anything on the stream.
pub(super) fn has_history(attach: &Attach) -> bool {
    let has_any = |sack: &Sack| *sack != Sack::NONE;
    attach.resume.is_some()
        || has_any(&attach.seen_ack)
        || attach.sack.as_ref().is_some_and(has_any)
}

#[cfg(test)]
mod tests;
