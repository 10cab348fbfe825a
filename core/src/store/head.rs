//! The few numbers of a partition on which every decision of the contract rests, and those decisions.
//! Shared by the stores; pure.

use std::cmp::Ordering;

use super::{Claim, Epoch, StoreError};

/// What a partition is at, without its blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The epoch of the last claim; 0 before the first.
    pub(super) epoch: u64,
    /// Index of the first blob of the log.
    pub(super) first: u64,
    /// Index that the next blob gets; `first <= next`.
    pub(super) next: u64,
}

/// What to do with an append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Append {
    /// Write it.
    New,
    /// The log has this index: success if the content is the same.
    Compare,
    /// A checkpoint has trimmed it: success.
    Trimmed,
}

impl Head {
    /// Lets only the owner pass.
    pub(super) fn check(&self, epoch: Epoch) -> Result<(), StoreError> {
        match epoch.0.cmp(&self.epoch) {
            Ordering::Less => Err(StoreError::Fenced),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(StoreError::Behind { next: self.next }),
        }
    }

    /// Makes the next epoch, above one that the caller knows. Returns what to remember of it.
    pub(super) fn claim(&mut self, owner: &str, above: Epoch) -> Claim {
        self.epoch = self.epoch.max(above.0) + 1;
        Claim { epoch: Epoch(self.epoch), next_index: self.next, owner: owner.to_owned() }
    }

    /// Lets only the owner pass that knows of nothing beyond the log.
    pub(super) fn renew(&self, epoch: Epoch, next: u64) -> Result<(), StoreError> {
        self.check(epoch)?;
        if next > self.next { Err(StoreError::Behind { next: self.next }) } else { Ok(()) }
    }

    /// Decides about an append.
    pub(super) fn append(&self, epoch: Epoch, index: u64) -> Result<Append, StoreError> {
        self.check(epoch)?;
        match index.cmp(&self.next) {
            Ordering::Equal => Ok(Append::New),
            Ordering::Greater => Err(StoreError::Behind { next: self.next }),
            Ordering::Less if index < self.first => Ok(Append::Trimmed),
            Ordering::Less => Ok(Append::Compare),
        }
    }

    /// Decides about a checkpoint: whether there is something to do.
    pub(super) fn checkpoint(&self, epoch: Epoch, covers: u64) -> Result<bool, StoreError> {
        self.check(epoch)?;
        if covers > self.next {
            return Err(StoreError::Behind { next: self.next });
        }
        Ok(covers >= self.first)
    }
}
