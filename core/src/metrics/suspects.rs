//! The gauge of suspect streams. Registered by the metrics of the core.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::counters::read;
use crate::partition::Counters;

/// Exports the number of suspect streams.
#[derive(Debug)]
pub(super) struct SuspectCollector(pub(super) Arc<Counters>);

impl Collector for SuspectCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Streams in whose delivery two or more app instances died one after the other";
        let gauge = ConstGauge::new(read(&self.0.suspects));
        let kind = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor("suspect_streams", help, None, kind)?)
    }
}
