//! The claims known to the owner of a partition: decides whether a rolled-back store may be overwritten.
//!
//! Pure. Used by the event loop of a partition after a rollback.

use std::sync::Arc;

use minerva_proto::LogIndex;

use crate::store::{CLAIMS_KEPT, Claim, Claimed, Epoch};

/// The claims whose log entries an owner has seen in full.
pub(super) struct ClaimHistory {
    /// Unique to this process; under this name no epoch of the partition was claimed twice.
    owner: Arc<str>,
    known: Vec<Claim>,
    /// End of the log at the claim of this owner; no earlier owner wrote at or above this index.
    log_end: LogIndex,
}

impl ClaimHistory {
    /// The history found by a claim of `owner`: the `known` claims and the end of the log.
    pub(super) fn new(owner: Arc<str>, known: Vec<Claim>, log_end: LogIndex) -> Self {
        Self { owner, known, log_end }
    }

    /// Returns true if `claimed` holds nothing that another core wrote after the rollback.
    ///
    /// `claimed` is the result of claims above `since`, the last epoch of this owner. A foreign claim means that its
    /// core may have acknowledged messages that this owner has never seen.
    pub(super) fn no_foreign_claim(&self, claimed: &Claimed, since: Epoch) -> bool {
        let is_retry = |claim: &Claim| *claim.owner == *self.owner && claim.epoch > since;
        match claimed.claims.iter().rev().find(|claim| !is_retry(claim)) {
            // Either the store is empty, or the retries have displaced all older claims.
            None => claimed.claims.len() < CLAIMS_KEPT,
            Some(claim) if *claim.owner == *self.owner => true,
            Some(claim) => self.known.contains(claim) && claimed.next_index() <= self.log_end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(epoch: u64, next_index: u64, owner: &str) -> Claim {
        Claim { epoch: Epoch(epoch), next_index: LogIndex(next_index), owner: owner.to_owned() }
    }

    /// The claimed state after a rollback to `stored` and `retries` claims of "me".
    fn claimed_after(stored: &[Claim], log_end: u64, retries: usize) -> Claimed {
        let first = stored.last().map_or(0, |claim| claim.epoch.0).max(6) + 1;
        let own = (first..).take(retries).map(|epoch| claim(epoch, log_end, "me"));
        let claims: Vec<_> = stored.iter().cloned().chain(own).collect();
        let (first_index, log) = (LogIndex(log_end), vec![]);
        Claimed {
            epoch: Epoch(first),
            claims,
            meta: None,
            streams: vec![],
            unreadable: vec![],
            first_index,
            log,
            recorded: None,
        }
    }

    #[test]
    fn a_foreign_claim_after_the_rollback_is_detected() {
        let past = [claim(4, 0, "a"), claim(5, 100, "b"), claim(6, 120, "me")];
        let history = ClaimHistory::new("me".into(), past.to_vec(), LogIndex(120));
        let same_epochs = [claim(4, 0, "a"), claim(5, 90, "b")];
        let later = [claim(4, 0, "a"), claim(5, 100, "b"), claim(6, 110, "b")];
        for (stored, log_end, retries, expected) in [
            (&past[..], 300, 1, true),
            (&past[..], 300, 3, true),
            (&past[..2], 110, 1, true),
            (&past[..2], 120, 2, true),
            // The previous owner resumed and appended an entry.
            (&past[..2], 121, 1, false),
            (&past[..1], 10, 1, true),
            (&[], 0, 1, true),
            (&[], 0, CLAIMS_KEPT - 1, true),
            (&[], 0, CLAIMS_KEPT, false),
            // Equal epochs of different claims.
            (&same_epochs, 95, 1, false),
            (&later, 115, 1, false),
            (&[claim(1, 0, "c")], 1, 1, false),
        ] {
            let claimed = claimed_after(stored, log_end, retries);
            assert_eq!(history.no_foreign_claim(&claimed, Epoch(6)), expected, "{claimed:?}");
        }
    }
}
