//! The trace of a run: a hash over all entries in order, and text on demand. Two runs of one seed have equal traces.

use crate::clock::Time;

/// Hash of the entries so far.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    /// Whether entries are printed.
    pub(crate) is_printed: bool,
}

impl Trace {
    /// Adds an entry: a label and up to three numbers.
    pub(crate) fn record(&mut self, now: Time, label: &'static str, numbers: [u64; 3]) {
        self.add(now);
        for chunk in label.as_bytes().chunks(8) {
            self.add(chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
        }
        numbers.into_iter().for_each(|number| self.add(number));
        if self.is_printed {
            let [a, b, c] = numbers;
            println!("{:>7}.{:03} {label} {a} {b} {c}", now / 1000, now % 1000);
        }
    }

    /// Prints a detail of the last entry; not part of the hash.
    pub(crate) fn detail(&self, text: impl FnOnce() -> String) {
        if self.is_printed {
            println!("             {}", text());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn add(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.hash = mixed ^ (mixed >> 29);
    }
}
