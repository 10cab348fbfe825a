//! `store quarantine`: ends one stream with `state lost`, or moves a whole partition aside.

use std::time::Duration;

use minerva_proto::StreamNumber;
use tokio::time::sleep;

use super::StoreCommandError;
use crate::clock;
use crate::partition::{Recovered, lost_state};
use crate::state::BlobContext;
use crate::store::{Claimed, Epoch, OperatorStore, StoreError};

/// Attempts to take a partition from a running core.
const ATTEMPTS: u32 = 60;

/// The longest pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(500);

/// The partition to repair.
pub(super) struct Target {
    pub(super) partition: u32,
    /// Take the partition from a core that holds it.
    pub(super) force: bool,
}

impl Target {
    /// Ends a stream with `state lost` and keeps the snapshot aside.
    ///
    /// The new snapshot includes all log entries, so a damaged record of the stream does no more harm.
    pub(super) async fn end_stream(
        &self,
        store: &dyn OperatorStore,
        stream: StreamNumber,
        print: &impl Fn(&str),
    ) -> Result<(), StoreCommandError> {
        let name = own_name();
        let mut attempts = 1;
        loop {
            let claimed = self.claim(store, &name).await?;
            let result = self.write_lost_stream(store, &claimed, stream).await;
            let released = store.release(self.partition, claimed.epoch).await;
            match result.and(released.map_err(StoreCommandError::Store)) {
                // The core has claimed the partition again meanwhile, and has changed what was read.
                Err(StoreCommandError::Store(StoreError::Fenced))
                    if self.force && attempts < ATTEMPTS =>
                {
                    attempts += 1;
                }
                result => break result?,
            }
        }
        print(&format!("stream {stream} has ended with `state lost`\n"));
        Ok(())
    }

    /// Moves the whole partition aside.
    pub(super) async fn set_aside(
        &self,
        store: &dyn OperatorStore,
        print: &impl Fn(&str),
    ) -> Result<(), StoreCommandError> {
        let name = own_name();
        let mut attempts = 1;
        loop {
            if self.force {
                self.fence(store, &name).await?;
            }
            // The core may have claimed again meanwhile. The owner of an unreadable head cannot renew the lease.
            match store.reset_partition(self.partition).await {
                Err(StoreError::Held { left, .. }) if self.force && attempts < ATTEMPTS => {
                    attempts += 1;
                    sleep(left.min(PAUSE)).await;
                }
                reset => break reset.map_err(|error| self.held(error))?,
            }
        }
        let partition = self.partition;
        print(&format!("partition {partition} is moved aside; all of its streams are lost\n"));
        Ok(())
    }

    /// Makes the epoch of the owner stale and ends the lease. An unreadable partition cannot be claimed.
    async fn fence(&self, store: &dyn OperatorStore, name: &str) -> Result<(), StoreCommandError> {
        let claimed = match self.claim(store, name).await {
            Err(StoreCommandError::Store(StoreError::Corrupt(_))) => return Ok(()),
            claimed => claimed?,
        };
        match store.release(self.partition, claimed.epoch).await {
            Ok(()) | Err(StoreError::Fenced) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn write_lost_stream(
        &self,
        store: &dyn OperatorStore,
        claimed: &Claimed,
        stream: StreamNumber,
    ) -> Result<(), StoreCommandError> {
        let partition = self.partition;
        let newer = |text: String| StoreCommandError::Newer { partition, text };
        let recovered = Recovered::from_claimed(partition, claimed)
            .map_err(|error| newer(error.to_string()))?;
        let Some(lost) =
            recovered.streams().get(&stream).map(|state| lost_state(stream, Some(state)))
        else {
            let text = format!("partition {partition} has no stream {stream}");
            return Err(StoreCommandError::NotFound(text));
        };
        let name = format!("stream {stream}");
        let stored = claimed.streams.iter().find(|(number, _)| *number == stream);
        let blobs = stored.map(|(_, blob)| (name, blob.clone())).into_iter().collect();
        store.quarantine(partition, claimed.epoch, blobs).await?;
        // Content that every reader understands.
        let context = BlobContext { partition, epoch: claimed.epoch.0, ..BlobContext::default() };
        let as_of = claimed.next_index();
        let snapshot = lost.map(|lost| lost.snapshot().encode(&context, stream, as_of));
        let as_of = snapshot.as_ref().map(|_| as_of);
        let meta = match recovered.checkpoint().cloned() {
            Some(mut checkpoint) => {
                checkpoint.replace(stream, as_of);
                checkpoint.encode()
            }
            // A damaged blob remains: the next owner finds its damage.
            None => claimed.meta.clone().unwrap_or_else(|| recovered.meta().encode(&context)),
        };
        let changed = vec![(stream, snapshot)];
        store
            .checkpoint(partition, claimed.epoch.into(), claimed.first_index, meta, changed)
            .await?;
        Ok(())
    }

    /// Claims the partition. With `force`, a claim in the name of the owner makes its epoch stale, and its release lets
    /// this command claim: the core then cannot claim before the command is finished.
    async fn claim(
        &self,
        store: &dyn OperatorStore,
        name: &str,
    ) -> Result<Claimed, StoreCommandError> {
        let mut attempts = 1;
        loop {
            let owner = match store.claim(self.partition, name, Epoch(0)).await {
                Err(StoreError::Held { owner, .. }) if self.force && attempts < ATTEMPTS => owner,
                claimed => return claimed.map_err(|error| self.held(error)),
            };
            attempts += 1;
            let fenced = match store.claim(self.partition, &owner, Epoch(0)).await {
                Ok(claimed) => store.release(self.partition, claimed.epoch).await,
                Err(error) => Err(error),
            };
            match fenced {
                // Another claim of a core came first.
                Ok(()) | Err(StoreError::Fenced | StoreError::Held { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn held(&self, error: StoreError) -> StoreCommandError {
        if let StoreError::Held { owner, .. } = error {
            StoreCommandError::Held { owner, partition: self.partition }
        } else {
            error.into()
        }
    }
}

/// The owner name of this command.
fn own_name() -> String {
    format!("store-command-{}-{:x}", std::process::id(), clock::wall_ms())
}
