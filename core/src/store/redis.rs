//! The store in Redis or Valkey: the one of the pair, because edges and cores on other machines can reach
//! it. Alone, behind Sentinels or as a cluster. Every write is one Lua script, which checks the epoch and
//! may be sent any number of times (each says in its file how); what is read is read with plain commands.
//!
//! This file turns calls into commands; `routes` and `lane` bring them to the server in order.

mod address;
mod cluster;
mod connection;
mod connector;
mod doctor;
mod failure;
mod keys;
mod lane;
mod pipeline;
mod recall;
mod reply;
mod routes;
mod scripts;
mod server;

pub use self::address::RedisUrl;
pub(super) use self::doctor::examine;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use redis::Cmd;
use tokio::sync::oneshot;
use tokio::time::sleep;

use self::connector::Connector;
use self::failure::stopped;
use self::keys::{PartitionKeys, members_key, partition_slot, partitions_key, store_slot};
use self::lane::{Answer, Job};
use self::pipeline::{Append, Call, Owner};
use self::recall::{Head, recall};
use self::routes::Routes;
use self::scripts::Script;
use super::{
    Claimed, Epoch, FIRST_LEASE, Living, Member, Store, StoreError, check_partitions, check_size,
};
use crate::clock;

/// How long the first call of all waits for a Redis that is not there yet, and the pause between two
/// tries. Programs of a deployment start at the same time.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(250));

/// A store in Redis.
pub struct RedisStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// Begins every key.
    prefix: String,
    /// What tells this handle from all others, for [`Shared::number`].
    session: String,
    /// Numbers the claims and checkpoints of this handle. One that arrives behind a later one is ignored.
    calls: AtomicU64,
    /// The last claim of each partition: its epoch, and what goes with the calls of its owner.
    claims: Mutex<HashMap<u32, (Epoch, Arc<Owner>)>>,
    routes: Routes,
}

impl RedisStore {
    /// A store at an address. Connects when it is used, which must be within a Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Config`] if a file that the address names cannot be read.
    pub fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        let shared = Shared {
            prefix: url.options.prefix.clone(),
            session: format!("{:016x}", RandomState::new().hash_one(clock::wall_ms())),
            calls: AtomicU64::new(1),
            claims: Mutex::default(),
            routes: Routes::new(Connector::new(url.clone())?),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Calls a script that answers nothing but whether it did it.
    fn call_unit(
        &self,
        partition: u32,
        command: Cmd,
        bytes: usize,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let answer = self.shared.call(partition, command, bytes, false);
        async move { reply::read(answer.await?, None).map(|_| ()) }.boxed()
    }
}

impl Shared {
    fn keys(&self, partition: u32) -> PartitionKeys {
        PartitionKeys::new(&self.prefix, partition)
    }

    /// What goes with the calls of the owner of an epoch; without a claim's name if this handle did not make it.
    fn owner(&self, partition: u32, epoch: Epoch) -> Arc<Owner> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = claims.get(&partition).filter(|(made, _)| *made == epoch);
        claim.map_or_else(|| self.named(partition, String::new()), |(_, owner)| Arc::clone(owner))
    }

    fn note_claim(&self, partition: u32, epoch: Epoch, name: String) {
        let owner = self.named(partition, name);
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.insert(partition, (epoch, owner));
    }

    fn named(&self, partition: u32, claim: String) -> Arc<Owner> {
        Arc::new(Owner { keys: self.keys(partition), claim })
    }

    fn number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// The beginning of a call that only the owner may make: keys, epoch and the claim's name.
    fn owners_call(&self, script: Script, partition: u32, epoch: Epoch) -> Cmd {
        let owner = self.owner(partition, epoch);
        let PartitionKeys { head, log, streams } = &owner.keys;
        let mut call = script.call(&[head, log, streams]);
        call.arg(epoch.0).arg(&*owner.claim);
        call
    }

    /// Puts a command behind all others of its partition, now; the future waits for the answer.
    fn call(
        &self,
        partition: u32,
        command: Cmd,
        bytes: usize,
        is_durable: bool,
    ) -> impl Future<Output = Answer> + Send + use<> {
        self.send(partition_slot(partition), Call::Alone(command), bytes, is_durable)
    }

