//! Damages of different partitions that share one round.
//!
//! Partitions are independent of each other, so each one takes the rows of another damaged copy. No two damages share a
//! partition, so the fate of the streams there is the outcome of the damage. Pure.

use std::collections::{BTreeSet, VecDeque};

use super::image::{Image, Owner};
use crate::random::Random;

/// A damage that changes more partitions counts in one of them, drawn at random: the others have the same state as
/// those of other damages of this kind.
const MAX_PARTITIONS: usize = 4;
/// One of so many damages of more partitions is played with all of them, in a round of its own.
const WHOLE: u64 = 200;

/// The changed partitions of a damaged copy.
#[derive(Debug, Clone)]
pub(super) struct Damaged {
    /// The rows of the changed partitions.
    pub(super) image: Image,
    pub(super) changed: BTreeSet<Owner>,
    /// The position and the difference from the original, for reports.
    pub(super) label: String,
}

/// Damages of one round.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch(pub(super) Vec<Damaged>);

impl Damaged {
    /// `None` if no core would notice the difference.
    pub(super) fn new(
        image: &Image,
        original: &Image,
        label: &str,
        random: &mut Random,
    ) -> Option<Self> {
        let mut changed = image.differences(original);
        changed.remove(&Owner::Nobody);
        let partitions: Vec<_> =
            changed.iter().copied().filter(|owner| matches!(owner, Owner::Partition(_))).collect();
        if !partitions.is_empty() {
            changed.remove(&Owner::Membership);
        }
        let is_whole = random.between(1, WHOLE) == 1;
        if partitions.len() > MAX_PARTITIONS && !is_whole && !changed.contains(&Owner::Shared) {
            changed = random.choose(&partitions).into_iter().collect();
        }
        if changed.is_empty() {
            return None;
        }
        let image = image.part(&changed);
        let changes = image.describe_changes(&original.part(&changed));
        Some(Self { image, changed, label: format!("{label}: {changes}") })
    }

    /// Damage of the whole file in place.
    pub(super) fn of_all(label: &str) -> Self {
        let changed = BTreeSet::from([Owner::Shared]);
        Self { image: Image::default(), changed, label: label.to_owned() }
    }

    /// Whether settings of the whole store are damaged, which a core may refuse.
    pub(super) fn is_shared(&self) -> bool {
        self.changed.contains(&Owner::Shared)
    }

    /// Whether the damage concerns partitions whose rows are unchanged, so that the round has no other damage.
    pub(super) fn is_alone(&self) -> bool {
        let is_partition = |owner: &Owner| matches!(owner, Owner::Partition(_));
        self.changed.len() > MAX_PARTITIONS || !self.changed.iter().all(is_partition)
    }

    /// Whether a stream of this partition may be affected.
    pub(super) fn concerns(&self, partition: u32) -> bool {
        let is_global = |owner: &Owner| matches!(owner, Owner::Shared | Owner::Membership);
        self.changed.contains(&Owner::Partition(partition)) || self.changed.iter().any(is_global)
    }
}

impl Batch {
    /// Takes up to `most` damages for the next round; damages of taken partitions wait for a later one.
    pub(super) fn take(pending: &mut VecDeque<Damaged>, most: usize) -> Self {
        let Some(first) = pending.pop_front() else { return Self::default() };
        let (mut taken, mut batch) = (first.changed.clone(), vec![first]);
        if batch[0].is_alone() {
            return Self(batch);
        }
        for damaged in std::mem::take(pending) {
            let fits =
                batch.len() < most && !damaged.is_alone() && damaged.changed.is_disjoint(&taken);
            if fits {
                taken.extend(damaged.changed.iter().copied());
                batch.push(damaged);
            } else {
                pending.push_back(damaged);
            }
        }
        Self(batch)
    }

    /// The original with the damaged partitions.
    pub(super) fn image(&self, original: &Image) -> Image {
        let mut image = original.clone();
        let taken: BTreeSet<_> = self.0.iter().flat_map(|damaged| damaged.changed.iter()).collect();
        image.0.retain(|row, _| !taken.contains(&row.owner()));
        self.0.iter().for_each(|damaged| image.0.extend(damaged.image.0.clone()));
        image
    }

    /// Two parts, to find the cause of a failure; `None` for a single damage.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let (left, right) = self.0.split_at(self.0.len() / 2);
        (!left.is_empty()).then(|| [Self(left.to_vec()), Self(right.to_vec())])
    }

    pub(super) fn concerns(&self, partition: u32) -> bool {
        self.0.iter().any(|damaged| damaged.concerns(partition))
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

    fn settings() -> Image {
        let mut settings = image(&[]);
        let row = Row { table: b"settings".to_vec(), kind: RowKind::Table, key: Vec::new() };
        settings.0.insert(row, vec![9]);
        settings
    }

    fn damaged(changed: &[u32]) -> Option<Damaged> {
        Damaged::new(&image(changed), &image(&[]), "here", &mut Random::new(1))
    }

    fn pending(damages: &[&[u32]]) -> VecDeque<Damaged> {
        damages.iter().map(|changed| damaged(changed).unwrap()).collect()
    }

    #[test]
    fn each_damage_is_alone_in_its_partitions() {
        assert!(damaged(&[]).is_none());
        assert_eq!(damaged(&[4]).unwrap().label, "here: heads changed");
        let mut waiting = pending(&[&[1, 2], &[2], &[4], &[5]]);
        let batch = Batch::take(&mut waiting, 2);
        assert_eq!(batch.image(&image(&[])), image(&[1, 2, 4]));
        assert!(batch.concerns(4) && !batch.concerns(5));
        assert_eq!(waiting.len(), 2, "partition 2 was taken, then the batch was full");
        assert_eq!(Batch::take(&mut waiting, 9).image(&image(&[])), image(&[2, 5]));
        assert!(Batch::take(&mut waiting, 9).0.is_empty());
    }

    #[test]
    fn a_damage_of_everything_counts_in_one_partition_or_is_played_as_a_whole() {
        let mut random = Random::new(1);
        let mut draw = || {
            let everything = image(&[0, 1, 2, 3, 4, 5]);
            Damaged::new(&everything, &image(&[]), "", &mut random).unwrap()
        };
        let drawn: Vec<_> = (0..2000).map(|_| draw()).collect();
        let whole: Vec<_> = drawn.iter().filter(|damaged| damaged.is_alone()).collect();
        assert!((1..40).contains(&whole.len()), "{}", whole.len());
        assert!(whole.iter().all(|damaged| damaged.changed.len() == 6));
        assert_eq!(
            drawn.iter().filter(|damaged| damaged.changed.len() == 1).count(),
            2000 - whole.len()
        );
    }

    #[test]
    fn damaged_settings_have_a_round_of_their_own() {
        let shared = Damaged::new(&settings(), &image(&[]), "", &mut Random::new(1)).unwrap();
        let mut waiting = pending(&[&[1], &[2]]);
        waiting.insert(1, shared);
        assert_eq!(Batch::take(&mut waiting, 9).0.len(), 2);
        let batch = Batch::take(&mut waiting, 9);
        assert_eq!(batch.image(&image(&[])), settings());
        assert!(batch.concerns(7), "settings concern all partitions");
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_failed_batch_is_halved_until_one_damage_is_left() {
        let batch = Batch::take(&mut pending(&[&[1], &[2], &[3]]), 9);
        let [left, right] = batch.halves().unwrap();
        assert_eq!((left.0.len(), right.0.len()), (1, 2));
        assert!(left.halves().is_none());
        assert_eq!(right.image(&image(&[])), image(&[2, 3]));
    }
}
