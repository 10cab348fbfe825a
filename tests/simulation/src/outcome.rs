//! The result of a run.

use crate::faults::Faults;

/// Result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Descriptions of violated guarantees, in order of detection.
    pub violations: Vec<String>,
    /// Failures of clients of wire version 2 whose streams have a number that was assigned to two messages, in order of
    /// detection. No violations, because such a client cannot detect the second message.
    pub reassigned: Vec<String>,
    /// Counts of the faults.
    pub faults: Faults,
    /// Delivered messages of both directions.
    pub messages: u64,
    /// Streams of clients that check claim tags until the end.
    pub tagged_streams: usize,
    /// Duration in virtual milliseconds.
    pub virtual_ms: u64,
    /// Hash of all trace entries.
    pub trace: u64,
}
