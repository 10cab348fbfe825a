//! The claims of a partition as a timeline of its log: which owner wrote the entry at an index, and how long the log was.
//!
//! An entry of another epoch, or a log that is shorter than at an earlier claim, shows that entries are missing or were
//! replaced. Pure; used by the replay.

use minerva_proto::LogIndex;

use crate::store::{Claim, Epoch};

/// The kept claims of a partition.
pub(super) struct Timeline<'a> {
    claims: &'a [Claim],
    /// Epoch of the claim that recovers the partition.
    current: Epoch,
    /// Epoch of the last checked entry.
    last_epoch: u64,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(claims: &'a [Claim], current: Epoch) -> Self {
        Self { claims, current, last_epoch: 0 }
    }

    /// Checks the epoch of the entry at `index`. The entries are checked in order.
    ///
    /// # Errors
    /// If another claim was in force at the index, or the epochs descend.
    pub(super) fn check(&mut self, index: LogIndex, epoch: u64) -> Result<(), String> {
        let (before, claim) = (self.last_epoch, self.current);
        if epoch < before || epoch > claim.0 {
            return Err(format!("written in epoch {epoch}, behind {before} and before {claim}"));
        }
        // A later claim at the same index, or at a lower one after a loss, replaces the earlier claims.
        if let Some(in_force) = self.claims.iter().rfind(|claim| claim.next_index <= index) {
            if in_force.epoch.0 != epoch {
                let owner = in_force.epoch;
                return Err(format!("written in epoch {epoch}, and epoch {owner} held the log"));
            }
        } else if let Some(oldest) = self.claims.first()
            && epoch >= oldest.epoch.0
        {
            let oldest = oldest.epoch;
            return Err(format!("written in epoch {epoch}, before the claim of epoch {oldest}"));
        }
        self.last_epoch = epoch;
        Ok(())
    }

    /// The greatest end of the log at any claim since the checkpoint of epoch `since`.
    ///
    /// Earlier claims are settled: that owner has recovered from a shorter log and written a checkpoint.
    pub(super) fn log_end(&self, since: Option<u64>) -> Option<LogIndex> {
        let since = Epoch(since.unwrap_or(0));
        let claims = self.claims.iter().filter(|claim| claim.epoch >= since);
        claims.map(|claim| claim.next_index).max()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::claims;
    use super::*;

    #[test]
    fn an_entry_has_the_epoch_of_the_claim_in_force() {
        let claims = claims(&[(3, 10), (5, 20), (6, 20), (9, 30)]);
        for (index, right) in [(5, 2), (9, 1), (10, 3), (19, 3), (20, 6), (29, 6)] {
            for epoch in 1..10 {
                let checked = Timeline::new(&claims, Epoch(9)).check(LogIndex(index), epoch);
                let is_right = if index < 10 { epoch < 3 } else { epoch == right };
                assert_eq!(checked.is_ok(), is_right, "{index} in {epoch}: {checked:?}");
            }
        }
    }

    #[test]
    fn the_epochs_ascend_up_to_the_current_claim() {
        let mut timeline = Timeline::new(&[], Epoch(9));
        let checked = [2, 2, 8, 7, 9, 10].map(|epoch| timeline.check(LogIndex(0), epoch).is_ok());
        assert_eq!(checked, [true, true, true, false, true, false]);
    }

    #[test]
    fn a_claim_behind_a_lost_end_replaces_the_earlier_ones() {
        let claims = claims(&[(1, 0), (2, 15), (3, 10), (4, 12)]);
        let check = |index, epoch| Timeline::new(&claims, Epoch(4)).check(LogIndex(index), epoch);
        assert!(check(11, 3).is_ok() && check(11, 1).is_err());
    }

    #[test]
    fn only_claims_since_the_last_checkpoint_show_a_lost_end() {
        let claims = claims(&[(1, 0), (2, 15), (3, 10)]);
        let end = |since| Timeline::new(&claims, Epoch(3)).log_end(since).map(|end| end.0);
        assert_eq!([end(None), end(Some(2)), end(Some(3))], [Some(15), Some(15), Some(10)]);
        assert_eq!(Timeline::new(&[], Epoch(3)).log_end(None), None);
    }
}
