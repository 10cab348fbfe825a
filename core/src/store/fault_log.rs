//! The log lines about an unavailable store: one per cause and process, at growing intervals.
//!
//! [`super::metered`] reports the calls of a serving core. The Redis store reports unusable
//! servers that the store does not depend on.

use minerva_runtime::recurring::RecurringFaults;

use crate::clock;

static FAULTS: RecurringFaults = RecurringFaults::new();

/// Logs a recurring fault that does not fail a call, if a line about the fault is due.
pub(super) fn warn_fault(fault: &str) {
    if let Some(occurrences) = FAULTS.record(fault, clock::now().into_std()) {
        tracing::warn!(occurrences, fault, "part of the store is unusable");
    }
}

/// Logs a failed call if a line about the reason is due.
pub(super) fn warn_unavailable(operation: &'static str, reason: &str) {
    if let Some(failed_calls) = FAULTS.record(reason, clock::now().into_std()) {
        tracing::warn!(operation, failed_calls, reason, "store unavailable");
    }
}
