//! Parameters of one fan-out case, shared by the pacer and the sender.

use std::time::Duration;

/// The parameters of one case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) streams: usize,
    pub(super) bytes: usize,
    pub(super) ahead: u64,
    pub(super) length: Duration,
    pub(super) runs: u8,
}
