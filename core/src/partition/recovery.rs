//! Recovery of a partition: the stored checkpoint with the log applied.
//!
//! `StreamState::apply` replays the records, as in a running stream. A stream that misses a part of the stored state is
//! quarantined: the stream ends with `state lost`, and the others are served. Used after a claim, and by the inspection
//! of a store; pure.

mod checkpoint_check;
mod claimed_checkpoint;
mod damage;
mod forgotten_stream;
mod lost_stream;
mod replay;
mod stream_counts;
#[cfg(test)]
mod tests;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use crate::state::{DecodeError, Meta, StoreRollback, StoredSnapshots, StreamState, sealed_epoch};
use crate::store::{Claim, Claimed, Epoch};

pub(crate) use claimed_checkpoint::ClaimedCheckpoint;
pub use damage::Damage;
pub(super) use forgotten_stream::ForgottenStream;
pub(crate) use lost_stream::lost_state;
pub(super) use lost_stream::{expire_placeholders, is_placeholder};
pub(super) use stream_counts::{PER_ENTRY, is_jump};

use damage::damaged;
use replay::Replay;

/// The recovered state of a claimed partition.
#[derive(Debug)]
pub struct Recovered {
    pub(super) epoch: Epoch,
    /// The last claims, this one included.
    pub(super) claims: Vec<Claim>,
    pub(super) streams: BTreeMap<StreamNumber, StreamState>,
    /// Streams changed since the checkpoint, including removed ones.
    pub(super) changed: BTreeSet<StreamNumber>,
    /// State of the partition beside the streams.
    pub(super) meta: Meta,
    /// Bytes of the log.
    pub(super) log_bytes: usize,
    /// Index of the first log entry.
    pub(super) first_index: LogIndex,
    /// Index of the next log entry.
    pub(super) next_index: LogIndex,
    damage: Damage,
    /// The stored snapshots.
    pub(super) stored: StoredSnapshots,
    /// The claimed checkpoint; `None` without a readable meta blob.
    pub(super) checkpoint: Option<ClaimedCheckpoint>,
    /// Stored names of streams whose number is damaged.
    pub(super) damaged_names: Vec<Bytes>,
    /// Streams whose end was acknowledged since the checkpoint, the oldest first.
    pub(super) forgotten: Vec<ForgottenStream>,
}

/// The partition has an intact blob that this program cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{blob}: {error}")]
pub struct RecoveryError {
    blob: String,
    error: DecodeError,
}

impl Recovered {
    /// Restores the streams of a partition.
    ///
    /// # Errors
    /// If an intact blob requires a newer program. Damaged blobs are no error, see [`Recovered::damage`].
    pub fn from_claimed(partition: u32, claimed: &Claimed) -> Result<Self, RecoveryError> {
        let (mut meta, meta_damage) = read_meta(partition, claimed)?;
        let has_meta = meta_damage.is_none();
        let mut replay = Replay::new(partition, claimed, &meta);
        for (number, blob) in &claimed.streams {
            replay.restore(*number, blob)?;
        }
        let checkpoint = claimed.meta.as_ref().filter(|_| has_meta).and_then(|blob| {
            let (stored, damaged) = (replay.stored.clone(), replay.unreadable_snapshots());
            ClaimedCheckpoint::new(partition, blob, stored, damaged)
        });
        replay.begin_log(claimed.first_index);
        match meta.checkpoint.take() {
            Some(summary) => replay.check_checkpoint(&summary, claimed.first_index),
            None => replay.check_recorded_streams(claimed.streams.len() + claimed.unreadable.len()),
        }
        if meta_damage.is_some() {
            // Streams in front of the log may be missing, too.
            replay.miss_created();
        }
        for (index, blob) in (claimed.first_index.0..).map(LogIndex).zip(&claimed.log) {
            replay.replay(index, blob)?;
        }
        if let Some(cause) = meta_damage {
            let blob = claimed.meta.clone().unwrap_or_default();
            replay.damage.add_blob("meta", &blob, &cause);
            replay.miss_created();
        }
        for (name, blob) in &claimed.unreadable {
            replay.on_unreadable_number(name, blob);
        }
        let checkpointed = claimed.meta.as_ref().filter(|_| has_meta).and_then(sealed_epoch);
        replay.finish(checkpointed);
        let (streams_made, changed) = (replay.made, std::mem::take(&mut replay.changed));
        let stored = std::mem::take(&mut replay.stored);
        let accounted = replay.accounted;
        let forgotten = std::mem::take(&mut replay.forgotten);
        let created_tags = std::mem::take(&mut replay.created_tags);
        let (streams, mut damage) = replay.into_streams();
        keep_snapshots(&mut damage, claimed);
        let mut meta = Meta { streams_made, created_tags, ..meta };
        if damage.has_unknown_streams {
            note_loss(&mut meta, accounted);
        }
        Ok(Self {
            epoch: claimed.epoch,
            claims: claimed.claims.clone(),
            streams,
            changed,
            meta,
            log_bytes: claimed.log.iter().map(Bytes::len).sum(),
            first_index: claimed.first_index,
            next_index: claimed.next_index(),
            damage,
            stored,
            checkpoint,
            damaged_names: claimed.unreadable.iter().map(|(name, _)| name.clone()).collect(),
            forgotten,
        })
    }

