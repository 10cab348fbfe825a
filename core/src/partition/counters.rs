//! Counters of all partitions of a process, exported by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::durability::Durability;
use crate::state::{Ended, EndedBy};
use crate::stream::{ABOVE_BUDGET, FAILED, IDLE, SILENT, SLOW};
use crate::unavailable as reason;

/// Gauges and counters, shared by all partitions of a process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Current streams, including ended ones that the application has not acknowledged.
    pub streams: AtomicU64,
    /// Currently attached transports.
    pub transports: AtomicU64,
    /// Current streams without an app instance.
    pub unserved: AtomicU64,
    /// Current streams whose app instance acknowledges nothing although more events wait.
    pub silent: AtomicU64,
    /// Current streams at which several app instances died, see `ISOLATED`.
    pub suspects: AtomicU64,
    /// Bytes of messages in the inboxes.
    pub inbox_bytes: AtomicU64,
    /// Bytes of messages in the outboxes.
    pub outbox_bytes: AtomicU64,
    /// Bytes of messages in the inboxes, behind gaps and in the outboxes.
    pub held_bytes: AtomicU64,
    /// Streams whose messages wait for room in the budget of their address or service.
    pub blocked: AtomicU64,
    /// Streams created. This counter and all below only grow.
    pub opened: AtomicU64,
    /// Ended streams by cause, see [`Counters::ENDED_BY`].
    pub ended: [AtomicU64; 9],
    /// Transports closed with a request to retry later.
    pub unavailable: AtomicU64,
    /// These transports by reason, see [`Counters::REFUSED_FOR`].
    pub refused: [AtomicU64; 13],
    /// Transports that replaced an open one of their stream.
    pub takeovers: AtomicU64,
    /// Transports killed for a protocol error.
    pub killed: AtomicU64,
    /// Sends refused for lack of room in the outbox.
    pub sends_refused: AtomicU64,
    /// Commands of app instances refused as invalid.
    pub commands_refused: AtomicU64,
    /// Ended streams that were forgotten without an acknowledgement of the application.
    pub forgotten: AtomicU64,
    /// Hellos for streams that the store does not hold at all, after a proven rollback.
    pub unrecorded: AtomicU64,
    /// Streams freed at their end because their service has never had an instance.
    pub freed_unserved: AtomicU64,
    /// Messages received from clients.
    pub messages_c2s: AtomicU64,
    /// Messages accepted from applications.
    pub messages_s2c: AtomicU64,
    /// Log entries appended.
    pub appends: AtomicU64,
    /// Bytes of the appended log entries.
    pub append_bytes: AtomicU64,
    /// Finished checkpoints.
    pub checkpoints: AtomicU64,
    /// Pending appends and responses of the store.
    pub(crate) durability: Durability,
}

impl Counters {
    /// Causes of the entries of `ended`: client, application, idle limit, slow client, lost state, a first message that
    /// selects no service, a silent application, an address above its budget, and dead app instances.
    pub const ENDED_BY: [&str; 9] =
        ["client", "app", "idle", "slow", "lost", "subprotocol", "silent", "budget", "failed"];

    /// Reasons of the entries of `refused`, see [`Counters::unavailable`]; the last one is any other reason.
    pub const REFUSED_FOR: [&str; 13] = [
        reason::BUSY,
        reason::NO_ROOM_BEHIND_GAP,
        reason::UNSERVED,
        reason::NO_APPLICATION,
        reason::TOO_MANY_STREAMS,
        reason::ADDRESS_FULL,
        reason::TOO_MANY_TRANSPORTS,
        reason::TOO_MANY_REJOINS,
        reason::TOO_MANY_BATCHES,
        reason::OLD_CORES,
        reason::KEYS,
        reason::NEW_OWNER,
        "other",
    ];

    pub(super) fn count_unavailable(&self, reason: &str) {
        add(&self.unavailable, 1);
        let known = Self::REFUSED_FOR.iter().position(|known| *known == reason);
        add(&self.refused[known.unwrap_or(Self::REFUSED_FOR.len() - 1)], 1);
    }

    pub(super) fn count_end(&self, ended: &Ended) {
        let cause = match (ended.by, ended.reset.reason.as_str()) {
            (EndedBy::Client, _) => 0,
            (EndedBy::App, _) => 1,
            (EndedBy::Core, IDLE) => 2,
            (EndedBy::Core, SLOW) => 3,
            (EndedBy::Core, ABOVE_BUDGET) => 7,
            (EndedBy::Core, _) if ended.is_loss() => 4,
            (EndedBy::Core, SILENT) => 6,
            (EndedBy::Core, FAILED) => 8,
            (EndedBy::Core, _) => 5,
        };
        add(&self.ended[cause], 1);
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

pub(super) fn subtract(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}

/// Replaces the share of one partition in a gauge of all partitions.
pub(super) fn replace(gauge: &AtomicU64, old: usize, new: usize) {
    add(gauge, new as u64);
    subtract(gauge, old as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_counted_by_its_reason() {
        // Without a partition's turn: the mailbox is full.
        let is_counted = |reason: &&&str| **reason != reason::OVERLOADED;
        for reason in reason::WAITS.map(|(reason, _)| reason).iter().filter(is_counted) {
            let counters = Counters::default();
            counters.count_unavailable(reason);
            let counts: Vec<_> = Counters::REFUSED_FOR.iter().zip(&counters.refused).collect();
            let counted: Vec<&str> = counts
                .iter()
                .filter(|(_, count)| count.load(Ordering::Relaxed) > 0)
                .map(|(reason, _)| **reason)
                .collect();
            assert_eq!(counted, [*reason]);
        }
    }
}
