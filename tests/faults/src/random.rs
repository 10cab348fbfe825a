//! Pseudo-random numbers with a seed, so that a run is reproducible.

use std::hash::{BuildHasher as _, RandomState};

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that differs between runs, from the randomly keyed standard hasher.
    pub fn fresh_seed() -> u64 {
        RandomState::new().hash_one(0)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in the range from 0 (included) to 1 (excluded).
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A random element; `None` if the slice is empty.
    pub fn choose<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        let last = among.len().checked_sub(1)?;
        among.get(self.between(0, last as u64) as usize).copied()
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high.saturating_sub(low) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_reproducible_and_bounds_hold() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..100 {
            let number = a.between(3, 5);
            assert_eq!(number, b.between(3, 5));
            assert!((3..=5).contains(&number));
        }
        assert_ne!(Random::new(7).bits(), Random::new(8).bits());
    }
}
