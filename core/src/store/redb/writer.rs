//! The writer thread: performs all queued operations in one transaction, commits, then sends the replies.
//!
//! After a disk error the file is reopened before the next transaction, as redb requires. A failed sync is final, see
//! `sync_watch.rs`. A panic of redb on a damaged page counts as damage: of one partition if the file accepts another
//! write, otherwise the store has failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Database;
use tokio::sync::mpsc;

use super::super::StoreError;
use super::super::leases::{HeartbeatTable, Leases};
use super::error::classify;
use super::file;
use super::inspect::ASIDE;
use super::operation::{Operation, Reply, Request};
use super::sync_watch::SyncFailure;
use super::tables::{Tables, scan};
use crate::clock;

/// Bytes beyond which a transaction takes no further operation. Amortizes the sync and bounds latency and memory.
const MAX_BATCH_BYTES: usize = 2 << 20;

/// Opens the database, at the start and after a disk error.
pub(super) type Open = Box<dyn FnMut() -> Result<Database, StoreError> + Send>;

/// State of the writer thread.
pub(super) struct Writer {
    open: Open,
    failure: SyncFailure,
    /// Damage that every write meets.
    damage: Option<String>,
    /// `None` after a disk error, until the file is reopened.
    database: Option<Database>,
    leases: Leases,
    heartbeats: HeartbeatTable,
}

impl Writer {
    pub(super) fn new(mut open: Open, failure: SyncFailure) -> Result<Self, StoreError> {
        let database = Some(catch_panic(&mut open)?);
        Ok(Self {
            open,
            failure,
            damage: None,
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
            let replies = self.perform_all(&operations);
            for (caller, reply) in callers.into_iter().zip(replies) {
                // The caller may have dropped the future.
                let _ = caller.send(reply);
            }
        }
    }

    /// Performs the operations in one transaction; each in its own if the data of one partition is unreadable.
    fn perform_all(&mut self, operations: &[Operation]) -> Vec<Result<Reply, StoreError>> {
        let error = match self.try_transact(operations) {
            Ok(replies) => return replies,
            Err(error) => error,
        };
        let error = match (operations, error) {
            ([_, _, ..], StoreError::Corrupt(_)) => {
                let each = operations.iter();
                return each.flat_map(|one| self.perform_all(std::slice::from_ref(one))).collect();
            }
            ([Operation::Heartbeat { .. }], StoreError::Corrupt(problem)) => self.fail(&problem),
            (_, StoreError::Corrupt(problem)) => self.after_damage(problem),
            (_, error) => {
                self.close();
                error
            }
        };
        let named = |operation: &Operation| match operation.partition() {
            Some(partition) => error.clone().in_partition(partition),
            None => error.clone(),
        };
        operations.iter().map(|operation| Err(named(operation))).collect()
    }

    /// As [`Self::transact`], with the errors of a failed sync and of a panic.
    fn try_transact(
        &mut self,
        operations: &[Operation],
    ) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
        if let Some(problem) = &self.damage {
            return Err(file_damaged(problem));
        }
        if self.failure.has_occurred() {
            return Err(sync_failed());
        }
        let result = catch_panic(|| self.transact(operations));
        if self.failure.has_occurred() { Err(sync_failed()) } else { result }
    }

    /// Finds out whether damage concerns one partition, or every write: then the store has failed.
    ///
    /// A panic may have left locks of the open database unusable, so a failed write is repeated after a reopening.
    fn after_damage(&mut self, problem: String) -> StoreError {
        for _ in 0..2 {
            match catch_panic(|| file::probe(self.database()?)) {
                Ok(()) => return StoreError::Corrupt(problem),
                // A disk error, which the next operation meets, too.
                Err(StoreError::Unavailable(reason)) => {
                    self.close();
                    return StoreError::Unavailable(reason);
                }
                Err(_) => self.close(),
            }
        }
        self.fail(&problem)
    }

    /// Ends the service of the file for good.
    fn fail(&mut self, problem: &str) -> StoreError {
        self.close();
        self.damage = Some(problem.to_owned());
        file_damaged(problem)
    }

    /// The open database; reopened if necessary.
    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)().map_err(reopen_error)?,
        };
        Ok(self.database.insert(database))
    }

    fn close(&mut self) {
        let database = self.database.take();
        // Closing writes to the file, too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
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
        for (partition, is_aside) in operations.iter().filter_map(Operation::reads) {
            scan(database, if is_aside { partition | ASIDE } else { partition })?;
        }
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

fn sync_failed() -> StoreError {
    StoreError::Failed(format!(
        "a sync of {} to the disk failed, so the content of the file is uncertain; check the disk, then start the \
         program again, which recovers the content that reached the disk",
        file::NAME
    ))
}

/// Any failure to reopen the file but damage may be temporary.
fn reopen_error(error: StoreError) -> StoreError {
    if matches!(error, StoreError::Corrupt(_)) {
        return error;
    }
    StoreError::Unavailable(error.to_string())
}

fn file_damaged(problem: &str) -> StoreError {
    let name = file::NAME;
    StoreError::Failed(format!(
        "{name} is damaged beyond one partition ({problem}); keep a copy of the file, then restore a backup"
    ))
}

/// Runs a call of redb; a panic counts as damage.
fn catch_panic<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let panicked = |_| Err(StoreError::Corrupt(format!("a page of {} is damaged", file::NAME)));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(panicked)
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
        Operation::PartitionCount => tables.partition_count().map(Reply::PartitionCount),
        Operation::Claim { partition, owner, above } => {
            leases.check(*partition, owner, clock::now())?;
            let claimed = tables.claim(*partition, owner, *above)?;
            leases.grant(*partition, owner, clock::now());
            Ok(Reply::Claimed(Box::new(claimed)))
        }
        Operation::Append { partition, owner, index, blob } => {
            tables.append(*partition, *owner, *index, blob).map(|()| Reply::Done)
        }
        Operation::Checkpoint { partition, owner, covers, meta, changed } => {
            tables.checkpoint(*partition, *owner, *covers, meta, changed).map(|()| Reply::Done)
        }
        Operation::Lease { partition, owner, lease, next } => {
            tables.head(*partition)?.check_renewal(*owner, *next)?;
            leases.renew(*partition, clock::now(), *lease);
            Ok(Reply::Done)
        }
        Operation::Heartbeat { member, number, lease } => {
            let found = heartbeats.record(member.clone(), *number, *lease, clock::now());
            tables.raise_version(found).map(Reply::Membership)
        }
        Operation::Quarantine { partition, epoch, blobs } => {
            tables.quarantine(*partition, *epoch, blobs).map(|()| Reply::Done)
        }
        Operation::Inspect { partition, is_aside } => {
            let mut found = tables.inspect(*partition, *is_aside)?;
            found.owner = leases.owner(*partition, clock::now()).filter(|_| !is_aside);
            Ok(Reply::Inspected(Box::new(found)))
        }
        Operation::Reset { partition } => {
            leases.check(*partition, "", clock::now())?;
            tables.reset(*partition).map(|()| Reply::Done)
        }
        Operation::Tokens => tables.tokens().map(Reply::Tokens),
        Operation::SetToken { id, record } => {
            tables.set_token(id, record.as_deref()).map(Reply::Existed)
        }
    }
}
