//! Accounting of refused edge frames and edges: one log line per interval, and a count of each frame. Called by `link.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minerva_proto::link::LinkFrameError;
use minerva_proto::link::greeting::GreetingError;
use tokio::time::Instant;

use crate::clock;
use crate::metrics::Metrics;
use crate::stream::LinkId;

/// Shortest time between two log lines. A defective edge may send thousands of invalid frames a second, and an
/// incompatible edge calls again every second.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Limit of log lines, one per [`LOG_INTERVAL`].
#[derive(Debug, Default)]
struct LogLimit {
    logged_at: Option<Instant>,
    /// Refusals since the last line.
    unlogged: u64,
}

impl LogLimit {
    /// Records a refusal. If a line is due, returns the number of refusals without a line since the last one.
    fn record(&mut self) -> Option<u64> {
        let now = clock::now();
        if self.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            self.unlogged += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// The refused greetings of all edges. Clones share the limit.
#[derive(Debug, Clone, Default)]
pub(super) struct RefusedEdges(Arc<Mutex<LogLimit>>);

impl RefusedEdges {
    /// Logs a refused greeting, at most one per [`LOG_INTERVAL`].
    pub(super) fn record(&self, edge: &str, error: &GreetingError) {
        let due = self.0.lock().unwrap_or_else(PoisonError::into_inner).record();
        if let Some(unlogged) = due {
            tracing::error!(edge = ?edge, %error, unlogged, "refused the link of an incompatible edge");
        }
    }
}

/// The refused frames of one link.
pub(super) struct Refusals {
    link: LinkId,
    metrics: Metrics,
    log: LogLimit,
}

impl Refusals {
    pub(super) fn new(link: LinkId, metrics: Metrics) -> Self {
        Self { link, metrics, log: LogLimit::default() }
    }

    /// Counts one refusal; logs at most one per [`LOG_INTERVAL`].
    pub(super) fn record(&mut self, error: &LinkFrameError) {
        self.metrics.link_frames_refused.get_or_create(&[("reason", error.field)]).inc();
        let Some(unlogged) = self.log.record() else { return };
        let link = self.link.0;
        let transport = error.transport.map(|transport| transport.0);
        tracing::warn!(link, transport, %error, unlogged, "refused a frame of an edge");
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::link::TransportId;
    use prometheus_client::registry::Registry;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_refusal_is_counted_and_few_are_logged() {
        let metrics = Metrics::new(&mut Registry::default());
        let mut refusals = Refusals::new(LinkId(1), metrics.clone());
        let transport = Some(TransportId(7));
        let error = LinkFrameError::new(transport, "attach.service", "wrong");
        for (pause, unlogged) in [(0, 0), (1, 1), (9_998, 2), (1, 0), (5_000, 1)] {
            advance(Duration::from_millis(pause)).await;
            refusals.record(&error);
            assert_eq!(refusals.log.unlogged, unlogged, "{pause}");
        }
        refusals.record(&LinkFrameError::new(None, "hello", "wrong"));
        let count = |reason| metrics.link_frames_refused.get_or_create(&[("reason", reason)]).get();
        assert_eq!((count("attach.service"), count("hello")), (5, 1));
    }
}
