//! Where partitions keep what must not be lost. This file is the contract between the core and any
//! store; [`memory`], [`redb`] and [`redis`] implement it and one suite (`tests/store_contract.rs`) runs
//! over all. Called by the partition tasks and by the core's start. A store knows partitions, epochs, logs
//! and blobs; it refuses to know what is inside a blob.
//!
//! # What every store promises
//!
//! *The data of a partition* are an epoch, a log and a checkpoint. The log is blobs with consecutive
//! indexes that count up for ever from 0; the checkpoint is one meta blob and one blob per stream. The
//! state of the partition is the checkpoint with the log applied to it.
//!
//! *Fencing.* Each [`Store::claim`] that succeeds makes a new epoch, greater than all before it. From
//! then on a call with an older epoch fails with [`StoreError::Fenced`] and changes nothing. Only the
//! epoch fences: a lease that ran out makes a claim by another owner possible, and nothing else.
//!
//! *Atomicity.* Each call happens as a whole or not at all, whatever dies in the middle of it.
//!
//! *Order.* The calls for one partition take effect in the order in which they were made (the function
//! was called; when the future is polled does not matter). So several may be under way. There is no
//! order between partitions.
//!
//! *Durability.* What succeeded survives a crash of the owner and of the store as far as the store is
//! durable at all: `redb` synchronises its file first, `redis` does what its server is set to do,
//! `memory` keeps nothing beyond the process.
//!
//! *Repeating.* [`StoreError::Unavailable`] leaves open whether the call took effect. The caller makes
//! the same call again with the same arguments, in the same order if there are several; no harm comes
//! of it. Dropping a future does not take its call back.

mod claims;
mod doctor;
mod head;
mod leases;
pub mod memory;
pub(crate) mod metered;
pub mod redb;
pub mod redis;
mod url;

pub use claims::{CLAIMS_KEPT, Claim};
pub use doctor::doctor;
pub use url::{StoreUrl, StoreUrlError, open};

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Longest blob, and most bytes in one checkpoint call, that a store has to take: above what a partition
/// writes in one step (8 MiB and one stream), far below the limits of redb (3 GiB) and Redis (512 MiB).
pub const MAX_BLOB: usize = 32 << 20;

/// Most partitions that there can be: a partition number has the top 16 bits of a stream's number.
pub const MAX_PARTITIONS: u32 = 1 << 16;

/// The lease that a claim begins with. The owner renews it well before it ends.
pub const FIRST_LEASE: Duration = Duration::from_secs(10);

/// Counts the owners of a partition; the first has 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A core that lives, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The name with which it claims: no other process has it.
    pub name: String,
    /// It owns partitions only while there is no core that is none.
    pub is_standby: bool,
}

/// What a beat finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Living {
    /// The cores whose time is not over, this one included, by name.
    pub members: Vec<Member>,
    /// The number of this core's last beat before this one; 0 if it was not on the list, or its time was over.
    /// Less than the number of a beat that has succeeded: that was lost, or was too long ago.
    pub last: u64,
}

