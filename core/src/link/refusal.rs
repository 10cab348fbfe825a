//! Accounting of refused edge frames and edges: one log line per interval, and a count of each frame. Called by `link.rs`.

use std::collections::HashMap;
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
        if !self.is_over() {
            self.unlogged += 1;
            return None;
        }
        self.logged_at = Some(clock::now());
        Some(std::mem::take(&mut self.unlogged))
    }

    /// Whether the interval of the last line is over.
    fn is_over(&self) -> bool {
        self.logged_at.is_none_or(|at| clock::now().duration_since(at) >= LOG_INTERVAL)
    }
}

/// Edges with a log limit of their own; further ones share one. An edge chooses its name.
const MAX_EDGES: usize = 100;

/// Most characters of a name that distinguish two edges.
const NAME_CHARS: usize = 64;

/// The refused greetings of all edges, with one limit per edge. Clones share the limits.
#[derive(Debug, Clone, Default)]
pub(super) struct RefusedEdges(Arc<Mutex<EdgeLimits>>);

#[derive(Debug, Default)]
struct EdgeLimits {
    edges: HashMap<String, LogLimit>,
    others: LogLimit,
}

impl EdgeLimits {
    /// Records a refusal, as [`LogLimit::record`] of this edge.
    fn record(&mut self, edge: &str) -> Option<u64> {
        let name: String = edge.chars().take(NAME_CHARS).collect();
        if !self.edges.contains_key(&name) && self.edges.len() >= MAX_EDGES {
            self.edges.retain(|_, limit| !limit.is_over());
        }
        if self.edges.contains_key(&name) || self.edges.len() < MAX_EDGES {
            self.edges.entry(name).or_default().record()
        } else {
            self.others.record()
        }
    }
}

impl RefusedEdges {
    /// Logs a refused greeting, at most one per edge and [`LOG_INTERVAL`].
    pub(super) fn record(&self, edge: &str, error: &GreetingError) {
        let due = self.0.lock().unwrap_or_else(PoisonError::into_inner).record(edge);
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
    async fn each_edge_has_a_log_limit_of_its_own() {
        let mut limits = EdgeLimits::default();
        assert_eq!(
            [limits.record("a"), limits.record("a"), limits.record("b")],
            [Some(0), None, Some(0)]
        );
        advance(LOG_INTERVAL).await;
        assert_eq!([limits.record("a"), limits.record("b")], [Some(1), Some(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_edges_with_a_limit_of_their_own_are_bounded() {
        for (count, is_shared) in
            [(MAX_EDGES - 1, false), (MAX_EDGES, false), (MAX_EDGES + 1, true)]
        {
            let mut limits = EdgeLimits::default();
            (0..count).for_each(|edge| assert_eq!(limits.record(&format!("edge{edge}")), Some(0)));
            assert_eq!(limits.edges.len(), count.min(MAX_EDGES));
            assert_eq!(limits.others.logged_at.is_some(), is_shared, "{count}");
            advance(LOG_INTERVAL).await;
            assert_eq!(limits.record("another"), Some(0));
            assert!(limits.edges.contains_key("another"), "an edge without refusals has no limit");
        }
    }

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
