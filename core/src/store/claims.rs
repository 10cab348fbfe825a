//! The claim history of a partition and its stored form: one text line per claim, the last claim last. Pure.
//!
//! Every store keeps the history. After a rollback, it shows an owner whether other owners have claimed since.

use std::fmt::Write as _;

use minerva_proto::LogIndex;

use super::{CLAIMS_KEPT, Claim, Epoch};

/// Appends a claim and drops the oldest claims beyond [`CLAIMS_KEPT`].
///
/// A claim of the same owner above `above` was made, but its reply was lost: nothing was written under it, and the new
/// claim replaces it. So retries cannot displace the claims of other owners.
pub(super) fn push_claim(claims: &mut Vec<Claim>, claim: Claim, above: Epoch) {
    let is_retry = |last: &mut Claim| {
        last.owner == claim.owner && last.next_index == claim.next_index && last.epoch > above
    };
    claims.pop_if(is_retry);
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

/// Decodes the stored history up to the last damaged line, and returns whether there is one.
///
/// The claims before a damaged line are dropped with it. A history without its beginning is safe: an owner that does
/// not find its own claim assumes that another owner has claimed since.
pub(super) fn decode_readable(text: &str) -> (Vec<Claim>, bool) {
    let (mut claims, mut is_damaged) = (Vec::<Claim>::new(), false);
    for line in text.lines() {
        let claim = decode_line(line);
        let is_later = |claim: &Claim| claims.last().is_none_or(|last| last.epoch < claim.epoch);
        if claim.as_ref().is_none_or(|claim| !is_later(claim)) {
            is_damaged = true;
            claims.clear();
        }
        claims.extend(claim);
    }
    (claims, is_damaged || !(text.is_empty() || text.ends_with('\n')))
}

fn decode_line(line: &str) -> Option<Claim> {
    let (epoch, rest) = line.split_once(' ')?;
    let (next_index, owner) = rest.split_once(' ')?;
    let (epoch, next_index) = (Epoch(epoch.parse().ok()?), LogIndex(next_index.parse().ok()?));
    Some(Claim { epoch, next_index, owner: owner.to_owned() })
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
            assert_eq!(decode_readable(&encode(&all)), (all, false));
        }
    }

    #[test]
    fn claims_before_a_damaged_line_are_dropped() {
        let text = encode(&claims(1..6));
        for (damaged, kept) in [
            (text.replace("5 50", "x 50"), 6..6),
            (text.replace("3 30", "3 3x"), 4..6),
            (text.replace("3 30 core 3", "3 30"), 4..6),
            (text.replace("4 40", "1 40"), 5..6),
        ] {
            let (found, is_damaged) = decode_readable(&damaged);
            assert!(is_damaged, "{damaged}");
            assert_eq!(found[found.len() - kept.clone().count()..], claims(kept), "{damaged}");
        }
        assert!(decode_readable(&text[..text.len() - 1]).1, "a cut line");
    }

    #[test]
    fn only_the_last_claims_are_kept() {
        let kept = CLAIMS_KEPT as u64;
        for (made, first) in [(kept - 1, 0), (kept, 0), (kept + 1, 1)] {
            let mut all = Vec::new();
            for claim in claims(0..made) {
                push_claim(&mut all, claim, Epoch(0));
            }
            assert_eq!(all, claims(first..made));
        }
    }
}
