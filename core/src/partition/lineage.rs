//! What an owner knows of the claims before and after its own: whether a store that went back in time has
//! nothing that the owner does not know. Used by the rescue; pure.

use std::sync::Arc;

use crate::store::{CLAIMS_KEPT, Claim, Claimed, Epoch};

/// The claims of which an owner knows all that was written under them.
pub(super) struct Lineage {
    /// No other process has this name, and under it no epoch of this partition was claimed twice.
    owner: Arc<str>,
    known: Vec<Claim>,
    /// Where the log ended when this owner claimed: others have written so far, and no further.
    end: u64,
}

impl Lineage {
    /// As of a claim by `owner`, which found the log to end at `end`.
    pub(super) fn new(owner: Arc<str>, known: Vec<Claim>, end: u64) -> Self {
        Self { owner, known, end }
    }

    /// Whether all that was found by claims above `since`, our last epoch, was known to us before. If not,
    /// somebody else has owned the partition after the store went back, and may have promised what we have
    /// not heard of.
    pub(super) fn has_all_of(&self, claimed: &Claimed, since: Epoch) -> bool {
        let is_of_now = |claim: &Claim| *claim.owner == *self.owner && claim.epoch > since;
        match claimed.claims.iter().rev().find(|claim| !is_of_now(claim)) {
            // It was emptied; or it forgot all but our many tries.
            None => claimed.claims.len() < CLAIMS_KEPT,
            Some(claim) if *claim.owner == *self.owner => true,
            Some(claim) => self.known.contains(claim) && claimed.next_index() <= self.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(epoch: u64, next_index: u64, owner: &str) -> Claim {
        Claim { epoch: Epoch(epoch), next_index, owner: owner.to_owned() }
    }

    /// What a rescue finds: the claims in the store, then its own.
    fn found(stored: &[Claim], end: u64, own: usize) -> Claimed {
        let first = stored.last().map_or(0, |claim| claim.epoch.0).max(6) + 1;
        let tries = (first..).take(own).map(|epoch| claim(epoch, end, "me"));
        let claims: Vec<_> = stored.iter().cloned().chain(tries).collect();
        let (first_index, log) = (end, vec![]);
        Claimed { epoch: Epoch(first), claims, meta: None, streams: vec![], first_index, log }
    }

    #[test]
    fn only_what_was_known_is_ours() {
        let past = [claim(4, 0, "a"), claim(5, 100, "b"), claim(6, 120, "me")];
        let lineage = Lineage::new("me".into(), past.to_vec(), 120);
        let again = [claim(4, 0, "a"), claim(5, 90, "b")];
        let later = [claim(4, 0, "a"), claim(5, 100, "b"), claim(6, 110, "b")];
        for (stored, end, own, is_ours) in [
            (&past[..], 300, 1, true),
            (&past[..], 300, 3, true),
            (&past[..2], 110, 1, true),
            (&past[..2], 120, 2, true),
            // Its owner has woken up and gone on.
            (&past[..2], 121, 1, false),
            (&past[..1], 10, 1, true),
            (&[], 0, 1, true),
            (&[], 0, CLAIMS_KEPT - 1, true),
            (&[], 0, CLAIMS_KEPT, false),
            // The numbers are the same, the claims are not.
            (&again, 95, 1, false),
            (&later, 115, 1, false),
            (&[claim(1, 0, "c")], 1, 1, false),
        ] {
            let claimed = found(stored, end, own);
            assert_eq!(lineage.has_all_of(&claimed, Epoch(6)), is_ours, "{claimed:?}");
        }
    }
}
