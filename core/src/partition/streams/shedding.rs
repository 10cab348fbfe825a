//! Ends streams of addresses above their own budget while memory is short.
//!
//! Begins at the level at which no message of a client is taken, and lasts until messages behind gaps are taken again.
//! Streams of addresses within their budget are never ended.

use minerva_proto::StreamNumber;

use super::PartitionStreams;
use crate::memory_level::MemoryLevel;
use crate::stream::{Effects, Millis, Stream};

/// Pause between two steps, in milliseconds: the fill level of the store follows with a delay.
const PAUSE_MS: u64 = 500;

/// Most streams that one step ends.
const STEP: usize = 16;

/// Progress of shedding in one partition.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    /// Time of the next step; `None` while memory is free.
    next_at: Option<Millis>,
}

impl Shedding {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.next_at
    }

    /// Follows the level; returns true if a step is due.
    fn is_due(&mut self, level: MemoryLevel, now: Millis) -> bool {
        if level >= MemoryLevel::NoReading {
            self.next_at.get_or_insert(now);
        } else if level < MemoryLevel::InOrderOnly {
            self.next_at = None;
        }
        self.next_at.is_some_and(|at| at <= now)
    }
}

impl PartitionStreams {
    /// Ends some streams of addresses above their budget if memory is short: those with the most bytes behind gaps, which
    /// the end frees, then those with the most bytes.
    pub(super) fn shed(&mut self, now: Millis, effects: &mut Effects) {
        if !self.budgets.shedding.is_due(self.memory.momentary_level(), now) {
            return;
        }
        self.budgets.shedding.next_at = Some(now.after(PAUSE_MS));
        for number in self.above_budget() {
            // The ends before this one may have freed enough.
            if !self.streams.get(&number).is_some_and(|stream| stream.is_above_budget(&self.limits))
            {
                continue;
            }
            self.with_stream(number, now, effects, Stream::end_above_budget);
            if self.memory.momentary_level() < MemoryLevel::InOrderOnly {
                return;
            }
        }
    }

    /// The live streams of addresses above their budget, the largest first, as many as a step ends.
    fn above_budget(&self) -> Vec<StreamNumber> {
        let is_above = |stream: &super::AccountedStream| {
            !stream.state().is_ended() && stream.is_above_budget(&self.limits)
        };
        let size = |stream: &Stream| {
            let gap = stream.state().window().waiting_bytes();
            (gap, stream.state().inbox().bytes())
        };
        let above = self.streams.iter().filter(|(_, stream)| is_above(stream));
        let mut sizes: Vec<_> = above.map(|(number, stream)| (size(stream), *number)).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes.into_iter().take(STEP).map(|(_, number)| number).collect()
    }
}
