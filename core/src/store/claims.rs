//! The claim history of a partition and its stored form: one text line per claim, the last claim last. Pure.
//!
//! Every store keeps the history. After a rollback, it shows an owner whether other owners have claimed since.

use std::fmt::Write as _;

use minerva_proto::LogIndex;

use super::{CLAIMS_KEPT, Claim, Epoch, StoreError};

/// Appends a claim and drops the oldest claims beyond [`CLAIMS_KEPT`].
pub(super) fn push_claim(claims: &mut Vec<Claim>, claim: Claim) {
    claims.push(claim);
    claims.drain(..claims.len().saturating_sub(CLAIMS_KEPT));
}

/// Encodes the history as `EPOCH NEXT_INDEX OWNER` lines.
pub(super) fn encode(claims: &[Claim]) -> String {
    let mut text = String::new();
    for Claim { epoch, next_index, owner } in claims {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{epoch} {next_index} {owner}");
    }
    text
}

/// Decodes the stored history.
pub(super) fn decode(text: &str) -> Result<Vec<Claim>, StoreError> {
    let claim = |line: &str| {
        let (epoch, rest) = line.split_once(' ')?;
        let (next_index, owner) = rest.split_once(' ')?;
        let (epoch, next_index) = (Epoch(epoch.parse().ok()?), LogIndex(next_index.parse().ok()?));
        Some(Claim { epoch, next_index, owner: owner.to_owned() })
    };
    let wrong = |line| StoreError::Corrupt(format!("`{line}` is not a claim of a partition"));
    text.lines().map(|line| claim(line).ok_or_else(|| wrong(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(epochs: std::ops::Range<u64>) -> Vec<Claim> {
        let claim = |epoch| Claim {
            epoch: Epoch(epoch),
            next_index: LogIndex(10 * epoch),
            owner: format!("core {epoch}"),
        };
        epochs.map(claim).collect()
    }

    #[test]
    fn decode_inverts_encode() {
        for all in [claims(0..0), claims(1..2), claims(1..30)] {
            assert_eq!(decode(&encode(&all)), Ok(all));
        }
        for text in ["1", "1 2", "x 2 core", "1 -2 core", "1 2 core\n\n"] {
            assert!(matches!(decode(text), Err(StoreError::Corrupt(_))), "{text:?}");
        }
    }

    #[test]
    fn only_the_last_claims_are_kept() {
        let kept = CLAIMS_KEPT as u64;
        for (made, first) in [(kept - 1, 0), (kept, 0), (kept + 1, 1)] {
            let mut all = Vec::new();
            for claim in claims(0..made) {
                push_claim(&mut all, claim);
            }
            assert_eq!(all, claims(first..made));
        }
    }
}
