//! The claims that a store remembers of a partition, and how they are written down: one line each, the last
//! one last. An owner whose store went back in time learns from them whether others have been owners since.
//! Used by every store; pure.

use std::fmt::Write as _;

use super::{Epoch, StoreError};

/// How many claims a store remembers of a partition.
pub const CLAIMS_KEPT: usize = 32;

/// A claim that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The epoch that it made.
    pub epoch: Epoch,
    /// The index that the next blob of the log had.
    pub next_index: u64,
    /// For whom.
    pub owner: String,
}

/// Puts a claim behind the others and forgets the oldest.
pub(super) fn remember(claims: &mut Vec<Claim>, claim: Claim) {
    claims.push(claim);
    claims.drain(..claims.len().saturating_sub(CLAIMS_KEPT));
}

/// As it is stored.
pub(super) fn encode(claims: &[Claim]) -> String {
    let mut text = String::new();
    for Claim { epoch, next_index, owner } in claims {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{epoch} {next_index} {owner}");
    }
    text
}

/// As it was stored.
pub(super) fn decode(text: &str) -> Result<Vec<Claim>, StoreError> {
    let claim = |line: &str| {
        let (epoch, rest) = line.split_once(' ')?;
        let (next_index, owner) = rest.split_once(' ')?;
        let (epoch, next_index) = (Epoch(epoch.parse().ok()?), next_index.parse().ok()?);
        Some(Claim { epoch, next_index, owner: owner.to_owned() })
    };
    let wrong = |line| StoreError::Corrupt(format!("`{line}` is no claim of a partition"));
    text.lines().map(|line| claim(line).ok_or_else(|| wrong(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(epochs: std::ops::Range<u64>) -> Vec<Claim> {
        let claim = |epoch| Claim {
            epoch: Epoch(epoch),
            next_index: 10 * epoch,
            owner: format!("core {epoch}"),
        };
        epochs.map(claim).collect()
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        for all in [claims(0..0), claims(1..2), claims(1..30)] {
            assert_eq!(decode(&encode(&all)), Ok(all));
        }
        for text in ["1", "1 2", "x 2 core", "1 -2 core", "1 2 core\n\n"] {
            assert!(matches!(decode(text), Err(StoreError::Corrupt(_))), "{text:?}");
        }
    }

    #[test]
    fn the_last_ones_are_remembered() {
        let kept = CLAIMS_KEPT as u64;
        for (made, first) in [(kept - 1, 0), (kept, 0), (kept + 1, 1)] {
            let mut all = Vec::new();
            for claim in claims(0..made) {
                remember(&mut all, claim);
            }
            assert_eq!(all, claims(first..made));
        }
    }
}
