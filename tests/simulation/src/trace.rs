//! The trace of a run: everything that happens, in order, as one hash; and as text if it is asked for. Two runs
//! of one seed must have the same.

use crate::agenda::Time;

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    /// Whether it is printed as it grows.
    pub(crate) is_printed: bool,
}

impl Trace {
    /// Notes that something happened, with up to three numbers that say which.
    pub(crate) fn note(&mut self, now: Time, what: &'static str, numbers: [u64; 3]) {
        self.add(now);
        for chunk in what.as_bytes().chunks(8) {
            self.add(chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
        }
        numbers.into_iter().for_each(|number| self.add(number));
        if self.is_printed {
            let [a, b, c] = numbers;
            println!("{:>7}.{:03} {what} {a} {b} {c}", now / 1000, now % 1000);
        }
    }

    /// Says something more, only to whoever reads.
    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        if self.is_printed {
            println!("             {}", text());
        }
    }

    /// The hash of everything.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn add(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.hash = mixed ^ (mixed >> 29);
    }
}
