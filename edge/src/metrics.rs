//! Every number that an edge tells Prometheus, by name. Counted where it happens, read by the admin
//! port.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::transport::Carrier;

/// The metrics of one edge. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) links_up: Gauge,
    pub(crate) link_losses: Counter,
    pub(crate) partitions: Gauge,
    pub(crate) transports: Family<Kind, Counter>,
    pub(crate) open_transports: Family<Kind, Gauge>,
    pub(crate) reattached: Family<Reattachment, Counter>,
    pub(crate) ended: Family<Outcome, Counter>,
    pub(crate) c2s_strings: Counter,
    pub(crate) s2c_strings: Counter,
    pub(crate) foreign_origins: Counter,
    pub(crate) garbage: Counter,
}

/// Label: what carries a transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    pub(crate) kind: CarrierName,
}

/// A carrier as a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are the label's values")]
pub(crate) enum CarrierName {
    tcp,
    websocket,
    http_stream,
    long_poll,
}

/// Label: why a transport was attached again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reattachment {
    pub(crate) cause: Cause,
}

/// Why a transport has to be attached again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Cause {
    /// The link to the owner is lost.
    LinkLost,
    /// The owner gave the partition up.
    Released,
    /// The owner refused the transport, as it is no owner.
    Moved,
    /// Another core claims the partition under a higher epoch.
    Claimed,
    /// The link dropped the transport, whose task did not take what came.
    Dropped,
}

/// Label: how a transport ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    /// `gone`, `complete`, `closed`, `unavailable` or `no_hello`.
    pub(crate) how: &'static str,
}

impl From<Carrier> for Kind {
    fn from(carrier: Carrier) -> Self {
        let kind = match carrier {
            Carrier::Tcp => CarrierName::tcp,
            Carrier::WebSocket => CarrierName::websocket,
            Carrier::HttpStream => CarrierName::http_stream,
            Carrier::LongPoll => CarrierName::long_poll,
        };
        Self { kind }
    }
}

impl Metrics {
    /// Fresh metrics, registered under `minerva_edge_`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let all = registry.sub_registry_with_prefix("minerva_edge");
        all.register("connections", "Open connections", metrics.connections.clone());
        all.register("links_up", "Links to cores that are up", metrics.links_up.clone());
        all.register("link_losses", "Links lost", metrics.link_losses.clone());
        let partitions = "Partitions whose owner is known";
        all.register("partitions", partitions, metrics.partitions.clone());
        all.register("transports", "Transports that said hello", metrics.transports.clone());
        all.register("open_transports", "Transports open now", metrics.open_transports.clone());
        let reattached = "Transports attached again, by why";
        all.register("reattached", reattached, metrics.reattached.clone());
        all.register("ended", "Transports that ended, by how", metrics.ended.clone());
        all.register("c2s_strings", "Strings sent to the core", metrics.c2s_strings.clone());
        all.register("s2c_strings", "Strings written to clients", metrics.s2c_strings.clone());
        let foreign = "Requests refused for their Origin";
        all.register("foreign_origins", foreign, metrics.foreign_origins.clone());
        let garbage = "Connections that spoke no known protocol";
        all.register("garbage", garbage, metrics.garbage.clone());
        metrics
    }
}
