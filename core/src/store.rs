//! The store contract: durable data of partitions, behind one trait with several implementations.
//!
//! [`memory`], [`redb`] and [`redis`] implement [`Store`]; one suite (`tests/store_contract.rs`) tests all of them.
//! The ownership task and the partition tasks are the callers; [`OperatorStore`] adds the calls of `minerva-core store`.
//! A store handles partitions, epochs, logs and blobs; the content of a blob is opaque.
//!
//! # Guarantees of every store
//!
//! *Data of a partition:* an epoch, a log and a checkpoint. The log is a sequence of blobs with consecutive indexes,
//! which count from 0 and are never reused. The checkpoint is one meta blob and one blob per stream. The state of the
//! partition is the checkpoint with the log applied.
//!
//! *Fencing:* each successful [`Store::claim`] creates an epoch greater than all epochs before. From then on a call
//! with an older epoch fails with [`StoreError::Fenced`] and changes nothing. Only the epoch fences; an expired lease
//! merely permits a claim by another owner.
//!
//! *Agreement:* an owner sends the state that the store must have, [`ExpectedState`]. A call that finds other bounds of
//! the log, or misses a confirmed checkpoint, fails with [`StoreError::Behind`] and changes nothing. So the loss of a
//! confirmed write and damage of the stored bounds never lead to a success without effect.
//!
//! *Atomicity:* each call takes effect as a whole or not at all, even if a process dies during the call.
//!
//! *Order:* calls for one partition take effect in call order. The order is fixed when the function is called, not
//! when the future is polled, so several calls may be in flight. Calls for different partitions are unordered.
//!
//! *Durability:* the effect of a successful call survives a crash of the owner, and a crash of the store as far as the
//! store is durable: `redb` syncs its file first, `redis` follows the configuration of its server, and
//! `memory` keeps nothing beyond the process.
//!
//! *Retries:* after [`StoreError::Unavailable`] the outcome of the call is unknown. The caller repeats the call with
//! the same arguments; several failed calls are repeated in their original order. A repeated call is harmless.
//! Dropping a future does not cancel the call.

mod claims;
mod copies;
mod data;
mod doctor;
mod error;
mod fault_log;
mod head;
mod layout;
mod leases;
pub mod memory;
pub(crate) mod metered;
mod password;
mod quarantine;
pub mod redb;
pub mod redis;
mod url;
mod version;

pub use data::{
    Claim, Claimed, ExpectedState, OwnerView, RecordedSizes, StoreFill, StoredPartition,
    StoredTokens,
};
pub use doctor::doctor;
pub use error::StoreError;
pub use layout::{HashKey, PartitionLayout};
pub use password::StorePassword;
pub use url::{StoreUrl, StoreUrlError, open};
pub(crate) use version::check_version;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use minerva_proto::{LogIndex, StreamNumber};

pub use crate::state::STORED_VERSION;

/// The longest blob, and the most bytes of one checkpoint call, that a store must accept.
///
/// A partition writes at most 8 MiB and one stream per step. redb accepts 3 GiB and Redis 512 MiB.
pub const MAX_BLOB: usize = 32 << 20;

/// The greatest number of partitions: a partition number occupies the upper 16 bits of a stream number.
pub const MAX_PARTITIONS: u32 = 1 << 16;

/// The lease granted by a claim. The owner renews the lease well before the end.
pub const FIRST_LEASE: Duration = Duration::from_secs(10);

/// Number of claims that a store keeps per partition.
pub const CLAIMS_KEPT: usize = 32;

/// The greatest number of API tokens, so that every core can hold all of them.
pub const MAX_TOKENS: usize = 1000;

/// Longest id of a token and longest record, in bytes.
const MAX_TOKEN: (usize, usize) = (64, 4096);

/// Fencing token of an owner. Each claim of a partition creates a greater one; the first claim creates 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A core in the membership.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Owner name in claims, unique among all processes.
    pub name: String,
    /// A standby core owns partitions only while no other core is live.
    pub is_standby: bool,
    /// The newest stored version that this core lets the deployment write. Cores of release 0.1 count as version 1.
    pub stored_version: u32,
}

/// Result of a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Members with an unexpired heartbeat by name, including the sender.
    pub members: Vec<Member>,
    /// Number of the sender's previous heartbeat; 0 if the store has none or that one has expired.
    ///
    /// A number below the last acknowledged heartbeat shows that the store lost writes or that the heartbeat expired.
    pub last_heartbeat: u64,
    /// The newest stored version that may be written: every live member has permitted this version once. A core must
    /// stop if the version exceeds [`STORED_VERSION`].
    pub stored_version: u32,
}

