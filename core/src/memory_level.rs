//! The levels of memory use at which a core refuses input. Pure.
//!
//! [`crate::memory_budget`] computes the level of the process. The partitions refuse new streams, and the stream machines
//! drop or delay messages of clients.

use std::time::Duration;

use crate::stream::Intake;

/// Used shares of a limit, in percent, at which each level begins.
const NO_NEW_STREAMS: u64 = 80;
const IN_ORDER_ONLY: u64 = 90;
const NO_READING: u64 = 95;

/// Time after which a refused client tries again.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(5);

/// How far memory is used up. Each level includes the restrictions of the lower ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLevel {
    /// Less than 80 % is used: no restriction.
    #[default]
    Free,
    /// From 80 % on no stream is created.
    NoNewStreams,
    /// From 90 % on messages of a client behind a gap are dropped; those in order are taken.
    InOrderOnly,
    /// From 95 % on no message of a client is taken. SACKs and messages of applications still are.
    NoReading,
}

impl MemoryLevel {
    /// The level of `used` bytes; a limit of 0 is no limit.
    pub fn of(used: u64, limit: u64) -> Self {
        let is_reached =
            |percent| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent);
        match limit {
            0 => Self::Free,
            _ if is_reached(NO_READING) => Self::NoReading,
            _ if is_reached(IN_ORDER_ONLY) => Self::InOrderOnly,
            _ if is_reached(NO_NEW_STREAMS) => Self::NoNewStreams,
            _ => Self::Free,
        }
    }
}

impl MemoryLevel {
    /// The c2s messages that a stream may take.
    pub(crate) fn intake(self) -> Intake {
        match self {
            Self::Free | Self::NoNewStreams => Intake::All,
            Self::InOrderOnly => Intake::InOrder,
            Self::NoReading => Intake::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_begins_at_its_share_of_the_limit() {
        for (used, level) in [
            (0, MemoryLevel::Free),
            (799, MemoryLevel::Free),
            (800, MemoryLevel::NoNewStreams),
            (801, MemoryLevel::NoNewStreams),
            (899, MemoryLevel::NoNewStreams),
            (900, MemoryLevel::InOrderOnly),
            (901, MemoryLevel::InOrderOnly),
            (949, MemoryLevel::InOrderOnly),
            (950, MemoryLevel::NoReading),
            (951, MemoryLevel::NoReading),
            (u64::MAX, MemoryLevel::NoReading),
        ] {
            assert_eq!(MemoryLevel::of(used, 1000), level, "{used}");
            assert_eq!(MemoryLevel::of(used, 0), MemoryLevel::Free, "{used} without a limit");
        }
    }
}
