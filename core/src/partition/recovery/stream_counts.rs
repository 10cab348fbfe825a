//! Bounds of the stream count of a partition, from which a recovery derives numbers that were never assigned. Pure.
//!
//! If created streams may be unknown, the count advances to [`bound`], which depends on the epoch and the log index
//! alone. Each recovery therefore has a range of numbers of its own, even if all stored counts are lost. Used by the
//! replay.

use minerva_proto::{LogIndex, StreamNumber};

/// Streams that one log entry can create: at least the number of mails in one turn.
pub(in crate::partition) const PER_ENTRY: u64 = 1 << 10;

/// The least advance that [`is_jump`] detects, far above the streams that a partition creates during the idle limit.
const LEAST_JUMP: u64 = 1 << 32;

/// Epochs with [`LEAST_JUMP`] numbers each. The later ones share as many numbers.
const WIDE_EPOCHS: u64 = 1 << 14;

/// Numbers of each later epoch.
const NARROW_JUMP: u64 = 1 << 14;

/// No partition reaches a greater count by itself.
const MAX_BOUND: u64 = StreamNumber::MAX_COUNT / 4 * 3;

/// The greatest stream count that any owner up to `epoch` can reach with a log that ends at `next`.
///
/// An owner starts at most at the bound of its own epoch and of the log end at its claim. Each entry then raises the
/// bound by at least the number of streams that the entry creates.
pub(super) fn bound(epoch: u64, next: LogIndex) -> u64 {
    let wide = epoch.min(WIDE_EPOCHS) * LEAST_JUMP;
    let later = epoch.saturating_sub(WIDE_EPOCHS).min(WIDE_EPOCHS * LEAST_JUMP / NARROW_JUMP);
    let narrow = later * NARROW_JUMP;
    (wide + narrow).saturating_add(next.0.saturating_mul(PER_ENTRY)).min(MAX_BOUND)
}

/// A stream count for an owner that knows `made` streams: no greater number was assigned by an earlier owner.
///
/// Behind [`WIDE_EPOCHS`] epochs, the distance to `made` keeps the advance recognizable for [`is_jump`].
pub(super) fn jump(made: u64, epoch: u64, next: LogIndex) -> u64 {
    let left = StreamNumber::MAX_COUNT.saturating_sub(made);
    bound(epoch, next).max(made + LEAST_JUMP.min(left / 2))
}

/// Returns true if the stream count advanced from `before` to `after` because created streams were unknown.
pub(in crate::partition) fn is_jump(before: u64, after: u64) -> bool {
    after.saturating_sub(before) >= LEAST_JUMP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_two_recoveries_are_disjoint_without_any_stored_count() {
        for epoch in [1, 2, 100, WIDE_EPOCHS - 2, WIDE_EPOCHS, 1 << 20, 1_800_000_000] {
            for next in [0, 1, 1 << 20] {
                let made = jump(0, epoch, LogIndex(next));
                let entries = 1000;
                let used = made + entries * PER_ENTRY;
                let later = jump(0, epoch + 1, LogIndex(next + entries));
                assert!(later > used, "epoch {epoch} at {next}: {made} to {used}, then {later}");
            }
        }
    }

    #[test]
    fn a_lost_end_of_the_log_does_not_make_the_ranges_overlap() {
        let used = jump(0, 7, LogIndex(1 << 20)) + (1 << 20) * PER_ENTRY;
        assert!(jump(0, 8, LogIndex(0)) > used, "two million entries are lost");
    }

    #[test]
    fn every_jump_is_recognized_and_leaves_numbers() {
        for epoch in [1, WIDE_EPOCHS, WIDE_EPOCHS + 1, u64::MAX] {
            for made in [0, 5, bound(epoch, LogIndex(9)), MAX_BOUND] {
                let after = jump(made, epoch, LogIndex(9));
                assert!(is_jump(made, after), "epoch {epoch} from {made} to {after}");
                assert!(after < StreamNumber::MAX_COUNT - LEAST_JUMP, "{after}");
            }
        }
        assert!(!is_jump(5, 5 + LEAST_JUMP - 1) && is_jump(5, 5 + LEAST_JUMP));
    }
}