/// A store of partitions. See the module for what holds for every call.
pub trait Store: Send + Sync + 'static {
    /// Fixes the number of partitions at the first use of the store; afterwards confirms it. Returns the
    /// number.
    ///
    /// # Errors
    /// [`StoreError::Config`] if `wanted` is not 1 to [`MAX_PARTITIONS`], or if the store was begun with
    /// another number; it names both and says what to do.
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<u32, StoreError>>;

    /// Puts a core on the list of those that live, for `lease` from now on; zero takes it off. `number` counts
    /// the beats of one core, from 1. Calls of this kind take effect in their order.
    ///
    /// # Errors
    /// As for every call.
    fn beat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Living, StoreError>>;

    /// Makes `owner` the owner of a partition under a new epoch, with a lease of [`FIRST_LEASE`], and
    /// returns all that the partition has. `owner` is a name that no other process has, and that this
    /// one does not keep when it starts again. The new epoch is also greater than `above`, which is 0 or an
    /// epoch of which the caller knows although the store may have forgotten it.
    ///
    /// A repeated claim makes one more epoch, and the last one counts. A partition that was never used
    /// is empty.
    ///
    /// # Errors
    /// [`StoreError::Held`] if another owner's lease is alive: wait and claim again.
    /// [`StoreError::Corrupt`] if what is stored cannot be read.
    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>>;

    /// Puts a blob of at most [`MAX_BLOB`] bytes at the end of the log. `index` must be the next one:
    /// [`Claimed::next_index`] for the first append after a claim, then counting up.
    ///
    /// An index that the log has already succeeds if the content is the same, and an index that a
    /// checkpoint has trimmed succeeds always: only a repeated call can get there.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the index leaves a gap, [`StoreError::Conflict`] if it is taken by other
    /// content; neither changes anything.
    fn append(
        &self,
        partition: u32,
        epoch: Epoch,
        index: u64,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Replaces the checkpoint: `meta` as a whole, and the streams in `changed` (`None` removes one;
    /// all others stay as they are). Then trims the log: its first index becomes `covers`. All of
    /// it happens in one step. At most [`MAX_BLOB`] bytes in all.
    ///
    /// With a `covers` below the log's first index (a late repeat) nothing happens, which is a success.
    /// The owner has one checkpoint under way at a time.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if `covers` is beyond the end of the log.
    fn checkpoint(
        &self,
        partition: u32,
        epoch: Epoch,
        covers: u64,
        meta: Bytes,
        changed: Vec<(u64, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Makes the owner's lease end `lease` from now. Succeeds also when it has run out, as long as nobody
    /// else has claimed the partition. `next` is an index that the owner knows the log to have reached.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the log ends before `next`: then the lease stays as it is.
    fn renew(
        &self,
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Ends the owner's lease, so that another one can claim at once. The owner MUST NOT write after it.
    ///
    /// # Errors
    /// As for every call.
    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// What a partition has when it is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The owner's epoch, for all its calls.
    pub epoch: Epoch,
    /// The last [`CLAIMS_KEPT`] claims, this one last.
    pub claims: Vec<Claim>,
    /// The checkpoint's meta blob; `None` if there never was a checkpoint.
    pub meta: Option<Bytes>,
    /// The checkpoint's streams, each number once, in rising order.
    pub streams: Vec<(u64, Bytes)>,
    /// Index of the first blob in `log`.
    pub first_index: u64,
    /// The log, in order and without a gap.
    pub log: Vec<Bytes>,
}

impl Claimed {
    /// The index that the next append has.
    pub fn next_index(&self) -> u64 {
        self.first_index + self.log.len() as u64
    }
}

/// Why a store did not do something. Whose fault it is says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another owner has claimed the partition: stop serving it, at once and for good.
    #[error("another owner has claimed the partition")]
    Fenced,
    /// Another owner's lease is alive: claim again later. Only from [`Store::claim`].
    #[error("`{owner}` holds the partition for another {} ms", .left.as_millis())]
    Held {
        /// The other owner.
        owner: String,
        /// How long its lease lasts from now on.
        left: Duration,
    },
    /// The store has less than the caller was promised: its log ends before the given index, or its epoch
    /// is older than the given one. It went back in time, or the caller left out an index.
    #[error("the store is behind: its log ends at {next}")]
    Behind {
        /// The index that the next append would have.
        next: u64,
    },
    /// The log has other content at this index: two writers with one epoch, which is a defect.
    #[error("the log has other content at index {index}")]
    Conflict {
        /// The index.
        index: u64,
    },
    /// More than [`MAX_BLOB`] bytes in one call.
    #[error("{bytes} bytes are more than a store takes in one call")]
    TooLarge {
        /// What was given.
        bytes: usize,
    },
    /// The store cannot be reached or cannot write (disk full): repeat the call after a pause.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read: an operator has to look at it.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// The deployment is wrong; the text says what and what to do.
    #[error("{0}")]
    Config(String),
}

/// Counts the bytes of a checkpoint call, for [`MAX_BLOB`].
fn check_size(bytes: impl IntoIterator<Item = usize>) -> Result<(), StoreError> {
    let bytes = bytes.into_iter().sum();
    if bytes > MAX_BLOB { Err(StoreError::TooLarge { bytes }) } else { Ok(()) }
}

/// The check of [`Store::partitions`], the same in every store.
fn check_partitions(stored: Option<u32>, wanted: u32) -> Result<u32, StoreError> {
    if !(1..=MAX_PARTITIONS).contains(&wanted) {
        let text = format!("--partitions {wanted}: must be 1 to {MAX_PARTITIONS}");
        return Err(StoreError::Config(text));
    }
    match stored {
        Some(stored) if stored != wanted => Err(StoreError::Config(format!(
            "--partitions {wanted}: the store was begun with {stored} partitions, which cannot change; \
             use --partitions {stored} or an empty store"
        ))),
        Some(_) | None => Ok(wanted),
    }
}
