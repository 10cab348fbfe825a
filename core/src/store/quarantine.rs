//! The bounded quarantine of a partition: damaged blobs that are kept aside for inspection. Pure.
//!
//! The memory and redb stores share this code; `quarantine.lua` of the Redis store makes the same decisions.

use bytes::Bytes;

/// Bounds of the quarantine of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuarantineLimits {
    /// Number of blobs.
    pub(super) blobs: usize,
    /// Bytes of all blobs.
    pub(super) bytes: usize,
}

/// Bounds of every store.
pub(super) const LIMITS: QuarantineLimits = QuarantineLimits { blobs: 1000, bytes: 64 << 20 };

/// Number of blobs to drop, the oldest first. `sizes` is in the order of age, the oldest first.
pub(super) fn excess(sizes: &[usize], limits: QuarantineLimits) -> usize {
    let mut bytes = 0;
    let newest = sizes.iter().rev();
    let kept = newest.take(limits.blobs).take_while(|size| {
        bytes += **size;
        bytes <= limits.bytes
    });
    sizes.len() - kept.count()
}

/// Adds blobs at the end and drops the oldest ones beyond the limits. A blob replaces the blob of the same name.
pub(super) fn add(
    kept: &mut Vec<(String, Bytes)>,
    blobs: Vec<(String, Bytes)>,
    limits: QuarantineLimits,
) {
    for (name, blob) in blobs {
        kept.retain(|(other, _)| *other != name);
        kept.push((name, blob));
    }
    let sizes: Vec<usize> = kept.iter().map(|(_, blob)| blob.len()).collect();
    kept.drain(..excess(&sizes, limits));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(blobs: &[(&str, usize)], limits: QuarantineLimits) -> Vec<String> {
        let mut kept = Vec::new();
        for (name, size) in blobs {
            add(&mut kept, vec![((*name).to_owned(), Bytes::from(vec![0; *size]))], limits);
        }
        kept.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_oldest_blobs_beyond_the_number_are_dropped() {
        let limits = QuarantineLimits { blobs: 3, bytes: 100 };
        let all = [("a", 1), ("b", 1), ("c", 1), ("d", 1)];
        for (count, kept) in [(2, &["a", "b"][..]), (3, &["a", "b", "c"]), (4, &["b", "c", "d"])] {
            assert_eq!(added(&all[..count], limits), kept);
        }
    }

    #[test]
    fn the_oldest_blobs_beyond_the_bytes_are_dropped() {
        let limits = QuarantineLimits { blobs: 10, bytes: 100 };
        for (last, kept) in [(29, &["a", "b", "c"][..]), (30, &["a", "b", "c"]), (31, &["b", "c"])]
        {
            assert_eq!(added(&[("a", 30), ("b", 40), ("c", last)], limits), kept);
        }
        assert!(added(&[("a", 1), ("b", 101)], limits).is_empty(), "a blob above the limit");
    }

    #[test]
    fn a_repeated_blob_is_kept_once() {
        let limits = QuarantineLimits { blobs: 3, bytes: 100 };
        assert_eq!(added(&[("a", 1), ("b", 2), ("a", 1)], limits), ["b", "a"]);
    }
}
