//! Numbers that partitions count, for whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of all partitions of a process. Each is only ever added to, but for `streams` and `transports`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Streams now, those that ended and wait for their application included.
    pub streams: AtomicU64,
    /// Transports attached now.
    pub transports: AtomicU64,
    /// Streams made.
    pub opened: AtomicU64,
    /// Streams that ended.
    pub ended: AtomicU64,
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

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

pub(super) fn subtract(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}
