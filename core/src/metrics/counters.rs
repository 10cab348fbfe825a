//! The exported counters of the partitions, and the age of their appends. Registered by the metrics of the core.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::clock;
use crate::partition::Counters;

/// Exports the counters of the partitions.
#[derive(Debug)]
pub(super) struct CounterCollector(pub(super) Arc<Counters>);

impl Collector for CounterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_gauges(&mut encoder)?;
        let counters = &*self.0;
        let counts = [
            ("streams_opened", "Streams created", &counters.opened),
            (
                "streams_forgotten",
                "Ended streams forgotten without an acknowledgement",
                &counters.forgotten,
            ),
            (
                "streams_unrecorded",
                "Hellos for streams that the store lost without a trace, after an edge or an application has proven a loss",
                &counters.unrecorded,
            ),
            (
                "streams_freed_unserved",
                "Ended streams freed because their service has never had an instance",
                &counters.freed_unserved,
            ),
            (
                "transports_unavailable",
                "Transports closed with a request to retry",
                &counters.unavailable,
            ),
            (
                "takeovers",
                "Transports that replaced an open one of their stream, at any edge",
                &counters.takeovers,
            ),
            ("transports_killed", "Transports killed for a protocol error", &counters.killed),
            ("sends_refused", "Sends refused for lack of room", &counters.sends_refused),
            (
                "commands_refused",
                "Commands of app instances refused as invalid",
                &counters.commands_refused,
            ),
            ("messages_c2s", "Messages accepted from clients", &counters.messages_c2s),
            ("messages_s2c", "Messages accepted from applications", &counters.messages_s2c),
            ("store_appends", "Log entries appended", &counters.appends),
            ("store_append_bytes", "Bytes of appended log entries", &counters.append_bytes),
            ("store_checkpoints", "Finished checkpoints", &counters.checkpoints),
        ];
        for (name, help, value) in counts {
            let counter = ConstCounter::new(read(value));
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        self.encode_refused(&mut encoder)?;
        self.encode_ended(&mut encoder)
    }
}

impl CounterCollector {
    /// Exports the current values.
    fn encode_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &*self.0;
        let gauges = [
            (
                "streams",
                "Current streams, ended ones with an unacknowledged end included",
                &counters.streams,
            ),
            ("streams_unserved", "Current streams without an app instance", &counters.unserved),
            (
                "streams_unacknowledged",
                "Current streams whose app instance acknowledges nothing although more events wait",
                &counters.silent,
            ),
            (
                "streams_blocked",
                "Current streams whose messages wait for a budget of their address or service",
                &counters.blocked,
            ),
            ("transports", "Currently attached transports", &counters.transports),
            ("inbox_bytes", "Bytes of messages in inboxes", &counters.inbox_bytes),
            ("outbox_bytes", "Bytes of messages in outboxes", &counters.outbox_bytes),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(read(value));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }

    /// Exports the ended streams by cause.
    fn encode_ended(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut encoder =
            encoder.encode_descriptor("streams_ended", "Ended streams", None, kind)?;
        for (by, count) in Counters::ENDED_BY.iter().zip(&self.0.ended) {
            ConstCounter::new(read(count)).encode(encoder.encode_family(&[("by", *by)])?)?;
        }
        Ok(())
    }

    /// Exports the refused transports by reason.
    fn encode_refused(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Transports closed with a request to retry, by reason";
        let mut encoder = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for (reason, count) in Counters::REFUSED_FOR.iter().zip(&self.0.refused) {
            ConstCounter::new(read(count))
                .encode(encoder.encode_family(&[("reason", *reason)])?)?;
        }
        Ok(())
    }
}

/// Exports the age of appends, which grows without an event.
#[derive(Debug)]
pub(super) struct DurabilityCollector(pub(super) Arc<Counters>);

impl Collector for DurabilityCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (durability, now) = (&self.0.durability, clock::now());
        for (name, help, value) in [
            (
                "oldest_pending_append_seconds",
                "Age of the oldest pending append; 0 if none is pending",
                durability.oldest_pending(now),
            ),
            (
                "last_durable_append_age_seconds",
                "Time since the last durable append, or since the start of the process",
                durability.since_append(now),
            ),
        ] {
            let gauge = ConstGauge::new(value.as_secs_f64());
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
