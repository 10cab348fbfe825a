//! What all receivers share: how much came, how late, and when it was sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use minerva_faults::clock;
use tokio::sync::watch;

use crate::histogram::Histogram;

pub(super) struct Counters {
    /// Strings that came, over all streams.
    delivered: AtomicU64,
    pub(super) latencies: Histogram,
    /// When each send began.
    sent: watch::Sender<Vec<Instant>>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            delivered: AtomicU64::new(0),
            latencies: Histogram::new(),
            sent: watch::Sender::new(Vec::new()),
        }
    }

    /// A send begins.
    pub(super) fn send(&self) {
        self.sent.send_modify(|sent| sent.push(clock::now()));
    }

    /// So many sends have begun.
    pub(super) fn sent(&self) -> u64 {
        self.sent.borrow().len() as u64
    }

    /// So many messages came to one receiver, after those that it had before.
    pub(super) fn deliver(&self, before: usize, came: usize) {
        let now = clock::now();
        for sent in self.sent.borrow().iter().skip(before).take(came) {
            self.latencies.add(now.duration_since(*sent));
        }
        self.delivered.fetch_add(came as u64, Ordering::Relaxed);
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}
