//! The store client of a core: each call becomes a value in a queue, which the event loop of the run empties.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use minerva_core::store::{
    Claimed, Epoch, Member, Membership, OwnerView, PartitionLayout, Store, StoreError,
};
use minerva_proto::{LogIndex, StreamNumber};
use tokio::sync::oneshot;

use super::call::{Call, NO_PARTITION, Op, OpReply, OpResult};

/// Calls that the event loop has not yet scheduled.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallQueue {
    shared: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<Call>,
    waker: Option<Waker>,
}

/// The store client of one core.
pub(crate) struct StoreHandle {
    core: usize,
    /// Owner name in claims.
    name: Arc<str>,
    queue: CallQueue,
}

impl CallQueue {
    pub(crate) fn put(&self, call: Call) {
        let mut waiting = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.calls.push(call);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// Takes all queued calls in call order.
    pub(crate) fn take(&self) -> Vec<Call> {
        let mut waiting = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting.calls)
    }

    /// Ready when a call is queued.
    pub(crate) fn poll_waits(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.calls.is_empty() {
            return Poll::Ready(());
        }
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => waiting.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl StoreHandle {
    pub(crate) fn new(core: usize, name: Arc<str>, queue: CallQueue) -> Self {
        Self { core, name, queue }
    }

    fn call(&self, partition: u32, op: Op) -> BoxFuture<'static, OpResult> {
        self.call_full(partition, op, false)
    }

    fn call_full(
        &self,
        partition: u32,
        op: Op,
        may_be_refused: bool,
    ) -> BoxFuture<'static, OpResult> {
        let (answer, answered) = oneshot::channel();
        self.queue.put(Call {
            core: self.core,
            name: Arc::clone(&self.name),
            partition,
            op,
            may_be_refused,
            reply: Some(answer),
        });
        let lost = || Err(StoreError::Unavailable("the reply is lost".to_owned()));
        answered.map(move |outcome| outcome.unwrap_or_else(|_| lost())).boxed()
    }

    fn call_unit(&self, partition: u32, op: Op) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call(partition, op).map(|outcome| outcome.map(|_| ())).boxed()
    }
}

impl Store for StoreHandle {
    fn partitions(&self, wanted: u32) -> BoxFuture<'_, Result<PartitionLayout, StoreError>> {
        let call = self.call(NO_PARTITION, Op::Partitions(wanted));
        call.map(|outcome| match outcome? {
            OpReply::Partitions(count) => Ok(count),
            OpReply::Membership(_)
            | OpReply::Claimed(_)
            | OpReply::Inspected(_)
            | OpReply::Done => Err(wrong_answer()),
        })
        .boxed()
    }

    fn heartbeat(
        &self,
        member: Member,
        number: u64,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Membership, StoreError>> {
        let call = self.call(NO_PARTITION, Op::Heartbeat { member, number, length: lease });
        call.map(|outcome| match outcome? {
            OpReply::Membership(membership) => Ok(membership),
            OpReply::Partitions(_)
            | OpReply::Claimed(_)
            | OpReply::Inspected(_)
            | OpReply::Done => Err(wrong_answer()),
        })
        .boxed()
    }

    fn claim(
        &self,
        partition: u32,
        owner: &str,
        above: Epoch,
    ) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let call = self.call(partition, Op::Claim { owner: owner.to_owned(), above });
        call.map(|outcome| match outcome? {
            OpReply::Claimed(claimed) => Ok(claimed),
            OpReply::Partitions(_)
            | OpReply::Membership(_)
            | OpReply::Inspected(_)
            | OpReply::Done => Err(wrong_answer()),
        })
        .boxed()
    }

    fn append(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let call = self.call_full(partition, Op::Append { owner, index, blob }, true);
        call.map(|outcome| outcome.map(|_| ())).boxed()
    }

    fn append_to_full(
        &self,
        partition: u32,
        owner: OwnerView,
        index: LogIndex,
        blob: Bytes,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, Op::Append { owner, index, blob })
    }

    fn checkpoint(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<(StreamNumber, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let is_beyond_log = false;
        self.call_unit(partition, Op::Checkpoint { owner, covers, meta, changed, is_beyond_log })
    }

    fn checkpoint_beyond_log(
        &self,
        partition: u32,
        owner: OwnerView,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<(StreamNumber, Option<Bytes>)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let is_beyond_log = true;
        self.call_unit(partition, Op::Checkpoint { owner, covers, meta, changed, is_beyond_log })
    }

    fn renew(
        &self,
        partition: u32,
        owner: OwnerView,
        lease: Duration,
        next: LogIndex,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, Op::Renew { owner, length: lease, next })
    }

    fn release(&self, partition: u32, epoch: Epoch) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, Op::Release { epoch })
    }

    fn quarantine(
        &self,
        partition: u32,
        epoch: Epoch,
        blobs: Vec<(String, Bytes)>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.call_unit(partition, Op::Quarantine { epoch, blobs })
    }
}

/// Reports a defect of the model.
fn wrong_answer() -> StoreError {
    StoreError::Corrupt("a reply to another operation".to_owned())
}
