//! Steps of the repair after a store rollback under a living owner.
//!
//! The owner still has the whole state, claims the partition again and writes all streams. Clients notice a
//! pause only. Called by the event loop.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::{LogIndex, StreamNumber};
use minerva_runtime::recurring::RecurringFaults;
use tokio::time::{Instant, sleep};

use super::gate::Gate;
use super::setup::PartitionSetup;
use super::streams::PartitionStreams;
use crate::clock;
use crate::state::Snapshot;
use crate::store::{Claimed, Epoch, StoreError};

/// Causes that delay or prevent a rewrite.
static FAULTS: RecurringFaults = RecurringFaults::new();

/// Pause before the next attempt to claim.
const PAUSE: Duration = Duration::from_millis(100);

/// Claims the partition with an epoch above `above`, the epoch of this owner.
///
/// A lease restored by the rollback expires; one that lasts longer is renewed by a living core.
///
/// # Errors
/// [`StoreError::Fenced`] if another core holds the partition. Other errors that a retry cannot resolve.
pub(super) async fn claim_again(
    setup: &PartitionSetup,
    above: Epoch,
) -> Result<Claimed, StoreError> {
    let store = setup.store.clone();
    // A repeated rollback may have lost the last claims, whose epochs must not be used again.
    let above = above.max(Epoch(setup.last_epoch.load(Ordering::Relaxed)));
    let mut give_up: Option<Instant> = None;
    loop {
        // An empty store would accept the partition count of any core that starts next, and an operator may still
        // correct a wrong one. The state of this owner is the only copy, so the claim is retried.
        if let Err(error) = store.partitions(setup.count).await {
            report_delay(setup.partition, &error.to_string());
            sleep(10 * PAUSE).await;
            continue;
        }
        match store.claim(setup.partition, &setup.owner, above).await {
            Err(StoreError::Held { owner, left }) => {
                let now = clock::now();
                if now > *give_up.get_or_insert(now + left + 2 * PAUSE) {
                    tracing::debug!(partition = setup.partition, owner, "claimed by another core");
                    return Err(StoreError::Fenced);
                }
            }
            Err(StoreError::Unavailable(_)) => {}
            claimed => return claimed,
        }
        sleep(PAUSE).await;
    }
}

/// Logs a rollback of the store under a living owner, with the log end that the owner knows and the one of the store.
pub(super) fn warn_rollback(partition: u32, gate: &Gate, found: LogIndex, streams: usize) {
    tracing::warn!(
        partition,
        epoch = %gate.epoch(),
        log_index_expected = gate.confirmed().0,
        log_index_found = found.0,
        streams_lost = 0,
        streams_kept = streams,
        "the store lost acknowledged writes; writing all streams again"
    );
}

/// Logs that another core has owned the partition since a rollback, at growing intervals for all partitions.
pub(super) fn warn_foreign_claim(partition: u32) {
    if let Some(partitions) = FAULTS.record("foreign claim", clock::now().into_std()) {
        let event = "another core has owned the partition since; its state stands";
        tracing::warn!(partition, partitions, "{event}");
    }
}

/// Logs a delayed rewrite, once per cause at growing intervals for all partitions.
fn report_delay(partition: u32, cause: &str) {
    if let Some(attempts) = FAULTS.record(cause, clock::now().into_std()) {
        tracing::error!(
            partition,
            cause,
            attempts,
            "cannot write the streams yet; this core has the only copy, do not stop it"
        );
    }
}

/// Snapshots of all streams, and the numbers of stored streams that no longer exist.
pub(super) fn streams_to_rewrite(
    streams: &PartitionStreams,
    claimed: &Claimed,
) -> (VecDeque<(StreamNumber, Snapshot)>, Vec<StreamNumber>) {
    let numbers = streams.numbers();
    let saved = numbers.iter().filter_map(|&number| Some((number, streams.snapshot(number)?)));
    let stored: BTreeSet<StreamNumber> =
        claimed.streams.iter().map(|(number, _)| *number).collect();
    (saved.collect(), stored.difference(&numbers).copied().collect())
}
