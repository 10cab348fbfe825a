//! `store quarantine`: ends one stream with `state lost`, or moves a whole partition aside.

use minerva_proto::StreamNumber;

use super::StoreCommandError;
use crate::clock;
use crate::partition::{Recovered, lost_state};
use crate::state::BlobContext;
use crate::store::{Claimed, Epoch, OperatorStore, StoreError};

/// Attempts to take a partition from a running core.
const ATTEMPTS: u32 = 20;

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
        let claimed = self.claim(store).await?;
        let result = self.write_lost_stream(store, &claimed, stream).await;
        store.release(self.partition, claimed.epoch).await?;
        result?;
        print(&format!("stream {stream} has ended with `state lost`\n"));
        Ok(())
    }

    /// Moves the whole partition aside.
    pub(super) async fn set_aside(
        &self,
        store: &dyn OperatorStore,
        print: &impl Fn(&str),
    ) -> Result<(), StoreCommandError> {
        let mut attempts = 1;
        loop {
            if self.force {
                self.fence(store).await?;
            }
            // The fenced core may have claimed again meanwhile.
            match store.reset_partition(self.partition).await {
                Err(StoreError::Held { .. }) if self.force && attempts < ATTEMPTS => attempts += 1,
                reset => break reset.map_err(|error| self.held(error))?,
            }
        }
        let partition = self.partition;
        print(&format!("partition {partition} is moved aside; all of its streams are lost\n"));
        Ok(())
    }

    /// Makes the epoch of the owner stale. A partition that cannot even be claimed has no owner.
    async fn fence(&self, store: &dyn OperatorStore) -> Result<(), StoreCommandError> {
        match self.claim(store).await {
            Ok(claimed) => Ok(store.release(self.partition, claimed.epoch).await?),
            Err(StoreCommandError::Store(StoreError::Corrupt(_))) => Ok(()),
            Err(error) => Err(error),
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
        let meta = claimed.meta.clone().unwrap_or_else(|| recovered.meta().encode(&context));
        let changed = vec![(stream, snapshot)];
        store.checkpoint(partition, claimed.epoch, claimed.first_index, meta, changed).await?;
        Ok(())
    }

    /// Claims the partition; with `force` in the name of the owner, whose epoch is then stale.
    async fn claim(&self, store: &dyn OperatorStore) -> Result<Claimed, StoreCommandError> {
        let mut name = format!("store-command-{}-{:x}", std::process::id(), clock::wall_ms());
        if self.force
            && let Some(owner) = store.inspect(self.partition).await?.owner
        {
            name = owner;
        }
        store.claim(self.partition, &name, Epoch(0)).await.map_err(|error| self.held(error))
    }

    fn held(&self, error: StoreError) -> StoreCommandError {
        if let StoreError::Held { owner, .. } = error {
            StoreCommandError::Held { owner, partition: self.partition }
        } else {
            error.into()
        }
    }
}
