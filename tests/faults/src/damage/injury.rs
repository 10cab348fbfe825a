//! The kinds of damage to stored bytes.
//!
//! Pure. The caller draws the position.

use clap::ValueEnum;
use serde::Serialize;

use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// One bit of the byte at the position is inverted.
    Flip,
    /// The byte at the position and all later ones are missing.
    Truncation,
    /// The byte at the position and all later ones are zero or random, as after an incomplete write.
    Tail,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Flip, Self::Truncation, Self::Tail];

    /// Damages the bytes at a position inside them; `detail` selects the bit or the content.
    pub(super) fn apply(self, bytes: &mut Vec<u8>, position: usize, detail: u64) {
        match self {
            Self::Flip => {
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= 1 << (detail % 8);
                }
            }
            Self::Truncation => bytes.truncate(position),
            Self::Tail => {
                let mut random = Random::new(detail);
                let tail = bytes.get_mut(position..).unwrap_or_default();
                let is_zero = detail.is_multiple_of(2);
                tail.iter_mut()
                    .for_each(|byte| *byte = if is_zero { 0 } else { random.bits() as u8 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_before_the_position_are_unchanged() {
        let original: Vec<u8> = (1..=40).collect();
        for kind in Kind::ALL {
            for position in 0..original.len() {
                for detail in 0..16 {
                    let mut damaged = original.clone();
                    kind.apply(&mut damaged, position, detail);
                    assert_eq!(damaged[..position], original[..position]);
                    assert_ne!(damaged, original, "{kind:?} at {position}");
                }
            }
        }
    }

    #[test]
    fn each_kind_has_its_length() {
        let mut bytes = vec![0xFF; 10];
        Kind::Flip.apply(&mut bytes, 3, 9);
        assert_eq!(bytes[3], 0xFD);
        Kind::Tail.apply(&mut bytes, 8, 2);
        assert_eq!((bytes.len(), bytes[8], bytes[9]), (10, 0, 0));
        Kind::Truncation.apply(&mut bytes, 4, 0);
        assert_eq!(bytes.len(), 4);
    }
}
