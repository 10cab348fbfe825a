//! The reported latency quantiles of a run.

use crate::histogram::permille;
use crate::sheet::{Case, Sheet};

/// Quantiles in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quantiles {
    p50: u64,
    p99: u64,
    /// The 99.9th percentile.
    p999: u64,
}

impl Quantiles {
    /// Computes the quantiles from histogram buckets.
    pub(crate) fn of(latencies: &[u64]) -> Self {
        let [p50, p99, p999] = [500, 990, 999].map(|of| permille(latencies, of));
        Self { p50, p99, p999 }
    }

    /// Adds the quantiles under the name of the measured interval.
    pub(crate) fn enter(&self, sheet: &mut Sheet, case_id: Case<'_>, what: &str) {
        for (name, micros) in [("p50", self.p50), ("p99", self.p99), ("p99.9", self.p999)] {
            sheet.add(case_id, &format!("{what}: {name}"), "us", micros as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantile_is_added_under_its_name() {
        // Buckets below 64 are one microsecond wide.
        let mut latencies = [0; 64];
        (latencies[3], latencies[20], latencies[40]) = (980, 18, 2);
        let (mut sheet, case_id) = (Sheet::new(), Case::only("pipe"));
        Quantiles::of(&latencies).enter(&mut sheet, case_id, "round trip");
        let value = |name| sheet.value(case_id, name);
        assert_eq!(value("round trip: p50"), Some(3.0));
        assert_eq!(value("round trip: p99"), Some(20.0));
        assert_eq!(value("round trip: p99.9"), Some(40.0));
    }
}
