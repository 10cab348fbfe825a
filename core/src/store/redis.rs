//! The store in Redis or Valkey, for deployments with several cores: single server, Sentinel or Cluster.
//!
//! Each write is one Lua script that checks the epoch and is idempotent, as the script file explains; reads are plain
//! commands. This file translates store calls into commands. `routes` and `pipelined_connection` deliver them in order.

mod ask_all;
mod client;
mod cluster;
mod connection;
mod connector;
mod doctor;
mod error;
mod hooks;
mod inspect;
mod keys;
mod layout;
mod lease_proof;
mod load_partition;
mod memory;
mod pipeline;
mod pipelined_connection;
mod read;
mod replica_set;
mod replication;
mod reply;
mod request;
mod routes;
mod scripts;
mod sentinel;
mod server_connections;
mod server_info;
mod slot_map;
mod tokens;
mod url;

pub(super) use self::doctor::examine;
pub use self::url::{RedisUrl, RedisUrlError};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, OptionFuture, ready, try_join_all};
use futures_util::{FutureExt, TryFutureExt};
use minerva_proto::{LogIndex, StreamNumber};
use redis::{Cmd, cmd};

use self::client::Client;
use self::connector::Connector;
use self::inspect::inspect;
use self::keys::{
    PartitionKeys, cores_key, format_keys, members_key, partition_slot, quarantine_keys, store_slot,
};
use self::layout::KnownLayout;
use self::load_partition::{ClaimReply, load_partition};
use self::pipeline::{Append, Command};
use self::request::Reply;
use self::scripts::Script;
use super::fault_log::warn_fault;
use super::layout::check_partitions;
use super::quarantine::LIMITS;
use super::{
    Claimed, Epoch, FIRST_LEASE, Member, Membership, OperatorStore, OwnerView, PartitionLayout,
    Store, StoreError, StoreFill, StoredPartition, StoredTokens, StreamChange, check_size,
};

/// A store in Redis, Valkey or Dragonfly: single server, Sentinel or Cluster.
pub struct RedisStore {
    client: Arc<Client>,
    layout: KnownLayout,
    /// Lease of the last heartbeat in milliseconds: the assumed lease of owners that store none.
    lease_ms: AtomicU64,
}

impl RedisStore {
    /// A store at an address. The first call connects and must happen within a Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the `ca` file of the address is unreadable.
    pub fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        let prefix = url.options.prefix.clone();
        let client = Client::new(prefix, Connector::new(url.clone())?);
        let (layout, lease_ms) = (KnownLayout::default(), AtomicU64::new(0));
        Ok(Self { client: Arc::new(client), layout, lease_ms })
    }

    /// Sends a script whose reply carries no values.
    fn call_unit(
        &self,
        partition: u32,
        command: Cmd,
        bytes: usize,
        is_durable: bool,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        call_unit(partition, self.client.send_to_partition(partition, command, bytes, is_durable))
    }
}

impl RedisStore {
    /// Sends an append as the command that `command` makes of it.
    fn call_append(
        &self,
        partition: u32,
        owner: OwnerView,
        (index, blob): (LogIndex, Bytes),
        command: fn(Append) -> Command,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(error) = check_size([blob.len()]) {
            return ready(Err(error)).boxed();
        }
        let OwnerView { epoch, expected } = owner;
        let owner = self.client.owner(partition, epoch);
        let bytes = blob.len();
        let command = command(Append { owner, epoch, expected, index, blob });
        let reply = self.client.send(partition_slot(partition), command, bytes, true);
        async move {
            let done = reply::parse(reply.await?, Some(index)).map(|_| ());
            done.map_err(|error| error.in_partition(partition))
        }
        .boxed()
    }

