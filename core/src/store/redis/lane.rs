//! One connection and the calls that go over it, in the order in which they were given. What waits
//! is sent as one pipeline (`pipeline`); a few pipelines may be under way.
//!
//! When anything goes wrong with the connection, all that was sent and all that waits behind it fails, and
//! only then a new connection is made: no command overtakes an earlier one that the caller believes to be
//! on its way. Callers repeat what failed; every script bears that. A server that has forgotten the
//! scripts gets them again, and then all that was under way, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use minerva_runtime::tasks::InlineWake;
use redis::{RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use super::super::StoreError;
use super::cluster::Cluster;
use super::connection::{Answers, Connection};
use super::connector::{Connector, Target};
use super::failure::{Then, full, judge, too_few_replicas};
use super::pipeline::{Call, Shares, build};

/// Calls that may wait: some for each partition. What is beyond it fails as unavailable.
pub(super) const QUEUE: usize = 2048;
/// Most commands in one pipeline: beyond it the server does not get cheaper, answers only get later.
const MAX_BATCH: usize = 64;
/// Bytes after which a pipeline is not filled further.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Pipelines under way: the server works on one while the answers to the other travel. What comes meanwhile goes
/// together, so with more of them each would carry less.
const MAX_UNDER_WAY: usize = 2;
/// How often in a row scripts are loaded again before what wanted them fails.
const MAX_LOADS: u32 = 3;

/// What becomes of a command.
pub(super) type Answer = Result<Value, StoreError>;

/// A call on its way. The answer is sent even if nobody waits for it any more.
pub(super) struct Job {
    pub(super) call: Call,
    /// About how long it is.
    pub(super) bytes: usize,
    /// Whether it counts only when replicas have it, if that is wanted at all.
    pub(super) is_durable: bool,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl Job {
    /// Answers; a caller that has gone does not mind.
    pub(super) fn finish(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// The end of a lane into which commands are put. Dropping it ends the lane when all are answered.
#[derive(Debug, Clone)]
pub(super) struct Lane(mpsc::Sender<Job>);

impl Lane {
    /// Starts a lane to a server; it connects when there is something to send. A cluster is told of trouble.
    pub(super) fn start(
        connector: Arc<Connector>,
        target: Target,
        cluster: Option<Weak<Cluster>>,
    ) -> Self {
        let (sender, jobs) = mpsc::channel(QUEUE);
        let (connection, under_way, loads) = (None, VecDeque::new(), 0);
        let worker = Worker { connector, target, cluster, jobs, connection, under_way, loads };
        tokio::spawn(InlineWake::new(worker.run()));
        Self(sender)
    }

    /// Puts a command behind all others.
    pub(super) fn send(&self, job: Job) {
        if let Err(refused) = self.0.try_send(job) {
            refused.into_inner().finish(Err(full()));
        }
    }
}

struct Worker {
    connector: Arc<Connector>,
    target: Target,
    cluster: Option<Weak<Cluster>>,
    jobs: mpsc::Receiver<Job>,
    connection: Option<Connection>,
    /// Pipelines that are sent; empty without a connection.
    under_way: VecDeque<Batch>,
    /// How often in a row scripts were loaded again.
    loads: u32,
}

/// A pipeline.
struct Batch {
    jobs: Vec<Job>,
    shares: Shares,
    /// Whether its last command is WAIT.
    has_wait: bool,
    answers: Answers,
}

impl Worker {
    async fn run(mut self) {
        let mut is_open = true;
        while is_open || !self.under_way.is_empty() {
            let may_send = is_open && self.under_way.len() < MAX_UNDER_WAY;
            tokio::select! {
                biased;
                () = drive(&mut self.connection) => self.forget_connection(),
                result = oldest(&mut self.under_way) => self.finish_oldest(result).await,
                job = self.jobs.recv(), if may_send => match job {
                    Some(job) => self.send_with_what_waits(job).await,
                    None => is_open = false,
                },
            }
        }
    }

    async fn send_with_what_waits(&mut self, first: Job) {
        let (mut bytes, mut jobs) = (first.bytes, vec![first]);
        while jobs.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.bytes;
            jobs.push(job);
        }
        if let Err((jobs, error)) = self.send(jobs).await {
            self.break_off(jobs, &error);
        }
    }

    /// Sends a pipeline behind those under way.
    async fn send(&mut self, jobs: Vec<Job>) -> Result<(), (Vec<Job>, StoreError)> {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => match self.connector.connect(&self.target).await {
                Ok(connection) => self.connection.insert(connection),
                Err(error) => return Err((jobs, error)),
            },
        };
        let options = &self.connector.url().options;
        let calls = jobs.iter().map(|job| &job.call);
        let (mut pipeline, shares) = build(calls, self.cluster.is_some());
        let has_wait = options.wait > 0 && jobs.iter().any(|job| job.is_durable);
        if has_wait {
            let ms = u64::try_from(options.wait_time.as_millis()).unwrap_or(u64::MAX);
            pipeline.cmd("WAIT").arg(options.wait).arg(ms);
        }
        let answers = connection.send(pipeline);
        self.under_way.push_back(Batch { jobs, shares, has_wait, answers });
        Ok(())
    }

    /// The connection is lost. What is under way fails by itself, in its order; without any, it is as if there had
    /// been no connection yet.
    fn forget_connection(&mut self) {
        if self.under_way.is_empty() {
            self.connection = None;
        }
    }

    async fn finish_oldest(&mut self, result: RedisResult<Vec<Value>>) {
        let Some(batch) = self.under_way.pop_front() else { return };
        match result {
            Ok(values) => self.settle(batch, values).await,
            Err(error) => {
                let error = self.connector.judge(&error, &self.place());
                self.break_off(batch.jobs, &error);
            }
        }
    }

    async fn settle(&mut self, batch: Batch, mut values: Vec<Value>) {
        let Batch { jobs, shares, has_wait, .. } = batch;
        let shortfall = if has_wait { self.shortfall(values.pop()) } else { None };
        let mut then = Then::Stay;
        let answers = shares.split(values).into_iter().map(|value| {
            let Value::ServerError(error) = value else {
                self.connector.note_success();
                return Ok(value);
            };
            let (and_then, error) = judge(&error);
            then = then.max(and_then);
            Err(self.connector.soften(error))
        });
        let answers: Vec<Answer> = answers.collect();
        if then == Then::Load && self.loads < MAX_LOADS {
            return self.load_and_send_again(jobs).await;
        }
        if then != Then::Load {
            self.loads = 0;
        }
        for (job, answer) in jobs.into_iter().zip(answers) {
            let shortfall = shortfall.as_ref().filter(|_| job.is_durable && answer.is_ok());
            job.finish(shortfall.map_or(answer, |error| Err(error.clone())));
        }
        if then == Then::Leave {
            let text = format!("Redis at {} is not the right server any more", self.place());
            self.break_off(Vec::new(), &StoreError::Unavailable(text));
        }
    }

    /// What WAIT said, if it is not enough.
    fn shortfall(&self, answer: Option<Value>) -> Option<StoreError> {
        let options = &self.connector.url().options;
        match answer {
            Some(Value::Int(confirmed)) if confirmed >= 0 => {
                let is_enough = usize::try_from(confirmed).is_ok_and(|count| count >= options.wait);
                let ms = options.wait_time.as_millis();
                (!is_enough).then(|| too_few_replicas(confirmed, options.wait, ms))
            }
            Some(Value::ServerError(error)) => Some(judge(&error).1),
            _ => Some(StoreError::Unavailable("Redis did not answer WAIT".to_owned())),
        }
    }

    /// Sends all again that is not answered, from a pipeline on that did not find its scripts. Some of it
    /// may have taken effect already, which every script bears.
    async fn load_and_send_again(&mut self, mut jobs: Vec<Job>) {
        self.loads += 1;
        for batch in std::mem::take(&mut self.under_way) {
            // It says nothing that counts: a lost connection shows again at once.
            if let Some(connection) = &mut self.connection {
                let _ = connection.wait(batch.answers).await;
            }
            jobs.extend(batch.jobs);
        }
        let loaded = match &mut self.connection {
            Some(connection) => self.connector.load(connection).await,
            None => Ok(()),
        };
        if let Err(error) = loaded {
            return self.break_off(jobs, &error);
        }
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(MAX_BATCH));
            if let Err((mut unsent, error)) = self.send(jobs).await {
                unsent.extend(rest);
                return self.break_off(unsent, &error);
            }
            jobs = rest;
        }
    }

    /// Gives the connection up: fails these, all under way and all that waits.
    fn break_off(&mut self, jobs: Vec<Job>, error: &StoreError) {
        let under_way = std::mem::take(&mut self.under_way);
        for job in jobs.into_iter().chain(under_way.into_iter().flat_map(|batch| batch.jobs)) {
            job.finish(Err(error.clone()));
        }
        while let Ok(job) = self.jobs.try_recv() {
            job.finish(Err(error.clone()));
        }
        self.connection = None;
        if let Some(cluster) = self.cluster.as_ref().and_then(Weak::upgrade) {
            cluster.look_again();
        }
    }

    fn place(&self) -> String {
        match &self.target {
            Target::Node(node) => node.to_string(),
            Target::Primary => self.connector.url().to_string(),
        }
    }
}

/// Reads and writes, until the connection is lost; for ever if there is none.
async fn drive(connection: &mut Option<Connection>) {
    match connection {
        Some(connection) => connection.drive().await,
        None => std::future::pending().await,
    }
}

/// Waits for the oldest pipeline under way; for ever if there is none. It must be taken off then.
async fn oldest(under_way: &mut VecDeque<Batch>) -> RedisResult<Vec<Value>> {
    match under_way.front_mut() {
        Some(batch) => (&mut batch.answers).await,
        None => std::future::pending().await,
    }
}
