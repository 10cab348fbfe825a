//! Counters shared by all receivers: deliveries, latencies and send times.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use minerva_faults::clock;
use tokio::sync::watch;

use crate::histogram::Histogram;

pub(super) struct Counters {
    /// Delivered messages over all streams.
    delivered: AtomicU64,
    pub(super) latencies: Histogram,
    /// Start times of the sends.
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

    /// Records the start of a send.
    pub(super) fn send(&self) {
        self.sent.send_modify(|sent| sent.push(clock::now()));
    }

    /// Number of started sends.
    pub(super) fn sent(&self) -> u64 {
        self.sent.borrow().len() as u64
    }

    /// Records `came` messages at one receiver, after `before` earlier ones.
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
