//! What a proxy does to bytes.

use std::time::Duration;

/// Which way bytes go through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipeDirection {
    /// From whoever connected.
    Upstream,
    /// To whoever connected.
    Downstream,
}

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NetworkConditions {
    /// They pass.
    Unimpaired,
    /// They pass later, in order.
    Delay {
        /// At least so much.
        least: Duration,
        /// And at random up to so much more.
        jitter: Duration,
    },
    /// Nothing passes, no end of a connection either. Connections are accepted, and what was
    /// written to them passes afterwards.
    BlackHole,
    /// So many bytes a second pass, on each connection and each way.
    Slow {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// Nothing passes in one direction, and never will on connections that had something to carry or
    /// were made meanwhile.
    HalfOpen(PipeDirection),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// As if each end had closed it, behind all that was written.
    Fin,
    /// In an error, at once.
    Rst,
}

impl NetworkConditions {
    /// Nothing passes that way now.
    pub(super) fn blocks(self, direction: PipeDirection) -> bool {
        match self {
            Self::BlackHole => true,
            Self::HalfOpen(dead) => dead == direction,
            Self::Unimpaired | Self::Delay { .. } | Self::Slow { .. } => false,
        }
    }

    /// What has to be waited for a second time does not pass at all.
    pub(super) fn is_permanent(self) -> bool {
        matches!(self, Self::HalfOpen(_))
    }
}
