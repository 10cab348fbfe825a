//! The network conditions that a proxy simulates.

use std::time::Duration;

/// A direction of a proxied connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipeDirection {
    /// From the client to the upstream.
    Upstream,
    /// From the upstream to the client.
    Downstream,
}

/// The treatment of bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NetworkConditions {
    /// Bytes pass immediately.
    Unimpaired,
    /// Bytes pass later, in order.
    Delay {
        /// Minimum delay.
        least: Duration,
        /// Maximum additional random delay.
        jitter: Duration,
    },
    /// No bytes and no FIN pass. Connections are accepted, and held bytes pass afterwards.
    BlackHole,
    /// A rate limit for each direction of each connection.
    Slow {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// One direction is blocked, permanently on connections that had bytes to forward or were made meanwhile.
    HalfOpen(PipeDirection),
}

/// The way in which a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// FIN after all written bytes.
    Fin,
    /// An immediate RST.
    Rst,
}

impl NetworkConditions {
    /// Whether the direction is blocked.
    pub(super) fn blocks(self, direction: PipeDirection) -> bool {
        match self {
            Self::BlackHole => true,
            Self::HalfOpen(dead) => dead == direction,
            Self::Unimpaired | Self::Delay { .. } | Self::Slow { .. } => false,
        }
    }

    /// Whether a blocked pipe stays blocked when the conditions change.
    pub(super) fn is_permanent(self) -> bool {
        matches!(self, Self::HalfOpen(_))
    }
}
