//! The levels of memory use at which a core refuses input. Pure.
//!
//! [`crate::memory_budget`] computes the level of the process. The partitions refuse new streams, and the stream machines
//! drop or delay messages of clients.

use std::time::{Duration, Instant};

use crate::stream::Intake;

/// Used shares of a limit, in percent, at which each level begins.
const NO_NEW_STREAMS: u64 = 80;
const IN_ORDER_ONLY: u64 = 90;
const NO_READING: u64 = 95;

/// Fall of the used share, in percent of the limit, at which a level ends at once.
pub(crate) const MARGIN: u64 = 2;

/// Time for which the use must stay below a level by less than [`MARGIN`] until the level ends. Shorter than the time in
/// which service must return.
const HOLD: Duration = Duration::from_secs(2);

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

/// The level in force, with hysteresis: rises at once, and falls after a distinct or a lasting release of memory.
///
/// Without hysteresis a nearly full store would change the level with each sample, because every fall lets waiting
/// messages in.
#[derive(Debug, Default)]
pub(crate) struct LevelInForce {
    level: MemoryLevel,
    /// While the momentary level is lower: since when, and its maximum since then.
    lower: Option<(Instant, MemoryLevel)>,
}

impl LevelInForce {
    /// Follows a sample. `eased` is the level at [`MARGIN`] percent more use than that of `momentary`.
    pub(crate) fn update(
        &mut self,
        momentary: MemoryLevel,
        eased: MemoryLevel,
        now: Instant,
    ) -> MemoryLevel {
        if momentary >= self.level {
            (self.level, self.lower) = (momentary, None);
            return self.level;
        }
        let (since, highest) = self.lower.unwrap_or((now, momentary));
        let highest = highest.max(momentary);
        self.level = self.level.min(eased);
        self.lower = Some((since, highest));
        if now.saturating_duration_since(since) >= HOLD {
            (self.level, self.lower) = (self.level.min(highest), None);
        }
        self.level
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the tests derive all instants from one reading")]
mod tests {
    use super::*;

    /// The levels in force after samples of the used per mille, each with its time in milliseconds.
    fn in_force(samples: &[(u64, u64)]) -> Vec<MemoryLevel> {
        let (mut level, begin) = (LevelInForce::default(), Instant::now());
        let update = |(at, used): &(u64, u64)| {
            let (momentary, eased) =
                (MemoryLevel::of(*used, 1000), MemoryLevel::of(used + 10 * MARGIN, 1000));
            level.update(momentary, eased, begin + Duration::from_millis(*at))
        };
        samples.iter().map(update).collect()
    }

    #[test]
    fn a_level_ends_at_once_below_the_margin() {
        use MemoryLevel::{Free, InOrderOnly, NoNewStreams, NoReading};
        for (used, expected) in [
            (950, NoReading),
            (949, NoReading),
            (930, NoReading),
            (929, InOrderOnly),
            (880, InOrderOnly),
            (879, NoNewStreams),
            (780, NoNewStreams),
            (779, Free),
        ] {
            assert_eq!(in_force(&[(0, 950), (250, used)])[1], expected, "{used}");
        }
    }

    #[test]
    fn a_level_within_the_margin_ends_after_the_hold_time() {
        use MemoryLevel::{InOrderOnly, NoReading};
        for (at, expected) in [(2249, NoReading), (2250, InOrderOnly), (2251, InOrderOnly)] {
            assert_eq!(in_force(&[(0, 950), (250, 940), (at, 945)])[2], expected, "{at}");
        }
        let interrupted =
            [(0, 950), (250, 940), (1000, 950), (1250, 940), (3249, 940), (3250, 940)];
        let levels = in_force(&interrupted);
        assert_eq!(levels[..5], [NoReading; 5]);
        assert_eq!(levels[5], InOrderOnly);
    }

    #[test]
    fn a_dip_at_the_end_of_the_hold_time_does_not_count() {
        use MemoryLevel::{InOrderOnly, NoNewStreams};
        let dip = [(0, 900), (250, 890), (500, 885), (2250, 890), (2500, 899), (4500, 890)];
        let expected =
            [InOrderOnly, InOrderOnly, InOrderOnly, NoNewStreams, NoNewStreams, NoNewStreams];
        assert_eq!(in_force(&dip), expected);
        let dip = [(0, 950), (250, 940), (2250, 930)];
        assert_eq!(in_force(&dip)[2], InOrderOnly);
        let dip = [(0, 950), (250, 935), (500, 910), (2250, 899)];
        assert_eq!(in_force(&dip)[3], InOrderOnly, "the highest level of the hold time");
    }

    #[test]
    fn a_use_that_alternates_around_a_limit_changes_the_level_once() {
        let samples: Vec<_> =
            (0..100).map(|n| (250 * n, if n % 2 == 0 { 951 } else { 948 })).collect();
        assert!(in_force(&samples).iter().all(|level| *level == MemoryLevel::NoReading));
    }

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
