//! The pseudo-random generator of a run, the only source of randomness.

/// A splitmix64 generator.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Adjacent seeds must start differently.
        let mut random = Self(seed ^ 0x6d69_6e65_7276_6121);
        random.0 = random.bits();
        random
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, inclusive.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high.saturating_sub(low) + 1)
    }

    /// An index below `length`, at least 1.
    pub(crate) fn below(&mut self, length: usize) -> usize {
        (self.bits() % length.max(1) as u64) as usize
    }

    /// True with a probability of `percent` / 100.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.bits() % 100 < percent
    }

    /// A random key.
    pub(crate) fn key(&mut self) -> [u8; 16] {
        (u128::from(self.bits()) << 64 | u128::from(self.bits())).to_le_bytes()
    }

    /// A random element.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers_within_bounds() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..100 {
            let number = a.between(3, 5);
            assert_eq!(number, b.between(3, 5));
            assert!((3..=5).contains(&number));
        }
        assert_ne!(Random::new(7).bits(), Random::new(8).bits());
    }
}
