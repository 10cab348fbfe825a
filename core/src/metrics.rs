//! The metrics of a core: every name and help text. Created once per process; clones share the values.

mod counters;
mod suspects;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::memory_budget::MemoryBudget;
use crate::partition::Counters;

/// Values of the label `direction`.
const EDGE_TO_CORE: &str = "edge_to_core";
const APP_TO_CORE: &str = "app_to_core";

/// Handles of the metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Currently linked edges.
    pub(crate) links: Gauge,
    /// Frames received from edges.
    pub(crate) link_frames_in: Counter,
    /// Frames of edges that break the contract; the reason is the offending field.
    pub(crate) link_frames_refused: Family<[(&'static str, &'static str); 1], Counter>,
    /// Calls without the necessary token or certificate.
    pub(crate) calls_refused: Family<[(&'static str, &'static str); 1], Counter>,
    /// Requests of the HTTP API by method and status.
    pub(crate) http_requests: Family<[(&'static str, String); 2], Counter>,
    /// Frames, commands and enum values of later releases, received and skipped.
    pub(crate) unknown_received: Family<[(&'static str, &'static str); 1], Counter>,
    /// Currently registered app instances.
    pub(crate) instances: Gauge,
    /// Commands received from app instances.
    pub(crate) app_commands: Counter,
    /// Verified tokens of clients.
    pub(crate) tokens: Family<[(&'static str, &'static str); 1], Counter>,
    /// Partitions served by this process.
    pub(crate) partitions: Gauge,
    /// Live cores that share the store.
    pub(crate) cores: Gauge,
    /// Streams that recovery ended because a part of the stored state was unreadable.
    pub(crate) quarantined_streams: Counter,
    /// Partitions assigned to this core whose stored state cannot be read.
    pub(crate) unreadable_partitions: Gauge,
    /// Partitions assigned to this core that the core does not serve.
    pub(crate) unserved_partitions: Gauge,
    /// Bytes of messages that all streams hold.
    held_bytes: Gauge,
    /// The level of memory use, 0 to 3.
    memory_level: Gauge,
    /// Used share of the store's memory, 0 to 1; 0 without a limit.
    store_fill: Gauge<f64, AtomicU64>,
    /// Counters of the partitions.
    pub(crate) counters: Arc<Counters>,
    /// Duration of appends in seconds.
    pub(crate) append_seconds: Histogram,
    /// Failed store calls by kind.
    pub(crate) store_errors: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub fn new(registry: &mut Registry) -> Self {
        // 100 µs to 3 s: from a store in memory to a slow disk.
        let append_seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let metrics = Self {
            links: Gauge::default(),
            link_frames_in: Counter::default(),
            link_frames_refused: Family::default(),
            calls_refused: Family::default(),
            http_requests: Family::default(),
            unknown_received: Family::default(),
            instances: Gauge::default(),
            app_commands: Counter::default(),
            tokens: Family::default(),
            partitions: Gauge::default(),
            cores: Gauge::default(),
            quarantined_streams: Counter::default(),
            unreadable_partitions: Gauge::default(),
            unserved_partitions: Gauge::default(),
            held_bytes: Gauge::default(),
            memory_level: Gauge::default(),
            store_fill: Gauge::default(),
            counters: Arc::default(),
            append_seconds,
            store_errors: Family::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("minerva_core"));
        let shared = registry.sub_registry_with_prefix("minerva");
        metrics.register_damage(shared);
        metrics.register_memory(shared);
        metrics
    }

    /// Counts unknown parts of the input from edges.
    pub(crate) fn count_unknown_from_edge(&self, count: u64) {
        self.count_unknown(EDGE_TO_CORE, count);
    }

    /// Counts unknown parts of the input from app instances.
    pub(crate) fn count_unknown_from_app(&self, count: u64) {
        self.count_unknown(APP_TO_CORE, count);
    }

    /// Counts a request of the HTTP API. `method` is one of a fixed set.
    pub(crate) fn count_http_request(&self, method: &str, status: u16) {
        let labels = [("method", method.to_owned()), ("status", status.to_string())];
        self.http_requests.get_or_create(&labels).inc();
    }

    fn count_unknown(&self, direction: &'static str, count: u64) {
        if count > 0 {
            self.unknown_received.get_or_create(&[("direction", direction)]).inc_by(count);
        }
    }

    fn register(&self, into: &mut Registry) {
        let Self {
            links,
            link_frames_in,
            link_frames_refused,
            calls_refused,
            http_requests,
            unknown_received,
            instances,
            app_commands,
            tokens,
            partitions,
            cores,
            quarantined_streams: _,
            unreadable_partitions: _,
            unserved_partitions: _,
            held_bytes: _,
            memory_level: _,
            store_fill: _,
            counters,
            append_seconds,
            store_errors,
        } = self.clone();
        into.register("links", "Currently linked edges", links);
        into.register("tokens", "Tokens of clients by the result of the verification", tokens);
        into.register("link_frames_in", "Frames received from edges", link_frames_in);
        let refused = "Frames of edges that break the contract, by reason";
        into.register("link_frames_refused", refused, link_frames_refused);
        let refused = "Calls without the necessary token or certificate, by reason";
        into.register("calls_refused", refused, calls_refused);
        let requests = "Requests of the HTTP API by method and HTTP status";
        into.register("http_requests", requests, http_requests);
        let unknown = "Unknown frames, commands and enum values, by direction";
        for direction in [EDGE_TO_CORE, APP_TO_CORE] {
            // Exported from the start, as 0.
            drop(unknown_received.get_or_create(&[("direction", direction)]));
        }
        into.register("unknown_received", unknown, unknown_received);
        into.register("app_instances", "Currently registered app instances", instances);
        into.register("app_commands", "Commands received from app instances", app_commands);
        into.register("partitions", "Partitions served by this process", partitions);
        into.register("cores", "Live cores that share the store", cores);
        into.register_collector(Box::new(counters::CounterCollector(counters)));
        into.register("store_append_seconds", "Duration of appends in seconds", append_seconds);
        into.register("store_errors", "Failed store calls", store_errors);
    }

    /// Registers the metrics of damage and of missing service, which an operator should alert on.
    fn register_damage(&self, into: &mut Registry) {
        let quarantined = "Streams ended because a part of the stored state was unreadable";
        into.register("quarantined_streams", quarantined, self.quarantined_streams.clone());
        let unreadable = "Partitions assigned to this core whose stored state cannot be read";
        into.register("unreadable_partitions", unreadable, self.unreadable_partitions.clone());
        let unserved = "Partitions assigned to this core that the core does not serve";
        into.register("unserved_partitions", unserved, self.unserved_partitions.clone());
        into.register_collector(Box::new(counters::DurabilityCollector(self.counters.clone())));
        into.register_collector(Box::new(suspects::SuspectCollector(self.counters.clone())));
    }

    fn register_memory(&self, into: &mut Registry) {
        let held = "Bytes of messages in inboxes, behind gaps and in outboxes";
        into.register("held_bytes", held, self.held_bytes.clone());
        let level = "Memory level: 0 free, 1 no new streams, 2 no messages behind gaps, 3 no messages of clients";
        into.register("memory_level", level, self.memory_level.clone());
        let fill = "Used share of the memory limit of the store, 0 without a limit";
        into.register("store_fill_ratio", fill, self.store_fill.clone());
    }

    /// Sets the gauges of memory.
    pub(crate) fn report_memory(&self, memory: &MemoryBudget) {
        self.held_bytes.set(i64::try_from(memory.held_bytes()).unwrap_or(i64::MAX));
        self.memory_level.set(memory.level() as i64);
        self.store_fill.set(memory.store_share());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::clock;

    /// Names without the prefix `minerva_core_`, in the order of the page.
    const NAMES: &[&str] = &[
        "links",
        "link_frames_in",
        "link_frames_refused",
        "calls_refused",
        "http_requests",
        "unknown_received",
        "app_instances",
        "app_commands",
        "partitions",
        "cores",
        "store_append_seconds",
        "store_errors",
        "streams",
        "streams_unserved",
        "streams_unacknowledged",
        "streams_blocked",
        "transports",
        "inbox_bytes",
        "outbox_bytes",
        "streams_opened",
        "streams_forgotten",
        "streams_unrecorded",
        "streams_freed_unserved",
        "transports_unavailable",
        "takeovers",
        "transports_killed",
        "sends_refused",
        "commands_refused",
        "messages_c2s",
        "messages_s2c",
        "store_appends",
        "store_append_bytes",
        "store_checkpoints",
        "refusals",
        "streams_ended",
    ];

    #[test]
    fn all_metrics_are_exported() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.counters.messages_c2s.store(7, Ordering::Relaxed);
        metrics.counters.suspects.store(2, Ordering::Relaxed);
        metrics.counters.streams.store(3, Ordering::Relaxed);
        metrics.counters.ended[3].store(2, Ordering::Relaxed);
        metrics.store_errors.get_or_create(&[("kind", "fenced")]).inc();
        metrics.link_frames_refused.get_or_create(&[("reason", "batch")]).inc();
        metrics.calls_refused.get_or_create(&[("reason", "TOKEN_MISSING")]).inc();
        metrics.count_http_request("send", 200);
        metrics.count_unknown_from_edge(2);
        metrics.links.inc();
        let begin = clock::now() - std::time::Duration::from_secs(3600);
        metrics.counters.durability.set_pending(5, Some(begin));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let described = page.lines().filter_map(|line| line.strip_prefix("# TYPE minerva_core_"));
        let names: Vec<_> = described.filter_map(|line| Some(line.split_once(' ')?.0)).collect();
        assert_eq!(names, NAMES);
        for line in [
            "minerva_core_links 1",
            "minerva_core_link_frames_refused_total{reason=\"batch\"} 1",
            "minerva_core_calls_refused_total{reason=\"TOKEN_MISSING\"} 1",
            "minerva_core_http_requests_total{method=\"send\",status=\"200\"} 1",
            "minerva_core_unknown_received_total{direction=\"edge_to_core\"} 2",
            "minerva_core_unknown_received_total{direction=\"app_to_core\"} 0",
            "minerva_core_streams 3",
            "minerva_core_messages_c2s_total 7",
            "minerva_core_streams_ended_total{by=\"slow\"} 2",
            "minerva_core_store_errors_total{kind=\"fenced\"} 1",
            "minerva_core_store_append_seconds_count 0",
            "minerva_quarantined_streams_total 0",
            "minerva_unreadable_partitions 0",
            "minerva_unserved_partitions 0",
            "minerva_held_bytes 0",
            "minerva_memory_level 0",
            "minerva_store_fill_ratio 0.0",
            "minerva_core_refusals_total{reason=\"busy\"} 0",
            "minerva_suspect_streams 2",
        ] {
            assert!(page.lines().any(|exported| exported == line), "{line} is not in\n{page}");
        }
        for age in [
            "minerva_oldest_pending_append_seconds 36",
            "minerva_last_durable_append_age_seconds 0.",
        ] {
            assert!(
                page.lines().any(|exported| exported.starts_with(age)),
                "{age} is not in\n{page}"
            );
        }
    }
}
