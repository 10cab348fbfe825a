//! A store that went back in time under a living owner (a failover that lost writes, an older file put back):
//! the owner still knows everything, so it claims the partition again and writes all its streams anew. Then
//! what was under way is durable, and nobody has noticed anything but a pause.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Partition, Setup};
use crate::clock;
use crate::store::{Claimed, Epoch, StoreError};

/// Pause before another try to claim.
const PAUSE: Duration = Duration::from_millis(100);

impl Partition {
    /// Writes everything anew, under a new epoch. What is under way in the gate may be said afterwards.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if another core has claimed in between: what it has promised since the store went
    /// back stands, and we do not know it. Whatever else the store refuses for good.
    pub(super) async fn rescue(&mut self) -> Result<(), StoreError> {
        let partition = self.setup.partition;
        tracing::warn!(partition, "the store went back in time; writing all streams anew");
        let claimed = claim_again(&self.setup, self.gate.epoch).await?;
        self.setup.last_epoch.fetch_max(claimed.epoch.0, Ordering::Relaxed);
        if !self.lineage.has_all_of(&claimed, self.gate.epoch) {
            tracing::warn!(partition, "another core has served it since; its streams stand");
            self.lease.restart(claimed.epoch);
            self.lease.release().await;
            return Err(StoreError::Fenced);
        }
        let (first, next) = (claimed.first_index, claimed.next_index());
        self.lease.restart(claimed.epoch);
        self.owner.epoch = claimed.epoch;
        // It is in what is written now.
        self.unhurried.take();
        self.rewrite(&claimed);
        while self.checkpoints.is_under_way() {
            tokio::select! {
                biased;
                renewed = self.lease.renew(first) => renewed?,
                step = self.checkpoints.next(next) => self.count_checkpoint(step?),
            }
        }
        self.gate.restart(claimed.epoch, next);
        tracing::info!(partition, epoch = %claimed.epoch, "all streams are stored again");
        Ok(())
    }

    fn rewrite(&mut self, claimed: &Claimed) {
        let numbers = self.owner.numbers();
        let saved = numbers.iter().filter_map(|&number| Some((number, self.owner.save(number)?)));
        let streams = saved.collect();
        let stored: BTreeSet<u64> = claimed.streams.iter().map(|(number, _)| *number).collect();
        let gone = stored.difference(&numbers).copied().collect();
        let indexes = (claimed.first_index, claimed.next_index());
        let meta = self.owner.meta((self.setup.clock)());
        self.checkpoints.rewrite(claimed.epoch, indexes, &meta, streams, gone);
    }
}

/// Claims under an epoch above our own. A lease that came back from the past runs out; one that lasts longer
/// is renewed by a living core.
async fn claim_again(setup: &Setup, above: Epoch) -> Result<Claimed, StoreError> {
    let store = setup.store.clone();
    let mut give_up: Option<Instant> = None;
    loop {
        // An empty store would take any number from the next core that starts. Whoever set it up wrong may still
        // mend it: what we know is all there is.
        if let Err(error) = store.partitions(setup.count).await {
            tracing::error!(partition = setup.partition, %error, "cannot write the streams anew yet");
            sleep(10 * PAUSE).await;
            continue;
        }
        match store.claim(setup.partition, &setup.owner, above).await {
            Err(StoreError::Held { owner, left }) => {
                let now = clock::now();
                if now > *give_up.get_or_insert(now + left + 2 * PAUSE) {
                    tracing::warn!(partition = setup.partition, owner, "claimed by another core");
                    return Err(StoreError::Fenced);
                }
            }
            Err(StoreError::Unavailable(_)) => {}
            claimed => return claimed,
        }
        sleep(PAUSE).await;
    }
}
