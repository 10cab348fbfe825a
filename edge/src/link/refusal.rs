//! Accounting of refused core frames: one count each, and one log line per interval and call. Called by `call.rs`.

use std::time::{Duration, Instant};

use minerva_proto::link::LinkFrameError;

use crate::clock;
use crate::metrics::{Metrics, Refusal};

/// Shortest time between two log lines of one call. A defective core may send thousands of such frames a second.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The refused frames of one call.
pub(super) struct Refusals {
    core_id: String,
    metrics: Metrics,
    logged_at: Option<Instant>,
    /// Refusals since the last context.
    unlogged: u64,
}

impl Refusals {
    pub(super) fn new(core_id: String, metrics: Metrics) -> Self {
        Self { core_id, metrics, logged_at: None, unlogged: 0 }
    }

    /// Counts one refusal; logs at most one per [`LOG_INTERVAL`].
    pub(super) fn record(&mut self, error: &LinkFrameError) {
        self.metrics.refused_frames.get_or_create(&Refusal { reason: error.field }).inc();
        let now = clock::now();
        if self.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            self.unlogged += 1;
            return;
        }
        self.logged_at = Some(now);
        let (core, unlogged) = (&self.core_id, std::mem::take(&mut self.unlogged));
        let transport = error.transport.map(|transport| transport.0);
        tracing::warn!(core, transport, %error, unlogged, "refused a frame of a core");
    }
}
