//! One server connection with an ordered request queue. Waiting requests are sent as one pipeline ([`pipeline`]), with
//! up to two pipelines in flight.
//!
//! After a connection failure, all requests in flight and all waiting requests fail before a new connection is made:
//! no request can overtake an earlier request that is believed to be in flight. Callers repeat failed requests,
//! and every script is idempotent. If the server has lost the scripts, they are loaded again, and all requests in
//! flight are sent again in order.
//!
//! [`pipeline`]: super::pipeline

use std::collections::VecDeque;
use std::sync::Arc;

use minerva_runtime::tasks::InlineWake;
use redis::{RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use super::super::StoreError;
use super::connection::{Connection, PendingReplies};
use super::connector::{Connector, Target};
use super::error::{ConnectionAction, classify, queue_full, too_few_replicas};
use super::pipeline::{Command, ReplyLayout, build};
use super::url::Kind;

/// Capacity of the request queue: 32 requests for each of 64 partitions. Further requests fail as unavailable.
pub(super) const QUEUE_CAPACITY: usize = 2048;
/// Most commands per pipeline. Longer pipelines are no cheaper for the server and delay the replies.
const MAX_PIPELINE: usize = 64;
/// Bytes beyond which a pipeline takes no further command.
const MAX_PIPELINE_BYTES: usize = 4 << 20;
/// Pipelines in flight: the server processes one while the replies of the other travel. A larger number would make
/// each pipeline smaller.
const MAX_IN_FLIGHT: usize = 2;
/// Consecutive reloads of the scripts before the affected requests fail.
const MAX_RELOADS: u32 = 3;

/// Outcome of a request.
pub(super) type Reply = Result<Value, StoreError>;

/// A queued command and the destination of the reply.
pub(super) struct Request {
    pub(super) command: Command,
    /// Approximate size of the command.
    pub(super) bytes: usize,
    /// Whether the reply waits for the replicas, if the address requires any.
    pub(super) is_durable: bool,
    pub(super) reply_to: oneshot::Sender<Reply>,
}

impl Request {
    /// Sends the reply. The caller may have dropped the receiver.
    pub(super) fn finish(self, reply: Reply) {
        let _ = self.reply_to.send(reply);
    }
}

/// Called after each connection failure.
pub(super) type OnFailure = Box<dyn Fn() + Send + Sync>;

/// Sending end of the request queue. After the last handle is dropped, the connection closes once all requests have
/// their reply.
#[derive(Debug, Clone)]
pub(super) struct PipelinedConnection(mpsc::Sender<Request>);

impl PipelinedConnection {
    /// Starts the task of the connection, which connects at the first request. A cluster passes `on_failure`.
    pub(super) fn start(
        connector: Arc<Connector>,
        target: Target,
        on_failure: Option<OnFailure>,
    ) -> Self {
        let (sender, requests) = mpsc::channel(QUEUE_CAPACITY);
        let worker = Worker {
            connector,
            target,
            on_failure,
            requests,
            connection: None,
            in_flight: VecDeque::new(),
            reloads: 0,
        };
        tokio::spawn(InlineWake::new(worker.run()));
        Self(sender)
    }

    /// Enqueues a request. With a full queue the request fails.
    pub(super) fn send(&self, request: Request) {
        if let Err(refused) = self.0.try_send(request) {
            refused.into_inner().finish(Err(queue_full()));
        }
    }
}

struct Worker {
    connector: Arc<Connector>,
    target: Target,
    on_failure: Option<OnFailure>,
    requests: mpsc::Receiver<Request>,
    connection: Option<Connection>,
    /// Sent pipelines in order; empty without a connection.
    in_flight: VecDeque<SentPipeline>,
    /// Consecutive reloads of the scripts.
    reloads: u32,
}

struct SentPipeline {
    requests: Vec<Request>,
    layout: ReplyLayout,
    /// Whether the last command is WAIT.
    has_wait: bool,
    replies: PendingReplies,
}

impl Worker {
    async fn run(mut self) {
        let mut is_open = true;
        while is_open || !self.in_flight.is_empty() {
            let may_send = is_open && self.in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                () = drive(&mut self.connection) => self.on_connection_lost(),
                result = oldest_replies(&mut self.in_flight) => self.on_replies(result).await,
                request = self.requests.recv(), if may_send => match request {
                    Some(request) => self.send_with_waiting(request).await,
                    None => is_open = false,
                },
            }
        }
    }

    /// Sends a pipeline of the given request and all waiting requests within the limits.
    async fn send_with_waiting(&mut self, first: Request) {
        let (mut bytes, mut requests) = (first.bytes, vec![first]);
        while requests.len() < MAX_PIPELINE && bytes < MAX_PIPELINE_BYTES {
            let Ok(request) = self.requests.try_recv() else { break };
            bytes += request.bytes;
            requests.push(request);
        }
        if let Err((requests, error)) = self.send(requests).await {
            self.fail_all(requests, &error);
        }
    }

    async fn send(&mut self, requests: Vec<Request>) -> Result<(), (Vec<Request>, StoreError)> {
        let connection = match &self.connection {
            Some(connection) => connection,
            None => match self.connector.connect(&self.target).await {
                Ok(connection) => self.connection.insert(connection),
                Err(error) => return Err((requests, error)),
            },
        };
        let options = &self.connector.url().options;
        let commands = requests.iter().map(|request| &request.command);
        let in_cluster = self.connector.url().kind == Kind::Cluster;
        let (mut pipeline, layout) = build(commands, in_cluster);
        let has_wait = options.wait > 0 && requests.iter().any(|request| request.is_durable);
        if has_wait {
            let ms = u64::try_from(options.wait_time.as_millis()).unwrap_or(u64::MAX);
            pipeline.cmd("WAIT").arg(options.wait).arg(ms);
        }
        let replies = connection.send(pipeline);
        self.in_flight.push_back(SentPipeline { requests, layout, has_wait, replies });
        Ok(())
    }

    /// Drops a lost idle connection. Pipelines in flight fail through their own replies, in order.
    fn on_connection_lost(&mut self) {
        if self.in_flight.is_empty() {
            self.connection = None;
        }
    }

    async fn on_replies(&mut self, result: RedisResult<Vec<Value>>) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        match result {
            Ok(values) => self.finish_pipeline(sent, values).await,
            Err(error) => {
                let error = self.connector.classify(&error, &self.server_name());
                self.fail_all(sent.requests, &error);
            }
        }
    }

    async fn finish_pipeline(&mut self, sent: SentPipeline, mut values: Vec<Value>) {
        let SentPipeline { requests, layout, has_wait, .. } = sent;
        let replica_error = if has_wait { self.replica_error(values.pop()) } else { None };
        let (mut action, mut cause) = (ConnectionAction::Keep, None);
        let replies = layout.split(values).into_iter().map(|value| {
            let Value::ServerError(error) = value else {
                self.connector.note_success();
                return Ok(value);
            };
            let (required, error) = classify(&error);
            let error = self.connector.soften(error);
            if required > action {
                (action, cause) = (required, Some(error.clone()));
            }
            Err(error)
        });
        let replies: Vec<Reply> = replies.collect();
        if action == ConnectionAction::LoadScripts && self.reloads < MAX_RELOADS {
            return self.load_scripts_and_resend(requests).await;
        }
        if action != ConnectionAction::LoadScripts {
            self.reloads = 0;
        }
        for (request, reply) in requests.into_iter().zip(replies) {
            let failed = replica_error.as_ref().filter(|_| request.is_durable && reply.is_ok());
            request.finish(failed.map_or(reply, |error| Err(error.clone())));
        }
        if let (ConnectionAction::Reconnect, Some(cause)) = (action, cause) {
            self.fail_all(Vec::new(), &cause);
        }
    }

    /// The error of durable requests if WAIT was not confirmed by enough replicas.
    fn replica_error(&self, reply: Option<Value>) -> Option<StoreError> {
        let options = &self.connector.url().options;
        match reply {
            Some(Value::Int(confirmed)) if confirmed >= 0 => {
                let is_enough = usize::try_from(confirmed).is_ok_and(|count| count >= options.wait);
                let ms = options.wait_time.as_millis();
                (!is_enough).then(|| too_few_replicas(confirmed, options.wait, ms))
            }
            Some(Value::ServerError(error)) => Some(classify(&error).1),
            _ => Some(StoreError::Unavailable("Redis did not reply to WAIT".to_owned())),
        }
    }

    /// Loads the scripts and sends again all requests in flight, beginning with the pipeline that lacked a script.
    /// Some of them may have taken effect already, which the idempotent scripts permit.
    async fn load_scripts_and_resend(&mut self, mut requests: Vec<Request>) {
        self.reloads += 1;
        for sent in std::mem::take(&mut self.in_flight) {
            // The replies are discarded. A lost connection fails the next command.
            if let Some(connection) = &mut self.connection {
                let _ = connection.wait(sent.replies).await;
            }
            requests.extend(sent.requests);
        }
        let loaded = match &mut self.connection {
            Some(connection) => self.connector.load_scripts(connection).await,
            None => Ok(()),
        };
        if let Err(error) = loaded {
            return self.fail_all(requests, &error);
        }
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(MAX_PIPELINE));
            if let Err((mut unsent, error)) = self.send(requests).await {
                unsent.extend(rest);
                return self.fail_all(unsent, &error);
            }
            requests = rest;
        }
    }

    /// Closes the connection; fails the given requests, all in flight and all waiting, in order.
    fn fail_all(&mut self, requests: Vec<Request>, error: &StoreError) {
        let in_flight = std::mem::take(&mut self.in_flight).into_iter();
        for request in requests.into_iter().chain(in_flight.flat_map(|sent| sent.requests)) {
            request.finish(Err(error.clone()));
        }
        while let Ok(request) = self.requests.try_recv() {
            request.finish(Err(error.clone()));
        }
        self.connection = None;
        if let Some(on_failure) = &self.on_failure {
            on_failure();
        }
    }

    fn server_name(&self) -> String {
        match &self.target {
            Target::Node(node) => node.to_string(),
            Target::Primary => self.connector.url().to_string(),
        }
    }
}

/// Reads and writes until the connection is lost; pending without a connection.
async fn drive(connection: &mut Option<Connection>) {
    match connection {
        Some(connection) => connection.drive().await,
        None => std::future::pending().await,
    }
}

/// Waits for the replies of the oldest pipeline in flight, which the caller then removes; pending without one.
async fn oldest_replies(in_flight: &mut VecDeque<SentPipeline>) -> RedisResult<Vec<Value>> {
    match in_flight.front_mut() {
        Some(sent) => (&mut sent.replies).await,
        None => std::future::pending().await,
    }
}
