//! All Prometheus metrics of an edge, by name. Updated by the modules that own the events; exported by the admin
//! port.

use minerva_proto::TransportKind;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of one edge. Clones share the values.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) links_up: Gauge,
    pub(crate) link_losses: Counter,
    pub(crate) partitions: Gauge,
    pub(crate) partitions_without_owner: Gauge,
    pub(crate) transports: Family<Kind, Counter>,
    pub(crate) open_transports: Family<Kind, Gauge>,
    pub(crate) reattached: Family<Reattachment, Counter>,
    pub(crate) ended: Family<Outcome, Counter>,
    pub(crate) c2s_messages: Counter,
    pub(crate) s2c_messages: Counter,
    pub(crate) foreign_origins: Counter,
    pub(crate) foreign_hosts: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) unfinished_bytes: Gauge,
    pub(crate) waiting_bytes: Gauge,
    pub(crate) refused: Family<Refused, Counter>,
    pub(crate) garbage: Counter,
    pub(crate) tls_failures: Family<TlsFailure, Counter>,
    pub(crate) refused_frames: Family<Refusal, Counter>,
    pub(crate) refusals: Family<RefusalCode, Counter>,
    /// Frames and enum values of later releases, received and skipped.
    pub(crate) unknown_received: Family<Direction, Counter>,
}

/// Label `direction` of unknown input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Direction {
    pub(crate) direction: &'static str,
}

/// Input from cores.
const CORE_TO_EDGE: Direction = Direction { direction: "core_to_edge" };

/// Label `kind` of transports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    pub(crate) kind: KindName,
}

/// Values of the label `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are the label's values")]
pub(crate) enum KindName {
    tcp,
    websocket,
    http_stream,
    long_poll,
}

/// Label `cause` of re-attachments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reattachment {
    pub(crate) cause: Cause,
}

/// Reason for a re-attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Cause {
    /// The link to the owner was lost.
    LinkLost,
    /// The owner released the partition.
    Released,
    /// The core rejected the transport, since it does not own the partition.
    Moved,
    /// Another core claims the partition under a higher epoch.
    Claimed,
    /// The link dropped the transport, whose task did not drain its queue.
    Dropped,
}

/// Label `limit` of refused connections and transports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Refused {
    pub(crate) limit: Limit,
}

/// The exceeded limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are the label's values")]
pub(crate) enum Limit {
    /// Open connections of an address.
    connections,
    /// Hellos of an address for unknown streams.
    unknown_streams,
    /// Takeovers of a stream.
    takeovers,
    /// Bytes of unfinished frames.
    unfinished_frames,
}

/// Label `cause` of failed TLS handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TlsFailure {
    /// See `tls::HandshakeError`.
    pub(crate) cause: &'static str,
}

/// Label: why a frame of a core was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Refusal {
    /// The offending field, such as `opened.sack`.
    pub(crate) reason: &'static str,
}

/// Label `code` of refusals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusalCode {
    /// The code on the wire, such as `gone`.
    pub(crate) code: &'static str,
}

/// Label `how` of ended transports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    /// `gone`, `complete`, `closed`, `unavailable`, `limited`, `failed`, `refused` or `no_hello`.
    pub(crate) how: &'static str,
}

impl From<TransportKind> for Kind {
    fn from(kind: TransportKind) -> Self {
        let kind = match kind {
            TransportKind::Tcp => KindName::tcp,
            TransportKind::WebSocket => KindName::websocket,
            TransportKind::HttpStream => KindName::http_stream,
            TransportKind::LongPoll => KindName::long_poll,
        };
        Self { kind }
    }
}

impl Metrics {
    /// Counts unknown parts of the input from cores.
    pub(crate) fn count_unknown_from_core(&self, count: u64) {
        if count > 0 {
            self.unknown_received.get_or_create(&CORE_TO_EDGE).inc_by(count);
        }
    }

    /// Fresh metrics, registered under `minerva_edge_`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let all = registry.sub_registry_with_prefix("minerva_edge");
        all.register("connections", "Open connections", metrics.connections.clone());
        all.register("links_up", "Established links to cores", metrics.links_up.clone());
        all.register("link_losses", "Links lost", metrics.link_losses.clone());
        let partitions = "Partitions with a known owner";
        all.register("partitions", partitions, metrics.partitions.clone());
        let unowned = "Partitions without an owner among the linked cores";
        all.register("partitions_without_owner", unowned, metrics.partitions_without_owner.clone());
        all.register("transports", "Transports with a valid hello", metrics.transports.clone());
        all.register("open_transports", "Transports open now", metrics.open_transports.clone());
        let reattached = "Transports attached again, by cause";
        all.register("reattached", reattached, metrics.reattached.clone());
        all.register("ended", "Ended transports, by outcome", metrics.ended.clone());
        all.register("c2s_messages", "Messages sent to cores", metrics.c2s_messages.clone());
        all.register("s2c_messages", "Messages written to clients", metrics.s2c_messages.clone());
        let foreign = "Requests rejected for their Origin";
        all.register("foreign_origins", foreign, metrics.foreign_origins.clone());
        let hosts = "Requests rejected for their host name";
        all.register("foreign_hosts", hosts, metrics.foreign_hosts.clone());
        let takeovers = "Transports that replaced an open one of their stream";
        all.register("takeovers", takeovers, metrics.takeovers.clone());
        let unfinished = "Charged bytes of unfinished frames";
        all.register("unfinished_bytes", unfinished, metrics.unfinished_bytes.clone());
        let waiting = "Messages that the core has not taken or clients have not read, in bytes";
        all.register("waiting_bytes", waiting, metrics.waiting_bytes.clone());
        let refused = "Connections and transports refused, by exceeded limit";
        all.register("refused", refused, metrics.refused.clone());
        let garbage = "Connections with an unknown protocol";
        all.register("garbage", garbage, metrics.garbage.clone());
        let failures = "Failed TLS handshakes of clients, by cause";
        all.register("tls_failures", failures, metrics.tls_failures.clone());
        let refused = "Frames of cores that break the contract, by reason";
        all.register("link_frames_refused", refused, metrics.refused_frames.clone());
        let refusals = "Transports of version 3 refused, by code";
        all.register("refusals", refusals, metrics.refusals.clone());
        let unknown = "Unknown frames and enum values, by direction";
        // Exported from the start, as 0.
        drop(metrics.unknown_received.get_or_create(&CORE_TO_EDGE));
        all.register("unknown_received", unknown, metrics.unknown_received.clone());
        metrics
    }
}
