//! The model of the store without delays and faults, to be compared with real ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use minerva_core::store::{Claimed, Epoch, Member, Membership, Store, StoreError};
use minerva_proto::{LogIndex, StreamNumber};

use super::call::{Answer, NO_PARTITION, Op, Outcome};
use super::data::StoreData;
use crate::clock::Clock;

/// A store that does what it is asked at once. Clones share the data.
#[derive(Debug, Clone)]
pub struct ModelStore {
    data: Arc<Mutex<StoreData>>,
    clock: Clock,
}

impl ModelStore {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "its time begins now")]
    pub fn new() -> Self {
        Self { data: Arc::default(), clock: Clock::start() }
    }

    fn act(&self, partition: u32, op: &Op) -> Outcome {
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        data.act(self.clock.now(), None, partition, op)
    }

    fn do_it(&self, partition: u32, op: &Op) -> BoxFuture<'static, Result<(), StoreError>> {
        ready(self.act(partition, op).map(|_| ())).boxed()
    }
}

impl Store for ModelStore {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        ready(self.act(NO_PARTITION, &Op::Partitions(wanted)).map(|_| wanted)).boxed()
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        let answer = self.act(NO_PARTITION, &Op::Beat { member, number, length: lease });
        ready(answer.map(|answer| match answer {
            Answer::Membership(membership) => membership,
            Answer::Partitions(_) | Answer::Claimed(_) | Answer::Done => Membership::default(),
        }))
        .boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let answer = self.act(partition, &Op::Claim { owner: owner.to_owned(), above });
        ready(answer.and_then(|answer| match answer {
            Answer::Claimed(claimed) => Ok(claimed),
            Answer::Partitions(_) | Answer::Membership(_) | Answer::Done => {
                Err(StoreError::Corrupt("another answer than was asked for".to_owned()))
            }
        }))
        .boxed()
    }

    fn append(
        &self,
        partition: u32,
        epoch: Epoch,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.do_it(partition, &Op::Append { epoch, index, blob })
    }

    fn checkpoint(
        &self,
        partition: u32,
        epoch: Epoch,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<(StreamNumber, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.do_it(partition, &Op::Checkpoint { epoch, covers, meta, changed })
    }

    fn renew(
        &self,
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.do_it(partition, &Op::Renew { epoch, length: lease, next })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.do_it(partition, &Op::Release { epoch })
    }
}