    fn send(
        &self,
        slot: u16,
        call: Call,
        bytes: usize,
        is_durable: bool,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        self.routes.send(slot, Job { call, bytes, is_durable, answer });
        async move { answered.await.unwrap_or_else(|_| Err(stopped())) }
    }

    async fn fix_partitions(&self, wanted: u32) -> Result<u32, StoreError> {
        let mut call = Script::Partitions.call(&[&partitions_key(&self.prefix)]);
        call.arg(wanted);
        let answer = self.send(store_slot(), Call::Alone(call), 0, true).await?;
        let stored = reply::number(reply::read(answer, None)?.next())?;
        check_partitions(Some(u32::try_from(stored).unwrap_or(u32::MAX)), wanted)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}

impl Store for RedisStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        if let Err(error) = check_partitions(None, wanted) {
            return ready(Err(error)).boxed();
        }
        async move {
            let deadline = clock::now() + PATIENCE.0;
            loop {
                match self.shared.fix_partitions(wanted).await {
                    Err(StoreError::Unavailable(reason)) if clock::now() < deadline => {
                        tracing::warn!(reason, "waiting for Redis");
                        sleep(PATIENCE.1).await;
                    }
                    result => return result,
                }
            }
        }
        .boxed()
    }

    fn beat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Living, StoreError>> {
        let standby = u8::from(member.is_standby);
        let mut call = Script::Beat.call(&[&members_key(&self.shared.prefix)]);
        call.arg(member.name).arg(standby).arg(to_ms(lease)).arg(number);
        let answer = self.shared.send(store_slot(), Call::Alone(call), 0, false);
        async move { reply::read(answer.await?, None).and_then(reply::living) }.boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let keys = self.shared.keys(partition);
        let mut call = Script::Claim.call(&[&keys.head, &keys.log]);
        let (session, number) = (&self.shared.session, self.shared.number());
        call.arg(owner).arg(to_ms(FIRST_LEASE)).arg(session).arg(number).arg(above.0);
        let name = format!("{session}:{number}");
        let answer = self.shared.call(partition, call, 0, true);
        async move {
            let head = Head::parse(reply::read(answer.await?, None)?)?;
            self.shared.note_claim(partition, Epoch(head.epoch), name);
            recall(&self.shared, partition, head).await
        }
        .boxed()
    }

    fn append(
        &self,
        partition: u32,
        epoch: Epoch,
        index: u64,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(error) = check_size([blob.len()]) {
            return ready(Err(error)).boxed();
        }
        let owner = self.shared.owner(partition, epoch);
        let bytes = blob.len();
        let call = Call::Append(Append { owner, epoch: epoch.0, index, blob });
        let answer = self.shared.send(partition_slot(partition), call, bytes, true);
        async move { reply::read(answer.await?, Some(index)).map(|_| ()) }.boxed()
    }

    fn checkpoint(
        &self,
        partition: u32,
        epoch: Epoch,
        covers: u64,
        meta: Bytes,
        changed: Vec<(u64, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
        let bytes = meta.len() + blobs.clone().sum::<usize>();
        if let Err(error) = check_size(blobs.chain([meta.len()])) {
            return ready(Err(error)).boxed();
        }
        let mut call = self.shared.owners_call(Script::Checkpoint, partition, epoch);
        call.arg(&self.shared.session).arg(self.shared.number()).arg(covers).arg(&*meta);
        add_streams(&mut call, changed);
        self.call_unit(partition, call, bytes)
    }

    fn renew(
        &self,
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut call = self.shared.owners_call(Script::Renew, partition, epoch);
        call.arg(to_ms(lease)).arg(next);
        self.call_unit(partition, call, 0)
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        let call = self.shared.owners_call(Script::Release, partition, epoch);
        self.call_unit(partition, call, 0)
    }
}

/// Adds what a checkpoint changes, each stream once: those that are set, then those that are removed.
fn add_streams(call: &mut Cmd, changed: Vec<(u64, Option<Bytes>)>) {
    let changed: BTreeMap<u64, Option<Bytes>> = changed.into_iter().collect();
    call.arg(changed.values().flatten().count());
    for (stream, blob) in &changed {
        if let Some(blob) = blob {
            call.arg(*stream).arg(&**blob);
        }
    }
    for (stream, _) in changed.iter().filter(|(_, blob)| blob.is_none()) {
        call.arg(*stream);
    }
}

fn to_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
