//! The head of a partition: epoch and log bounds, with the decisions of the store contract. Pure.
//!
//! The memory and redb stores share this code; the Lua scripts of the Redis store make the same decisions.

use std::cmp::Ordering;

use minerva_proto::LogIndex;

use super::{Claim, Epoch, OwnerView, StoreError};

/// Epoch and log bounds of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Epoch of the last claim; 0 before the first.
    pub(super) epoch: Epoch,
    /// Index of the first blob in the log.
    pub(super) first: LogIndex,
    /// Index of the next append; `first <= next`.
    pub(super) next: LogIndex,
    /// Checkpoint calls of this epoch. `None` in a store that cannot lose a checkpoint under a living owner.
    pub(super) checkpoints: Option<u64>,
}

/// How to perform a permitted append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AppendAction {
    /// Write the blob.
    Write,
    /// The log has this index: succeed if the content is equal.
    Compare,
    /// A checkpoint has trimmed this index: succeed.
    Skip,
}

impl Head {
    /// Checks the epoch of a call.
    pub(super) fn check(&self, epoch: Epoch) -> Result<(), StoreError> {
        match epoch.cmp(&self.epoch) {
            Ordering::Less => Err(StoreError::Fenced),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(StoreError::Behind { next: self.next }),
        }
    }

    /// Checks the epoch of a call, and the first index and the confirmed checkpoint calls that the owner expects.
    fn check_owner(&self, owner: OwnerView) -> Result<(), StoreError> {
        self.check(owner.epoch)?;
        let Some(expected) = owner.expected else { return Ok(()) };
        let is_first = [expected.first, expected.next_first].contains(&self.first);
        let has_all = self.checkpoints.is_none_or(|made| made >= expected.checkpoints);
        if is_first && has_all { Ok(()) } else { Err(StoreError::Behind { next: self.next }) }
    }

    /// Advances the epoch beyond `above`, and returns the claim for the history.
    pub(super) fn claim(&mut self, owner: &str, above: Epoch) -> Claim {
        self.epoch = Epoch(self.epoch.max(above).0 + 1);
        self.checkpoints = self.checkpoints.map(|_| 0);
        Claim { epoch: self.epoch, next_index: self.next, owner: owner.to_owned() }
    }

    /// Moves the log bounds behind all earlier indexes and above 0, and fences all owners.
    pub(super) fn reset(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.first = self.next.max(LogIndex(1));
        self.next = self.first;
    }

    /// Checks a renewal: the epoch, the expected state, and that the log has reached `next`.
    pub(super) fn check_renewal(&self, owner: OwnerView, next: LogIndex) -> Result<(), StoreError> {
        self.check_owner(owner)?;
        if next > self.next { Err(StoreError::Behind { next: self.next }) } else { Ok(()) }
    }

    /// Compares the epoch, the expected state and the index of an append with the log head.
    pub(super) fn check_append(
        &self,
        owner: OwnerView,
        index: LogIndex,
    ) -> Result<AppendAction, StoreError> {
        self.check_owner(owner)?;
        match index.cmp(&self.next) {
            Ordering::Equal => Ok(AppendAction::Write),
            Ordering::Greater => Err(StoreError::Behind { next: self.next }),
            Ordering::Less if index < self.first => Ok(AppendAction::Skip),
            Ordering::Less => Ok(AppendAction::Compare),
        }
    }

    /// Checks a checkpoint, and counts the call. `false`: a late repetition without effect.
    pub(super) fn check_checkpoint(
        &mut self,
        owner: OwnerView,
        covers: LogIndex,
    ) -> Result<bool, StoreError> {
        self.check(owner.epoch)?;
        if covers > self.next {
            return Err(StoreError::Behind { next: self.next });
        }
        let Some(expected) = owner.expected else { return Ok(covers >= self.first) };
        // The call may be a repetition that has taken effect before.
        let numbers = [expected.checkpoints, expected.checkpoints + 1];
        let has_all = self.checkpoints.is_none_or(|made| numbers.contains(&made));
        if !has_all || ![expected.first, covers].contains(&self.first) {
            return Err(StoreError::Behind { next: self.next });
        }
        self.checkpoints = self.checkpoints.map(|_| numbers[1]);
        Ok(true)
    }
}
