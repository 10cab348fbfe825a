//! The thread that writes: takes what waits, does all of it in one transaction, commits, then answers.
//! After an error of the disk the file is opened anew before the next transaction, as redb demands.

use std::time::Duration;

use bytes::Bytes;
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::file;
use super::tables::Tables;
use crate::clock;
use crate::store::leases::{Leases, Members};
use crate::store::{Claimed, Epoch, Living, Member, StoreError};

/// Bytes at which a transaction takes no more calls: enough to make the sync cheap per byte, little
/// enough to wait for, and to hold in memory.
const BATCH_BYTES: usize = 2 << 20;

/// A call of the contract.
#[derive(Debug)]
pub(super) enum Call {
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
        index: u64,
        blob: Bytes,
    },
    Checkpoint {
        partition: u32,
        epoch: Epoch,
        covers: u64,
        meta: Bytes,
        changed: Vec<(u64, Option<Bytes>)>,
    },
    /// Renewal, or with zero the release.
    Lease {
        partition: u32,
        epoch: Epoch,
        lease: Duration,
        next: u64,
    },
    Beat {
        member: Member,
        number: u64,
        lease: Duration,
    },
}

/// What a call that succeeded gives.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Partitions(u32),
    Claimed(Box<Claimed>),
    Living(Living),
}

/// A call and where its answer goes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) call: Call,
    pub(super) answer: oneshot::Sender<Result<Answer, StoreError>>,
}

/// Opens the file.
pub(super) type Open = Box<dyn FnMut() -> Result<Database, StoreError> + Send>;

/// The state of the writing thread.
pub(super) struct Writer {
    open: Open,
    /// `None` after an error of the disk, until it could be opened again.
    database: Option<Database>,
    leases: Leases,
    members: Members,
}

impl Writer {
    pub(super) fn new(mut open: Open) -> Result<Self, StoreError> {
        let database = Some(open()?);
        Ok(Self { open, database, leases: Leases::default(), members: Members::default() })
    }

    /// Serves requests until the store is dropped.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let batch = gather(first, &mut requests);
            let (calls, waiting): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|request| (request.call, request.answer)).unzip();
            let answers = self.transact(&calls).unwrap_or_else(|error| {
                tracing::error!(%error, "the store could not write");
                self.database = None;
                calls.iter().map(|_| Err(error.clone())).collect()
            });
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                // Nobody waits for a call whose future was dropped.
                let _ = waiting.send(answer);
            }
        }
    }

    /// Does the calls in one transaction. An error of the outer result is the file's and means all of
    /// them, because the call that met it may be half done; one of an inner result is the call's own
    /// and left nothing behind.
    fn transact(&mut self, calls: &[Call]) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)().map_err(reopening)?,
        };
        let database = self.database.insert(database);
        let transaction = file::begin(database)?;
        let (answers, changed) = {
            let mut tables = Tables::open(&transaction)?;
            let mut answers = Vec::with_capacity(calls.len());
            for call in calls {
                let answer = perform(&mut tables, (&mut self.leases, &mut self.members), call);
                if let Err(error @ (StoreError::Unavailable(_) | StoreError::Corrupt(_))) = answer {
                    return Err(error);
                }
                answers.push(answer);
            }
            (answers, tables.changed)
        };
        if changed {
            transaction.commit().map_err(file::storage)?;
        } else {
            transaction.abort().map_err(file::storage)?;
        }
        Ok(answers)
    }
}

/// Whatever keeps the file from being opened again may pass.
fn reopening(error: StoreError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.call.bytes();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES
        && let Ok(request) = requests.try_recv()
    {
        bytes += request.call.bytes();
        batch.push(request);
    }
    batch
}

fn perform(
    tables: &mut Tables<'_>,
    (leases, members): (&mut Leases, &mut Members),
    call: &Call,
) -> Result<Answer, StoreError> {
    match call {
        Call::Partitions { wanted } => tables.partitions(*wanted).map(Answer::Partitions),
        Call::Claim { partition, owner, above } => {
            leases.check(*partition, owner, clock::now())?;
            let claimed = tables.claim(*partition, owner, *above)?;
            leases.begin(*partition, owner, clock::now());
            Ok(Answer::Claimed(Box::new(claimed)))
        }
        Call::Append { partition, epoch, index, blob } => {
            tables.append(*partition, *epoch, *index, blob).map(|()| Answer::Done)
        }
        Call::Checkpoint { partition, epoch, covers, meta, changed } => {
            tables.checkpoint(*partition, *epoch, *covers, meta, changed).map(|()| Answer::Done)
        }
        Call::Lease { partition, epoch, lease, next } => {
            tables.head(*partition)?.renew(*epoch, *next)?;
            leases.set(*partition, clock::now(), *lease);
            Ok(Answer::Done)
        }
        Call::Beat { member, number, lease } => {
            Ok(Answer::Living(members.beat(member.clone(), *number, *lease, clock::now())))
        }
    }
}

impl Call {
    /// Roughly what the call writes.
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
            | Self::Beat { .. } => 0,
        }
    }
}

impl Answer {
    pub(super) fn into_partitions(self) -> Result<u32, StoreError> {
        if let Self::Partitions(count) = self { Ok(count) } else { Err(mixed_up()) }
    }

    pub(super) fn into_living(self) -> Result<Living, StoreError> {
        if let Self::Living(living) = self { Ok(living) } else { Err(mixed_up()) }
    }

    pub(super) fn into_claimed(self) -> Result<Claimed, StoreError> {
        if let Self::Claimed(claimed) = self { Ok(*claimed) } else { Err(mixed_up()) }
    }
}

/// An answer to another call, which cannot be: each has its own channel.
fn mixed_up() -> StoreError {
    StoreError::Unavailable("the writer gave the wrong answer".to_owned())
}
