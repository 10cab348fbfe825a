//! State shared by all connections of one edge: parsed settings, links, metrics and the life-cycle phase.
//! Made once by `edge.rs`, read by all drivers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::access::{Hosts, Origins, TrustedProxies};
use crate::admission::Admission;
use crate::buffer_budget::BufferBudget;
use crate::link::Directory;
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::transport::Limits;

/// Life-cycle phase of an edge; only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accepts and serves connections.
    Running,
    /// Accepts no connections; clients are asked to reconnect elsewhere.
    Draining,
    /// The drain time is over: remaining connections are closed.
    Over,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    pub(crate) hosts: Hosts,
    pub(crate) admission: Arc<Admission>,
    pub(crate) buffers: Arc<BufferBudget>,
    pub(crate) proxies: TrustedProxies,
    /// Request headers that are passed to applications.
    pub(crate) pass_headers: Vec<http::HeaderName>,
    pub(crate) pages: Pages,
    /// The Flash policy file, terminated by NUL.
    pub(crate) policy: Bytes,
    pub(crate) drain_time: Duration,
    pub(crate) links: Directory,
    /// Newest version of the wire protocol, from the options.
    pub(crate) max_version: u32,
    pub(crate) metrics: Metrics,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whether WebSockets echo their messages instead of carrying transports.
    #[cfg(feature = "echo")]
    pub(crate) echo_websockets: bool,
}

impl Shared {
    /// Whether clients may use version 3 of the wire protocol: all linked cores and the options permit that version.
    pub(crate) fn serves_version_3(&self) -> bool {
        self.max_version.min(self.links.wire_version()) >= 3
    }
}
