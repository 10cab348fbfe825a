//! One stored partition with the result of a recovery that changes nothing. Read by the commands of the inspection.

use std::time::Duration;

use tokio::time::sleep;

use crate::partition::Recovered;
use crate::store::{Claimed, Epoch, OperatorStore, StoreError, StoredPartition};

/// Attempts to read a partition while the owner writes.
const ATTEMPTS: u32 = 20;

/// Pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(100);

/// A partition as found in the store.
pub(super) struct InspectedPartition {
    pub(super) number: u32,
    pub(super) stored: StoredPartition,
    /// The recovered streams, or the reason why this program cannot read the partition.
    pub(super) recovered: Result<Recovered, String>,
}

impl InspectedPartition {
    /// Reads and recovers a partition.
    pub(super) async fn read(store: &dyn OperatorStore, number: u32) -> Result<Self, StoreError> {
        let mut attempts = 1;
        let stored = loop {
            match store.inspect(number).await {
                Err(StoreError::Unavailable(_)) if attempts < ATTEMPTS => sleep(PAUSE).await,
                stored => break stored?,
            }
            attempts += 1;
        };
        Ok(Self::of(number, stored))
    }

    /// Recovers a partition that was read.
    pub(super) fn of(number: u32, stored: StoredPartition) -> Self {
        let recovered = Recovered::from_claimed(number, &claimed(&stored));
        Self { number, stored, recovered: recovered.map_err(|error| error.to_string()) }
    }

    /// Bytes of all blobs.
    pub(super) fn bytes(&self) -> usize {
        let StoredPartition { meta, streams, unreadable, log, .. } = &self.stored;
        let streams = streams.iter().map(|(_, blob)| blob).chain(unreadable.iter().map(|(_, b)| b));
        meta.iter().chain(streams).chain(log).map(bytes::Bytes::len).sum()
    }

    /// The damage, one text each.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.stored.problems.clone();
        problems.extend(match &self.recovered {
            Ok(recovered) => recovered.damage().causes.clone(),
            Err(error) => vec![error.clone()],
        });
        problems
    }
}

/// The stored data as the next owner would find it. A claim repairs the epoch by the claim history.
fn claimed(stored: &StoredPartition) -> Claimed {
    let last = stored.claims.last().map_or(Epoch(0), |last| last.epoch);
    Claimed {
        epoch: Epoch(stored.epoch.max(last).0.saturating_add(1)),
        claims: stored.claims.clone(),
        meta: stored.meta.clone(),
        streams: stored.streams.clone(),
        unreadable: stored.unreadable.clone(),
        first_index: stored.first_index,
        log: stored.log.clone(),
        recorded: stored.recorded,
    }
}
