//! Limits of one transport: set by the edge's options, and by the tests.

use std::time::Duration;

use minerva_proto::MAX_FRAME;

/// Limits of a transport.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest frame in bytes, including the type byte.
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
            max_frame: MAX_FRAME,
            untaken: 256 * 1024,
            s2c_window: 256 * 1024,
            hold_time: Duration::from_secs(30),
        }
    }
}
