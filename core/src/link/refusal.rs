//! Accounting of refused edge frames: one count each, and one log line per interval and link. Called by `link.rs`.

use std::time::Duration;

use minerva_proto::link::LinkFrameError;
use tokio::time::Instant;

use crate::clock;
use crate::metrics::Metrics;
use crate::stream::LinkId;

/// Shortest time between two log lines of one link. A defective edge may send thousands of such frames a second.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The refused frames of one link.
pub(super) struct Refusals {
    link: LinkId,
    metrics: Metrics,
    logged_at: Option<Instant>,
    /// Refusals since the last line.
    unlogged: u64,
}

impl Refusals {
    pub(super) fn new(link: LinkId, metrics: Metrics) -> Self {
        Self { link, metrics, logged_at: None, unlogged: 0 }
    }

    /// Counts one refusal; logs at most one per [`LOG_INTERVAL`].
    pub(super) fn record(&mut self, error: &LinkFrameError) {
        self.metrics.link_frames_refused.get_or_create(&[("reason", error.field)]).inc();
        let now = clock::now();
        if self.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            self.unlogged += 1;
            return;
        }
        self.logged_at = Some(now);
        let (link, unlogged) = (self.link.0, std::mem::take(&mut self.unlogged));
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
            assert_eq!(refusals.unlogged, unlogged, "{pause}");
        }
        refusals.record(&LinkFrameError::new(None, "hello", "wrong"));
        let count = |reason| metrics.link_frames_refused.get_or_create(&[("reason", reason)]).get();
        assert_eq!((count("attach.service"), count("hello")), (5, 1));
    }
}
