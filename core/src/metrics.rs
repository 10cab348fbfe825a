//! The core's metrics, all named here. Made once per process; cloned to whoever counts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::partition::Counters;

/// The handles. Clones count into the same metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Edges that are linked now.
    pub(crate) links: Gauge,
    /// Frames that edges sent.
    pub(crate) link_frames_in: Counter,
    /// Application instances that are registered now.
    pub(crate) instances: Gauge,
    /// Commands that application instances sent.
    pub(crate) app_commands: Counter,
    /// Partitions that this process serves.
    pub(crate) partitions: Gauge,
    pub(crate) cores: Gauge,
    /// What partitions count.
    pub(crate) counters: Arc<Counters>,
    /// Seconds that an append took.
    pub(crate) append_seconds: Histogram,
    /// Calls that the store did not do.
    pub(crate) store_errors: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Makes the metrics and puts them into a registry.
    pub fn new(registry: &mut Registry) -> Self {
        // 100 µs to 3 s: from a store in memory to a disk that is in trouble.
        let append_seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let metrics = Self {
            links: Gauge::default(),
            link_frames_in: Counter::default(),
            instances: Gauge::default(),
            app_commands: Counter::default(),
            partitions: Gauge::default(),
            cores: Gauge::default(),
            counters: Arc::default(),
            append_seconds,
            store_errors: Family::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("minerva_core"));
        metrics
    }

    fn register(&self, into: &mut Registry) {
        let Self {
            links,
            link_frames_in,
            instances,
            app_commands,
            partitions,
            cores,
            counters,
            append_seconds,
            store_errors,
        } = self.clone();
        into.register("links", "Edges that are linked now", links);
        into.register("link_frames_in", "Frames that edges sent", link_frames_in);
        into.register("app_instances", "Application instances that are registered now", instances);
        into.register("app_commands", "Commands of application instances", app_commands);
        into.register("partitions", "Partitions that this process serves", partitions);
        into.register("cores", "Cores that share the store now", cores);
        into.register_collector(Box::new(Collected(counters)));
        into.register("store_append_seconds", "Seconds that an append took", append_seconds);
        into.register("store_errors", "Calls that the store did not do", store_errors);
    }
}

/// Shows what partitions count; they know nothing of metrics.
#[derive(Debug)]
struct Collected(Arc<Counters>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &*self.0;
        let gauges = [
            ("streams", "Streams, with those that ended and wait for their app", &counters.streams),
            ("streams_unserved", "Streams without an application instance", &counters.unserved),
            ("transports", "Transports that are attached now", &counters.transports),
            ("inbox_bytes", "Bytes of strings held for applications", &counters.inbox_bytes),
            ("outbox_bytes", "Bytes of strings held for clients", &counters.outbox_bytes),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(read(value));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counts = [
            ("streams_opened", "Streams that were made", &counters.opened),
            ("streams_forgotten", "Ends that no application acknowledged", &counters.forgotten),
            ("transports_unavailable", "Transports told to come again", &counters.unavailable),
            ("transports_killed", "Transports that were killed", &counters.killed),
            ("sends_refused", "Sends refused for want of room", &counters.sends_refused),
            ("strings_c2s", "Strings taken from clients", &counters.strings_c2s),
            ("strings_s2c", "Strings taken from applications", &counters.strings_s2c),
            ("store_appends", "Turns with something to store", &counters.appends),
            ("store_append_bytes", "Bytes stored in them", &counters.append_bytes),
            ("store_checkpoints", "Checkpoints written", &counters.checkpoints),
        ];
        for (name, help, value) in counts {
            let counter = ConstCounter::new(read(value));
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let mut encoder = encoder.encode_descriptor(
            "streams_ended",
            "Streams that ended",
            None,
            MetricType::Counter,
        )?;
        for (by, count) in Counters::ENDED_BY.iter().zip(&counters.ended) {
            ConstCounter::new(read(count)).encode(encoder.encode_family(&[("by", *by)])?)?;
        }
        Ok(())
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_are_shown() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.counters.strings_c2s.store(7, Ordering::Relaxed);
        metrics.counters.streams.store(3, Ordering::Relaxed);
        metrics.counters.ended[3].store(2, Ordering::Relaxed);
        metrics.store_errors.get_or_create(&[("kind", "fenced")]).inc();
        metrics.links.inc();
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for line in [
            "minerva_core_links 1",
            "minerva_core_streams 3",
            "minerva_core_strings_c2s_total 7",
            "minerva_core_streams_ended_total{by=\"slow\"} 2",
            "minerva_core_store_errors_total{kind=\"fenced\"} 1",
            "minerva_core_store_append_seconds_count 0",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }
}