/// A stream to write in a checkpoint; `None` removes the stream.
pub type StreamChange = (StreamNumber, Option<Bytes>);

/// A store of partitions. The module documentation states the guarantees of all calls.
pub trait Store: Send + Sync + 'static {
    /// Fixes the number of partitions at the first use of the store. Later calls check and return the stored layout.
    ///
    /// A new store gets a random hash key; all callers get the same key. A store that has lost its layout gets the
    /// layout that this handle has returned before.
    ///
    /// # Errors
    /// [`StoreError::Config`] if `wanted` is not 1 to [`MAX_PARTITIONS`], if the store has another number of
    /// partitions, or if the stored version exceeds [`STORED_VERSION`]; the text contains both numbers and the fix.
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>>;

    /// Adds a core to the membership for `lease` from now on; a zero lease removes the core.
    ///
    /// `number` counts the heartbeats of one core from 1. Heartbeats take effect in call order.
    ///
    /// The same step raises the stored version to the lowest [`Member::stored_version`] of all live members, if
    /// that is greater and the sender's heartbeats have arrived without a gap for two leases: after an outage, other
    /// living cores may not have returned yet. A store that a single process can open does not wait. The stored
    /// version never falls.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>>;

    /// Makes `owner` the owner of a partition under a new epoch with a lease of [`FIRST_LEASE`], and returns the data.
    ///
    /// `owner` is a name unique to one run of one process. The new epoch exceeds `above`: 0, or an epoch known to the
    /// caller, which the store may have lost. A repeated claim creates a further epoch, and the last one is valid. The
    /// history keeps only the last of such claims with an epoch above `above`, which the caller never received. An
    /// unused partition is empty.
    ///
    /// # Errors
    /// [`StoreError::Held`] if the lease of another owner has not expired; the caller claims again later.
    /// [`StoreError::Corrupt`] if the stored data is unreadable.
    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>>;

    /// Appends a blob of at most [`MAX_BLOB`] bytes to the log.
    ///
    /// `index` must be the next index: [`Claimed::next_index`] for the first append after a claim, then counting up.
    /// An append of an existing index succeeds if the content is equal. An append of a trimmed index always succeeds,
    /// because only a repeated call can carry such an index.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the index would leave a gap or the store has another state than expected,
    /// [`StoreError::Conflict`] if the log has other content at this index, [`StoreError::Full`] if the store has no
    /// memory. None of them changes anything.
    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Appends as [`Store::append`], but never fails with [`StoreError::Full`]: a checkpoint that releases more memory
    /// follows.
    ///
    /// The default suffices for a store that never returns [`StoreError::Full`].
    ///
    /// # Errors
    /// As [`Store::append`], except [`StoreError::Full`].
    fn append_to_full(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.append(partition, owner, index, blob)
    }

    /// Writes a checkpoint and trims the log in one step, with at most [`MAX_BLOB`] bytes in all.
    ///
    /// Replaces the meta blob and the blobs of the streams in `changed`; `None` removes a stream, and all other
    /// streams are unchanged. Then `covers` becomes the first index of the log. A `covers` below the first index is a
    /// late repetition: the call succeeds without effect. An owner has one checkpoint call in flight at a time.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if `covers` is beyond the end of the log, or the store has another state than expected.
    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Writes a checkpoint as [`Store::checkpoint`] that also covers appends which the store has refused with
    /// [`StoreError::Full`]: `covers` may exceed the end of the log, which is empty then. Appends below `covers` succeed
    /// afterwards without effect. A full store performs this call.
    ///
    /// The default suffices for a store that never returns [`StoreError::Full`].
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the store has another state than expected.
    fn checkpoint_beyond_log(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.checkpoint(partition, owner, covers, meta, changed)
    }

    /// Extends the owner's lease to end `lease` from now.
    ///
    /// Succeeds even after the lease has expired, unless another owner has claimed the partition. `next` is a next
    /// index that the log must have reached, as the owner's proof against a rollback.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the log ends before `next`, or the store has another state than expected; the lease is
    /// unchanged.
    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Ends the owner's lease, so that another owner can claim immediately. The owner MUST NOT write afterwards.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Keeps damaged blobs aside under names such as `stream 17`, `entry 1234` or `meta`, with at most [`MAX_BLOB`]
    /// bytes in one call.
    ///
    /// A blob replaces an earlier one of the same name, so a repeated call is harmless. Each partition keeps at most
    /// 1,000 blobs and 64 MiB; the oldest blobs beyond a limit are dropped. Other data is unchanged.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// The used memory of the store and its limit; `None` if the store has no limit of its own, as in the default.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn fill(&self) -> BoxFuture<'static, Result<Option<StoreFill>, StoreError>> {
        ready(Ok(None)).boxed()
    }

    /// The API tokens, if their version is not `known`; the default is a store without tokens.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn tokens(&self, _known: u64) -> BoxFuture<'static, Result<Option<StoredTokens>, StoreError>> {
        ready(Ok(None)).boxed()
    }

    /// Removes stream blobs whose stored number is damaged, see [`Claimed::unreadable`].
    ///
    /// The effect of the default is none, for stores that keep numbers in no damageable form.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn discard(
        &self,
        _partition: u32,
        _epoch: Epoch,
        _names: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }
}

