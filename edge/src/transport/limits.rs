//! Limits of one transport: set by the edge's options, and by the tests.

use std::time::Duration;

use minerva_proto::MAX_FRAME;

use super::WireVersions;

/// Limits of a transport.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Versions of the wire protocol that the hello may request.
    pub versions: WireVersions,
    /// Longest frame of version 2 including the type byte, and longest message of version 3, in bytes.
    pub max_frame: usize,
    /// Untaken c2s bytes at which reading pauses. One frame is always accepted.
    pub untaken: usize,
    /// s2c bytes of messages that the core may have under way.
    pub s2c_window: u64,
    /// Maximum time without an owner of the stream.
    pub hold_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            versions: WireVersions::default(),
            max_frame: MAX_FRAME,
            untaken: 256 * 1024,
            s2c_window: 256 * 1024,
            hold_time: Duration::from_secs(30),
        }
    }
}