    /// The damage that this recovery has found.
    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    /// The streams by number.
    pub(crate) fn streams(&self) -> &BTreeMap<StreamNumber, StreamState> {
        &self.streams
    }

    /// The claimed checkpoint, for a repair; `None` without a readable meta blob.
    pub(crate) fn checkpoint(&self) -> Option<&ClaimedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// The state of the partition beside the streams.
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// Decodes the meta blob; returns a default and the cause if the blob is damaged or missing.
fn read_meta(partition: u32, claimed: &Claimed) -> Result<(Meta, Option<String>), RecoveryError> {
    let Some(blob) = &claimed.meta else {
        // Every checkpoint writes the meta blob.
        let is_missing = claimed.first_index > LogIndex(0) || !claimed.streams.is_empty();
        return Ok((
            Meta::default(),
            is_missing.then(|| "the blob is missing, as after a reset".to_owned()),
        ));
    };
    let mut meta = match Meta::decode(partition, blob.clone()) {
        Ok(meta) => meta,
        Err(error) => return Ok((Meta::default(), Some(damaged("meta", error)?.to_string()))),
    };
    if let Some(rollback) = &mut meta.rollback {
        rollback.unwritten.take_if(|unwritten| !is_last_before(claimed, unwritten.epoch));
    }
    Ok((meta, None))
}

/// Returns true if the claim before this one has the given epoch.
fn is_last_before(claimed: &Claimed, epoch: u64) -> bool {
    let before = claimed.claims.iter().rev().find(|claim| claim.epoch != claimed.epoch);
    before.is_some_and(|claim| claim.epoch.0 == epoch)
}

/// Adds the intact snapshots of quarantined streams, which the next checkpoint replaces, to the blobs to keep aside.
fn keep_snapshots(damage: &mut Damage, claimed: &Claimed) {
    for (number, blob) in &claimed.streams {
        if damage.quarantined.contains(number) {
            damage.add_intact(format!("stream {number}"), blob);
        }
    }
}

/// Records in the meta blob that streams are lost of which the store has no id: the effect of a proven rollback to a
/// store with `made` streams.
fn note_loss(meta: &mut Meta, made: u64) {
    let rollback = meta.rollback.get_or_insert_with(|| StoreRollback {
        streams_made: made,
        remaining_ms: 0,
        tombstones: Vec::new(),
        unwritten: None,
    });
    // An earlier proven loss may have left fewer streams.
    let earlier = if rollback.is_proven() { rollback.streams_made } else { made };
    rollback.streams_made = earlier.min(made);
    // The next owner restricts the time to the idle limit.
    rollback.remaining_ms = u64::MAX;
}
