//! Damages of different partitions that share one round.
//!
//! Partitions are independent of each other, so each one takes the rows of another damaged copy. No two damages share a
//! partition, so the fate of the streams there is the outcome of the damage.

use std::collections::BTreeSet;

use super::image::{Image, Owner};
use crate::random::Random;

/// A damage that changes more partitions counts in one of them, drawn at random: the others have the same state as
/// those of other damages of this kind.
const MAX_PARTITIONS: usize = 4;

/// A damaged copy and the changed partitions.
pub(super) struct Damaged {
    pub(super) image: Image,
    changed: BTreeSet<Owner>,
}

pub(super) struct Batch {
    pub(super) image: Image,
    /// The partitions of each damage.
    pub(super) damages: Vec<BTreeSet<Owner>>,
}

impl Damaged {
    /// `None` if no core would notice the difference.
    pub(super) fn new(image: Image, original: &Image, random: &mut Random) -> Option<Self> {
        let mut changed = image.differences(original);
        changed.remove(&Owner::Nobody);
        let partitions: Vec<_> =
            changed.iter().copied().filter(|owner| *owner != Owner::Shared).collect();
        if partitions.len() > MAX_PARTITIONS {
            changed = random.choose(&partitions).into_iter().collect();
        } else if !partitions.is_empty() {
            // The membership differs between any two moments.
            changed.remove(&Owner::Shared);
        }
        (!changed.is_empty()).then_some(Self { image, changed })
    }

    /// Whether settings of the whole store are damaged.
    fn is_shared(&self) -> bool {
        self.changed.contains(&Owner::Shared)
    }
}

impl Batch {
    pub(super) fn new(original: &Image) -> Self {
        Self { image: original.clone(), damages: Vec::new() }
    }

    /// A single damage of the whole store.
    pub(super) fn of_all(original: &Image) -> Self {
        Self { image: original.clone(), damages: vec![BTreeSet::from([Owner::Shared])] }
    }

    /// Adds a damage; returns the damage if it needs another round.
    pub(super) fn add(&mut self, damaged: Damaged, most: usize) -> Option<Damaged> {
        let taken = |owner: &Owner| self.damages.iter().any(|damage| damage.contains(owner));
        let alone = damaged.is_shared()
            || self.damages.iter().any(|damage| damage.contains(&Owner::Shared));
        if self.damages.len() >= most
            || damaged.changed.iter().any(taken)
            || (alone && !self.damages.is_empty())
        {
            return Some(damaged);
        }
        for owner in &damaged.changed {
            self.image.replace(*owner, &damaged.image);
        }
        self.damages.push(damaged.changed);
        None
    }

    pub(super) fn is_damaged(&self, partition: u32) -> bool {
        let owner = Owner::Partition(partition);
        self.damages.iter().any(|damage| damage.contains(&owner) || damage.contains(&Owner::Shared))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::image::{Row, RowKind};
    use super::*;

    fn image(changed: &[u32]) -> Image {
        let row = |partition: u32| {
            let key = partition.to_be_bytes().to_vec();
            (Row { table: b"heads".to_vec(), kind: RowKind::Table, key }, Vec::new())
        };
        let mut rows: BTreeMap<_, _> = (0..9).map(row).collect();
        for partition in changed {
            rows.insert(row(*partition).0, vec![1]);
        }
        Image(rows)
    }

    fn damaged(changed: &[u32]) -> Option<Damaged> {
        Damaged::new(image(changed), &image(&[]), &mut Random::new(1))
    }

    #[test]
    fn each_damage_is_alone_in_its_partitions() {
        let mut batch = Batch::new(&image(&[]));
        assert!(damaged(&[]).is_none());
        assert!(batch.add(damaged(&[1, 2]).unwrap(), 3).is_none());
        assert!(batch.add(damaged(&[2]).unwrap(), 3).is_some(), "partition 2 is taken");
        assert!(batch.add(damaged(&[4]).unwrap(), 3).is_none());
        assert!(batch.add(damaged(&[5]).unwrap(), 2).is_some(), "the batch is full");
        assert_eq!(batch.image, image(&[1, 2, 4]));
        assert!(batch.is_damaged(4) && !batch.is_damaged(5));
    }

    #[test]
    fn a_damage_of_everything_counts_in_one_partition() {
        let damage = damaged(&[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(damage.changed.len(), 1);
    }

    #[test]
    fn damaged_settings_have_a_round_of_their_own() {
        let mut settings = image(&[]);
        let row = Row { table: b"settings".to_vec(), kind: RowKind::Table, key: Vec::new() };
        settings.0.insert(row, vec![9]);
        let shared = || Damaged::new(settings.clone(), &image(&[]), &mut Random::new(1)).unwrap();
        let mut batch = Batch::new(&image(&[]));
        assert!(batch.add(damaged(&[1]).unwrap(), 9).is_none());
        assert!(batch.add(shared(), 9).is_some());
        let mut batch = Batch::new(&image(&[]));
        assert!(batch.add(shared(), 9).is_none());
        assert!(batch.add(damaged(&[1]).unwrap(), 9).is_some());
        assert!(batch.is_damaged(7), "settings concern all partitions");
    }
}
