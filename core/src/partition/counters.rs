//! Numbers that partitions count, for whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::state::{Ended, EndedBy};
use crate::stream::{IDLE, SLOW};

/// Counts of all partitions of a process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Streams now, those that ended and wait for their application included.
    pub streams: AtomicU64,
    /// Transports attached now.
    pub transports: AtomicU64,
    /// Streams without an application instance now.
    pub unserved: AtomicU64,
    /// Bytes of strings held for applications now.
    pub inbox_bytes: AtomicU64,
    /// Bytes of strings held for clients now.
    pub outbox_bytes: AtomicU64,
    /// Streams made. This and all below only grow.
    pub opened: AtomicU64,
    /// Streams that ended: by the client, the application, the idle limit, as slow clients, by lost state, by a
    /// first string that picks no service.
    pub ended: [AtomicU64; 6],
    /// Transports that were told to come again later.
    pub unavailable: AtomicU64,
    /// Transports that were killed.
    pub killed: AtomicU64,
    /// Sends that were refused for want of room.
    pub sends_refused: AtomicU64,
    /// Streams whose end no application acknowledged in time.
    pub forgotten: AtomicU64,
    /// Strings taken from clients.
    pub strings_c2s: AtomicU64,
    /// Strings taken from applications.
    pub strings_s2c: AtomicU64,
    /// Turns with something to store.
    pub appends: AtomicU64,
    /// Bytes stored in them.
    pub append_bytes: AtomicU64,
    /// Checkpoints written.
    pub checkpoints: AtomicU64,
}

impl Counters {
    /// The names of the parts of `ended`.
    pub const ENDED_BY: [&str; 6] = ["client", "app", "idle", "slow", "lost", "subprotocol"];

    pub(super) fn count_end(&self, ended: &Ended) {
        let part = match (ended.by, ended.reset.reason.as_str()) {
            (EndedBy::Client, _) => 0,
            (EndedBy::App, _) => 1,
            (EndedBy::Core, IDLE) => 2,
            (EndedBy::Core, SLOW) => 3,
            (EndedBy::Core, _) if ended.is_loss() => 4,
            (EndedBy::Core, _) => 5,
        };
        add(&self.ended[part], 1);
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

pub(super) fn subtract(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}

/// Sets this partition's part of a count that all partitions share.
pub(super) fn replace(counter: &AtomicU64, old: usize, new: usize) {
    add(counter, new as u64);
    subtract(counter, old as u64);
}
