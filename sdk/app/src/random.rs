//! Random numbers from the hasher keys of the standard library, which the system seeds. Good for unique names
//! and retry jitter, not for secrets.

use std::hash::{BuildHasher, RandomState};

/// Returns a unique name of 32 hexadecimal digits.
pub(crate) fn instance_id() -> String {
    format!("{:016x}{:016x}", number(), number())
}

/// Returns a number in 0..=`max`.
pub(crate) fn up_to(max: u64) -> u64 {
    max.checked_add(1).map_or_else(number, |range| number() % range)
}

fn number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_keep_their_bound() {
        assert_ne!(instance_id(), instance_id());
        assert_eq!(instance_id().len(), 32);
        let numbers: Vec<u64> = (0..1000).map(|_| up_to(9)).collect();
        assert!(numbers.iter().all(|&n| n <= 9));
        assert!((0..=9).all(|n| numbers.contains(&n)));
        assert_eq!(up_to(0), 0);
    }
}
