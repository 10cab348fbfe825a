//! Which core owns which partition, as an edge was told.

use std::collections::BTreeMap;

/// The owners; each with its epoch.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// What each core claims, by partition and core.
    claims: BTreeMap<(u32, usize), u64>,
}

impl Table {
    /// A core claims a partition. Whether it is the owner.
    pub(super) fn claim(&mut self, core: usize, partition: u32, epoch: u64) -> bool {
        let is_owner = self.owner(partition).is_none_or(|(_, other)| epoch >= other);
        if is_owner {
            self.claims.retain(|(other, _), _| *other != partition);
            self.claims.insert((partition, core), epoch);
        }
        is_owner
    }

    /// A core owns a partition no longer.
    pub(super) fn forget(&mut self, core: usize, partition: u32) {
        self.claims.remove(&(partition, core));
    }

    /// A core owns nothing any more.
    pub(super) fn forget_core(&mut self, core: usize) {
        self.claims.retain(|(_, other), _| *other != core);
    }

    /// The owner of a partition and its epoch.
    pub(super) fn owner(&self, partition: u32) -> Option<(usize, u64)> {
        let of_it = self.claims.range((partition, 0)..=(partition, usize::MAX));
        of_it.map(|((_, core), epoch)| (*core, *epoch)).max_by_key(|(_, epoch)| *epoch)
    }
}
