//! What every connection of one edge shares: settings made ready for use, the links, the metrics, and
//! how far the edge is in its life. Made once by `edge.rs`, read by all drivers.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::access::{Origins, TrustedProxies};
use crate::link::Directory;
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::transport::Limits;

/// How far the edge is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Serving.
    Running,
    /// No new connections; clients are asked to move.
    Draining,
    /// What is left is cut off.
    Over,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    pub(crate) proxies: TrustedProxies,
    /// Names in lower case.
    pub(crate) pass_headers: Vec<http::HeaderName>,
    pub(crate) pages: Pages,
    /// The policy file with its NUL.
    pub(crate) policy: Bytes,
    pub(crate) drain_time: Duration,
    pub(crate) links: Directory,
    pub(crate) metrics: Metrics,
    pub(crate) phase: watch::Receiver<Phase>,
}
