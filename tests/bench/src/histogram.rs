//! A lock-free latency histogram with buckets of about 3 %, shared by all connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per doubling.
const STEPS: u64 = 32;
/// Doublings above the first: up to half an hour in microseconds.
const DOUBLINGS: u64 = 26;

/// Counts by latency in microseconds.
pub(crate) struct Histogram(Vec<AtomicU64>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self((0..STEPS * (DOUBLINGS + 1)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn add(&self, latency: Duration) {
        let bucket = bucket(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        self.0[bucket.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns and resets the counts.
    pub(crate) fn take(&self) -> Vec<u64> {
        self.0.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect()
    }
}

/// The latency in microseconds below which this share (in thousandths) of the counts lies.
pub(crate) fn permille(counts: &[u64], of_thousand: u64) -> u64 {
    let rank = (counts.iter().sum::<u64>() * of_thousand).div_ceil(1000);
    let mut seen = 0;
    let reached = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    reached.map_or(0, lowest)
}

fn bucket(micros: u64) -> usize {
    let doublings = (micros / STEPS).checked_ilog2().map_or(0, |log| u64::from(log) + 1);
    let step = if doublings == 0 { micros } else { (micros >> (doublings - 1)) - STEPS };
    (doublings * STEPS + step) as usize
}

/// The lower bound of a bucket.
fn lowest(bucket: usize) -> u64 {
    let (doublings, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if doublings == 0 { step } else { (STEPS + step) << (doublings - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        for micros in (0..100_000).chain([1 << 20, (1 << 30) + 12345]) {
            let low = lowest(bucket(micros));
            assert!(low <= micros && micros <= low + low / STEPS, "{micros} in {low}");
        }
        for bucket_number in 0..STEPS as usize * 20 {
            assert_eq!(bucket(lowest(bucket_number)), bucket_number);
        }
    }

    #[test]
    fn permilles_follow_the_counts() {
        let histogram = Histogram::new();
        for micros in 1..=100 {
            histogram.add(Duration::from_micros(micros));
        }
        histogram.add(Duration::MAX);
        let counts = histogram.take();
        assert_eq!((permille(&counts, 10), permille(&counts, 500)), (2, 51));
        assert!(permille(&counts, 1000) > 1 << 30);
        assert_eq!(permille(&histogram.take(), 500), 0);
    }

    #[test]
    fn the_slowest_of_a_thousand_is_above_permille_999() {
        let counters = |slow: u64| {
            let histogram = Histogram::new();
            (0..1000 - slow).for_each(|_| histogram.add(Duration::from_micros(1)));
            (0..slow).for_each(|_| histogram.add(Duration::from_micros(20)));
            let counts = histogram.take();
            [990, 999, 1000].map(|of_thousand| permille(&counts, of_thousand))
        };
        assert_eq!([counters(0), counters(1), counters(2)], [[1; 3], [1, 1, 20], [1, 20, 20]]);
        assert_eq!([counters(10), counters(11)], [[1, 20, 20], [20; 3]]);
    }
}