    /// Completes and sends the call of a checkpoint.
    fn call_checkpoint(
        &self,
        partition: u32,
        mut command: Cmd,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
        let bytes = meta.len() + blobs.clone().sum::<usize>();
        if let Err(error) = check_size(blobs.chain([meta.len()])) {
            return ready(Err(error)).boxed();
        }
        command.arg(covers.0).arg(&*meta);
        add_streams(&mut command, changed);
        // A checkpoint may release outputs in place of the appends.
        self.call_unit(partition, command, bytes, true)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}

impl Store for RedisStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        if let Err(error) = check_partitions(None, wanted) {
            return ready(Err(error)).boxed();
        }
        self.layout.fix(&self.client, wanted).boxed()
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        let standby = u8::from(member.is_standby);
        let prefix = self.client.prefix();
        let [format, copy] = format_keys(prefix);
        let keys = [members_key(prefix), cores_key(prefix), format, copy];
        let mut command = Script::Heartbeat.call(&keys.each_ref().map(String::as_str));
        command.arg(member.name).arg(standby).arg(to_ms(lease)).arg(number);
        command.arg(member.stored_version);
        self.lease_ms.fetch_max(to_ms(lease), Ordering::Relaxed);
        let restored = self.layout.restore(&self.client);
        let reply = self.client.send_lease(store_slot(), command);
        async move {
            // A failure is no failure of the heartbeat: this core may have the only copy of its streams.
            if let Some(Err(StoreError::Config(problem))) = OptionFuture::from(restored).await {
                warn_fault(&problem);
            }
            reply::parse(reply.await?, None).and_then(reply::membership)
        }
        .boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let keys = self.client.keys(partition);
        let mut command = Script::Claim.call(&[&keys.head, &keys.log]);
        let (session, number) = (self.client.session(), self.client.next_call_number());
        command.arg(owner).arg(to_ms(FIRST_LEASE)).arg(session).arg(number).arg(above.0);
        command.arg(self.lease_ms.load(Ordering::Relaxed));
        let name = format!("{session}:{number}");
        let reply = self.client.send_to_partition(partition, command, 0, true);
        let claimed = async move {
            let reply = reply.await?;
            if let Some(stored) = reply::overtaken_by(&reply) {
                self.client.exceed_call_number(stored);
            }
            let claim = ClaimReply::parse(reply::parse(reply, None)?)?;
            self.client.note_claim(partition, claim.epoch, name);
            load_partition(&self.client, partition, claim).await
        };
        claimed.map_err(move |error| error.in_partition(partition)).boxed()
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_append(partition, owner, (index, blob), Command::Append)
    }

    fn append_to_full(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_append(partition, owner, (index, blob), Append::into_full)
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let command = self.client.expecting_call(Script::Checkpoint, partition, owner);
        self.call_checkpoint(partition, command, covers, meta, changed)
    }

    fn checkpoint_beyond_log(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut command = self.client.owner_call(Script::Checkpoint, partition, owner.epoch);
        match owner.expected {
            Some(expected) => command.arg(expected.first.0).arg("beyond").arg(expected.checkpoints),
            None => command.arg("").arg("beyond").arg(""),
        };
        self.call_checkpoint(partition, command, covers, meta, changed)
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut command = self.client.expecting_call(Script::Renew, partition, owner);
        command.arg(to_ms(lease)).arg(next.0);
        let reply = self.client.send_lease(partition_slot(partition), command);
        call_unit(partition, reply)
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        let command = self.client.owner_call(Script::Release, partition, epoch);
        self.call_unit(partition, command, 0, false)
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(error) = check_size(blobs.iter().map(|(_, blob)| blob.len())) {
            return ready(Err(error)).boxed();
        }
        let owner = self.client.owner(partition, epoch);
        let [blobs_key, names_key] = quarantine_keys(self.client.prefix(), partition);
        let mut command = Script::Quarantine.call(&[&owner.keys.head, &blobs_key, &names_key]);
        command.arg(epoch.0).arg(&*owner.claim).arg(LIMITS.blobs).arg(LIMITS.bytes);
        let mut bytes = 0;
        for (name, blob) in blobs {
            bytes += blob.len();
            command.arg(name).arg(&*blob);
        }
        self.call_unit(partition, command, bytes, false)
    }

    fn fill(&self) -> BoxFuture<'static, Result<Option<StoreFill>, StoreError>> {
        let replies = self.client.sample_slots(self.layout.partitions()).into_iter().map(|slot| {
            let command = cmd("INFO").arg("memory").take();
            self.client.send_lease(slot, command)
        });
        let replies = try_join_all(replies);
        async move { Ok(replies.await?.into_iter().map(memory::fill).fold(None, memory::fuller)) }
            .boxed()
    }

    fn tokens(&self, known: u64) -> BoxFuture<'static, Result<Option<StoredTokens>, StoreError>> {
        tokens::read(&self.client, known).boxed()
    }

    fn discard(
        &self,
        partition: u32,
        epoch: Epoch,
        names: Vec<Bytes>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let owner = self.client.owner(partition, epoch);
        let mut command = Script::Discard.call(&[&owner.keys.head, &owner.keys.streams]);
        command.arg(epoch.0).arg(&*owner.claim);
        let bytes = names.iter().map(Bytes::len).sum();
        for name in &names {
            command.arg(&**name);
        }
        self.call_unit(partition, command, bytes, false)
    }
}

impl OperatorStore for RedisStore {
    fn partition_count(&self) -> BoxFuture<'_, Result<Option<u32>, StoreError>> {
        layout::partition_count(&self.client).boxed()
    }

    fn inspect(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        async move {
            let keys = self.client.keys(partition);
            let quarantine = quarantine_keys(self.client.prefix(), partition);
            inspect(&self.client, partition, &keys, Some(&quarantine)).await
        }
        .boxed()
    }

    fn inspect_aside(&self, partition: u32) -> BoxFuture<'_, Result<StoredPartition, StoreError>> {
        async move {
            let keys = PartitionKeys::aside(self.client.prefix(), partition);
            inspect(&self.client, partition, &keys, None).await
        }
        .boxed()
    }

    fn reset_partition(&self, partition: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        let (keys, aside) =
            (self.client.keys(partition), PartitionKeys::aside(self.client.prefix(), partition));
        let keys = [keys.head, keys.log, keys.streams, aside.head, aside.log, aside.streams];
        let mut command = Script::Reset.call(&keys.each_ref().map(String::as_str));
        command.arg(to_ms(FIRST_LEASE).max(self.lease_ms.load(Ordering::Relaxed)));
        self.call_unit(partition, command, 0, true)
    }

    fn set_token(
        &self,
        id: &str,
        record: Option<Bytes>,
    ) -> BoxFuture<'static, Result<bool, StoreError>> {
        tokens::write(&self.client, id, record.as_ref())
    }
}

/// Awaits the reply of a script that carries no values.
fn call_unit(
    partition: u32,
    reply: impl Future<Output = Reply> + Send + 'static,
) -> BoxFuture<'static, Result<(), StoreError>> {
    async move {
        let done = reply::parse(reply.await?, None).map(|_| ());
        done.map_err(|error| error.in_partition(partition))
    }
    .boxed()
}

/// Adds the changed streams of a checkpoint, each once: first the replaced streams, then the removed ones.
fn add_streams(command: &mut Cmd, changed: Vec<StreamChange>) {
    let changed: BTreeMap<StreamNumber, Option<Bytes>> = changed.into_iter().collect();
    command.arg(changed.values().flatten().count());
    for (stream, blob) in &changed {
        if let Some(blob) = blob {
            command.arg(stream.0).arg(&**blob);
        }
    }
    for (stream, _) in changed.iter().filter(|(_, blob)| blob.is_none()) {
        command.arg(stream.0);
    }
}

fn to_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
