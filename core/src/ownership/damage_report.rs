//! The handling of damage that a recovery has found: damaged blobs are kept aside, then logged and counted.
//!
//! Called by the partition task between the recovery and the first turn, which replaces the damaged blobs.

use minerva_proto::LogIndex;
use minerva_runtime::recurring::RecurringFaults;
use std::sync::PoisonError;

use tokio::sync::watch;
use tokio::time::sleep;

use super::context::CoreContext;
use super::partition_task::STORE_PAUSE;
use crate::clock;
use crate::partition::Damage;
use crate::store::{Epoch, FIRST_LEASE, StoreError};

/// Bytes of damaged blobs in one store call; a single blob may be larger.
const QUARANTINE_BYTES: usize = 8 << 20;

/// Log lines of the process about refused copies.
static FAULTS: RecurringFaults = RecurringFaults::new();

/// The recovery of one partition with damage.
pub(super) struct DamageReport<'a> {
    pub(super) context: &'a CoreContext,
    pub(super) partition: u32,
    pub(super) epoch: Epoch,
    pub(super) damage: &'a Damage,
}

impl DamageReport<'_> {
    /// Keeps the damaged blobs aside while the partition is `wanted`, and reports the damage.
    ///
    /// A store that works and refuses the copies, as a full Redis does, does not delay the recovery: the checkpoint that
    /// replaces the damaged blobs frees memory.
    ///
    /// # Errors
    /// If another core has claimed the partition, or the store is unavailable and the partition no longer wanted.
    pub(super) async fn keep_and_report(
        &self,
        wanted: &watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        for blobs in self.damage.batches(QUARANTINE_BYTES) {
            if let Some(reason) = self.keep(blobs, wanted).await? {
                self.warn_refused(&reason);
                break;
            }
        }
        self.report();
        Ok(())
    }

    /// Keeps blobs aside, with retries. Returns the reason if the store refuses them although it grants a renewal of the
    /// lease in between.
    async fn keep(
        &self,
        blobs: Vec<(String, bytes::Bytes)>,
        wanted: &watch::Receiver<bool>,
    ) -> Result<Option<String>, StoreError> {
        let (store, partition, epoch) = (&self.context.store, self.partition, self.epoch);
        let mut has_renewed = false;
        loop {
            let reason = match store.quarantine(partition, epoch, blobs.clone()).await {
                // The store accepts no blob of this size, and has stored none.
                Ok(()) | Err(StoreError::TooLarge { .. }) => return Ok(None),
                Err(StoreError::Unavailable(reason)) if has_renewed => return Ok(Some(reason)),
                Err(StoreError::Unavailable(reason)) if *wanted.borrow() => reason,
                Err(error) => return Err(error),
            };
            tracing::debug!(partition, reason, "damaged blobs are not kept aside yet");
            sleep(STORE_PAUSE).await;
            match store.renew(partition, epoch.into(), FIRST_LEASE, LogIndex(0)).await {
                Ok(()) => has_renewed = true,
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn warn_refused(&self, reason: &str) {
        let Some(recoveries) = FAULTS.record("refused", clock::now().into_std()) else { return };
        tracing::warn!(
            partition = self.partition,
            recoveries,
            reason,
            "the store refuses to keep damaged blobs aside; the recovery goes on without"
        );
    }

    /// Logs and counts the damage of a recovery.
    fn report(&self) {
        let Self { context, partition, epoch, damage } = self;
        context.metrics.quarantined_streams.inc_by(damage.quarantined.len() as u64);
        let figures = [damage.quarantined.len(), damage.kept, damage.count];
        let mut reported = context.reported_damage.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.insert(*partition, figures) == Some(figures) {
            // A claim that failed after the last report is repeated.
            tracing::debug!(partition, %epoch, ?damage.causes, "stored state is damaged");
            return;
        }
        tracing::warn!(
            partition,
            %epoch,
            log_index_expected = damage.lost_end.map(|(_, expected)| expected.0),
            log_index_found = damage.lost_end.map(|(found, _)| found.0),
            streams_lost = damage.quarantined.len(),
            streams_kept = damage.kept,
            first_damaged_index = damage.first_index.map(|index| index.0),
            damaged = damage.count,
            first_cause = damage.first_cause(),
            "stored state is damaged; the affected streams end with `state lost`"
        );
    }
}
