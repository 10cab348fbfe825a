//! The writer thread: performs all queued operations in one transaction, commits, then sends the replies.
//!
//! After a disk error the file is reopened before the next transaction, as redb requires.

use std::time::Duration;

use bytes::Bytes;
use minerva_proto::LogIndex;
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::super::leases::{HeartbeatTable, Leases};
use super::super::{Claimed, Epoch, Member, Membership, StoreError, StreamChange};
use super::error::classify;
use super::file;
use super::tables::Tables;
use crate::clock;

/// Bytes beyond which a transaction takes no further operation. Amortizes the sync and bounds latency and memory.
const MAX_BATCH_BYTES: usize = 2 << 20;

/// A store call.
#[derive(Debug)]
pub(super) enum Operation {
    Partitions {
        wanted: u32,
    },
    Claim {
        partition: u32,
        owner: String,
        above: Epoch,
    },
    Append {
        partition: u32,
        epoch: Epoch,
        index: LogIndex,
        blob: Bytes,
    },
    Checkpoint {
        partition: u32,
        epoch: Epoch,
        covers: LogIndex,
        meta: Bytes,
        changed: Vec<StreamChange>,
    },
    /// A renewal; a zero lease is a release.
    Lease {
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: LogIndex,
    },
    Heartbeat {
        member: Member,
        number: u64,
        lease: Duration,
    },
}

/// Result of a successful operation.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Partitions(u32),
    Claimed(Box<Claimed>),
    Membership(Membership),
}

/// A queued operation and the destination of the reply.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) reply_to: oneshot::Sender<Result<Reply, StoreError>>,
}

/// Opens the database, at the start and after a disk error.
pub(super) type Open = Box<dyn FnMut() -> Result<Database, StoreError> + Send>;

/// State of the writer thread.
pub(super) struct Writer {
    open: Open,
    /// `None` after a disk error, until the file is reopened.
    database: Option<Database>,
    leases: Leases,
    heartbeats: HeartbeatTable,
}

impl Writer {
    pub(super) fn new(mut open: Open) -> Result<Self, StoreError> {
        let database = Some(open()?);
        Ok(Self {
            open,
            database,
            leases: Leases::default(),
            heartbeats: HeartbeatTable::default(),
        })
    }

    /// Performs requests until the store is dropped.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let batch = gather(first, &mut requests);
            let (operations, callers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|request| (request.operation, request.reply_to)).unzip();
            let replies = self.transact(&operations).unwrap_or_else(|error| {
                tracing::error!(%error, "transaction of the store failed");
                self.database = None;
                operations.iter().map(|_| Err(error.clone())).collect()
            });
            for (caller, reply) in callers.into_iter().zip(replies) {
                // The caller may have dropped the future.
                let _ = caller.send(reply);
            }
        }
    }

    /// Performs the operations in one transaction.
    ///
    /// The outer error is a failure of the file, which aborts all operations. An inner error concerns one operation,
    /// which changed nothing.
    fn transact(
        &mut self,
        operations: &[Operation],
    ) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)().map_err(reopen_error)?,
        };
        let database = self.database.insert(database);
        let transaction = file::begin(database)?;
        let (replies, changed) = {
            let mut tables = Tables::open(&transaction)?;
            let mut replies = Vec::with_capacity(operations.len());
            for operation in operations {
                let memory = (&mut self.leases, &mut self.heartbeats);
                let reply = perform(&mut tables, memory, operation);
                if let Err(error @ (StoreError::Unavailable(_) | StoreError::Corrupt(_))) = reply {
                    return Err(error);
                }
                replies.push(reply);
            }
            (replies, tables.changed)
        };
        if changed {
            transaction.commit().map_err(classify)?;
        } else {
            transaction.abort().map_err(classify)?;
        }
        Ok(replies)
    }
}

/// A failure to reopen the file may be temporary.
fn reopen_error(error: StoreError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.operation.bytes();
    let mut batch = vec![first];
    while bytes < MAX_BATCH_BYTES
        && let Ok(request) = requests.try_recv()
    {
        bytes += request.operation.bytes();
        batch.push(request);
    }
    batch
}

fn perform(
    tables: &mut Tables<'_>,
    (leases, heartbeats): (&mut Leases, &mut HeartbeatTable),
    operation: &Operation,
) -> Result<Reply, StoreError> {
    match operation {
        Operation::Partitions { wanted } => tables.partitions(*wanted).map(Reply::Partitions),
        Operation::Claim { partition, owner, above } => {
            leases.check(*partition, owner, clock::now())?;
            let claimed = tables.claim(*partition, owner, *above)?;
            leases.grant(*partition, owner, clock::now());
            Ok(Reply::Claimed(Box::new(claimed)))
        }
        Operation::Append { partition, epoch, index, blob } => {
            tables.append(*partition, *epoch, *index, blob).map(|()| Reply::Done)
        }
        Operation::Checkpoint { partition, epoch, covers, meta, changed } => {
            tables.checkpoint(*partition, *epoch, *covers, meta, changed).map(|()| Reply::Done)
        }
        Operation::Lease { partition, epoch, lease, next } => {
            tables.head(*partition)?.check_renewal(*epoch, *next)?;
            leases.renew(*partition, clock::now(), *lease);
            Ok(Reply::Done)
        }
        Operation::Heartbeat { member, number, lease } => {
            let now = clock::now();
            let membership = heartbeats.record(member.clone(), *number, *lease, now);
            Ok(Reply::Membership(membership))
        }
    }
}

impl Operation {
    /// Approximate number of written bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Append { blob, .. } => blob.len(),
            Self::Checkpoint { meta, changed, .. } => {
                let blobs = changed.iter().filter_map(|(_, blob)| blob.as_ref().map(Bytes::len));
                meta.len() + blobs.sum::<usize>()
            }
            Self::Partitions { .. }
            | Self::Claim { .. }
            | Self::Lease { .. }
            | Self::Heartbeat { .. } => 0,
        }
    }
}

impl Reply {
    pub(super) fn into_partitions(self) -> Result<u32, StoreError> {
        if let Self::Partitions(count) = self { Ok(count) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_membership(self) -> Result<Membership, StoreError> {
        if let Self::Membership(found) = self { Ok(found) } else { Err(wrong_reply()) }
    }

    pub(super) fn into_claimed(self) -> Result<Claimed, StoreError> {
        if let Self::Claimed(claimed) = self { Ok(*claimed) } else { Err(wrong_reply()) }
    }
}

/// Unreachable: each request has its own channel.
fn wrong_reply() -> StoreError {
    StoreError::Unavailable("the writer sent the reply of another operation".to_owned())
}
