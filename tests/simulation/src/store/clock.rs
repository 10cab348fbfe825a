//! The wall clock of the store, which steps and otherwise runs like the virtual time.

use crate::clock::Time;

/// Reading at the start of a run, in milliseconds; steps back never reach 0.
const START: Time = 1 << 40;

/// Deviation of the wall clock from the virtual time.
#[derive(Debug)]
pub(super) struct StoreClock {
    offset: Time,
}

impl Default for StoreClock {
    fn default() -> Self {
        Self { offset: START }
    }
}

impl StoreClock {
    /// The reading at a time of the run.
    pub(super) fn read(&self, now: Time) -> Time {
        self.offset + now
    }

    pub(super) fn step(&mut self, forward: bool, length: Time) {
        self.offset = if forward {
            self.offset.saturating_add(length)
        } else {
            self.offset.saturating_sub(length)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_move_the_reading_in_both_directions() {
        let mut clock = StoreClock::default();
        let before = clock.read(5);
        clock.step(true, 10);
        assert_eq!(clock.read(5), before + 10);
        clock.step(false, 30);
        assert_eq!(clock.read(6), before - 19);
    }
}
