//! The head of a partition: epoch and log bounds, with the decisions of the store contract. Pure.
//!
//! The memory and redb stores share this code; the Lua scripts of the Redis store make the same decisions.

use std::cmp::Ordering;

use minerva_proto::LogIndex;

use super::{Claim, Epoch, StoreError};

/// Epoch and log bounds of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Epoch of the last claim; 0 before the first.
    pub(super) epoch: Epoch,
    /// Index of the first blob in the log.
    pub(super) first: LogIndex,
    /// Index of the next append; `first <= next`.
    pub(super) next: LogIndex,
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

    /// Advances the epoch beyond `above`, and returns the claim for the history.
    pub(super) fn claim(&mut self, owner: &str, above: Epoch) -> Claim {
        self.epoch = Epoch(self.epoch.max(above).0 + 1);
        Claim { epoch: self.epoch, next_index: self.next, owner: owner.to_owned() }
    }

    /// Moves the log bounds behind all earlier indexes and above 0, and fences all owners.
    pub(super) fn reset(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.first = self.next.max(LogIndex(1));
        self.next = self.first;
    }

    /// Checks a renewal: the epoch, and that the log has reached `next`.
    pub(super) fn check_renewal(&self, epoch: Epoch, next: LogIndex) -> Result<(), StoreError> {
        self.check(epoch)?;
        if next > self.next { Err(StoreError::Behind { next: self.next }) } else { Ok(()) }
    }

    /// Compares the epoch and index of an append with the log head.
    pub(super) fn check_append(
        &self,
        epoch: Epoch,
        index: LogIndex,
    ) -> Result<AppendAction, StoreError> {
        self.check(epoch)?;
        match index.cmp(&self.next) {
            Ordering::Equal => Ok(AppendAction::Write),
            Ordering::Greater => Err(StoreError::Behind { next: self.next }),
            Ordering::Less if index < self.first => Ok(AppendAction::Skip),
            Ordering::Less => Ok(AppendAction::Compare),
        }
    }

    /// Checks a checkpoint. `false`: a late repetition without effect.
    pub(super) fn check_checkpoint(
        &self,
        epoch: Epoch,
        covers: LogIndex,
    ) -> Result<bool, StoreError> {
        self.check(epoch)?;
        if covers > self.next {
            return Err(StoreError::Behind { next: self.next });
        }
        Ok(covers >= self.first)
    }
}