/// The operations of a store for an operator, who inspects and repairs partitions. A serving core uses none of them.
pub trait OperatorStore: Store {
    /// The stored number of partitions; `None` in an unused store. Changes nothing.
    ///
    /// # Errors
    /// Only the errors of every call.
    fn partition_count(&self) -> BoxFuture<'_, Result<Option<u32>, StoreError>>;

    /// Reads the data of a partition without a claim, also while an owner serves the partition. Changes nothing.
    ///
    /// Damage of the head is part of the result, as [`StoredPartition::problems`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also if the owner writes faster than the data can be read; repeat the call.
    fn inspect(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>>;

    /// Reads the data that the last [`OperatorStore::reset_partition`] has moved aside; empty without a reset.
    ///
    /// # Errors
    /// As [`OperatorStore::inspect`].
    fn inspect_aside(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>>;

    /// Moves the data of an unreadable partition aside, so that the partition can be claimed again.
    ///
    /// The partition then has no meta blob, no streams and no log. Its epoch exceeds all earlier epochs, and its first
    /// index exceeds all earlier indexes and 0: a first index above 0 without a meta blob shows the reset to the next
    /// owner. The claim history and the quarantine are kept. The data of an earlier reset is dropped, but a repeated
    /// reset of a partition without any data changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Held`] while an owner has an unexpired lease.
    fn reset_partition(&self, partition: u32) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Adds or replaces an API token, or removes the token with `None`; returns whether there was such a token. The same
    /// step changes the version of the tokens. A repeated call is harmless.
    ///
    /// The default is a store without tokens.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the store has [`MAX_TOKENS`] other tokens, or id or record are too long.
    fn set_token(
        &self,
        _id: &str,
        _record: Option<Bytes>,
    ) -> BoxFuture<'static, Result<bool, StoreError>> {
        ready(Err(StoreError::Config("this store keeps no tokens".to_owned()))).boxed()
    }
}

/// Checks the lengths of an API token.
fn check_token(id: &str, record: Option<&Bytes>) -> Result<(), StoreError> {
    let (max_id, max_record) = MAX_TOKEN;
    if (1..=max_id).contains(&id.len())
        && record.is_none_or(|r| (1..=max_record).contains(&r.len()))
    {
        return Ok(());
    }
    let text =
        format!("a token has an id of 1 to {max_id} and a record of 1 to {max_record} bytes");
    Err(StoreError::Config(text))
}

fn too_many_tokens() -> StoreError {
    let text = format!("the store has {MAX_TOKENS} tokens: revoke tokens that are not used");
    StoreError::Config(text)
}

/// A new version of the tokens, different from all earlier ones and from 0.
///
/// A counter would repeat after a rollback of the store, and cores would miss a change.
fn random_version() -> Result<u64, StoreError> {
    let key = layout::random_key()?;
    let (high, _) = key.split_at(size_of::<u64>());
    Ok(high.iter().fold(0, |version, byte| version << 8 | u64::from(*byte)) | 1)
}

/// Checks the total size of a call against [`MAX_BLOB`].
fn check_size(bytes: impl IntoIterator<Item = usize>) -> Result<(), StoreError> {
    let bytes = bytes.into_iter().sum();
    if bytes > MAX_BLOB { Err(StoreError::TooLarge { bytes }) } else { Ok(()) }
}
