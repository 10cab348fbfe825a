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
use std::time::Duration;

use minerva_runtime::tasks::InlineWake;
use redis::{RedisResult, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::StoreError;
use super::super::fault_log::warn_fault;
use super::connection::{Connection, PendingReplies};
use super::connector::{Connected, Connector, Target};
use super::error::{
    ConnectionAction, classify, connection_replaced, queue_full, replaced_primary, unconfirmed,
};
use super::hooks::Hooks;
use super::lease_proof::LeaseProof;
use super::pipeline::{ReplyLayout, build};
use super::replica_set::{Checked, Limits, ReplicaSet, Requirement, Unconfirmed};
use super::request::{Reply, Request};
use super::sentinel::locate;
use super::url::{Kind, Node};
use crate::clock;

/// Capacity of the request queue: 32 requests for each of 64 partitions. Further requests fail as unavailable.
pub(super) const QUEUE_CAPACITY: usize = 2048;
/// Most commands per pipeline. Longer pipelines are no cheaper for the server and delay the replies.
const MAX_PIPELINE: usize = 64;
/// Bytes beyond which a pipeline takes no further command.
const MAX_PIPELINE_BYTES: usize = 4 << 20;
/// Pipelines in flight: the server processes one while the replies of the other travel. A larger number would make
/// each pipeline smaller.
const MAX_IN_FLIGHT: usize = 2;
/// Shortest time between two queries to the Sentinels about an unconfirmed append.
const REVIEW_PAUSE: Duration = Duration::from_secs(1);
/// Consecutive reloads of the scripts before the affected requests fail.
const MAX_RELOADS: u32 = 3;

/// Sending end of the request queue. After the last handle is dropped, the connection closes once all requests have
/// their reply.
#[derive(Debug, Clone)]
pub(super) struct PipelinedConnection(mpsc::Sender<Request>);

impl PipelinedConnection {
    /// Starts the task of the connection, which connects at the first request.
    pub(super) fn start(connector: Arc<Connector>, target: Target, hooks: Hooks) -> Self {
        let (sender, requests) = mpsc::channel(QUEUE_CAPACITY);
        let options = &connector.url().options;
        let limits = Limits { wait: options.wait_time, hold: options.hold };
        let replicas = ReplicaSet::new(options.wait, limits);
        let must_prove = hooks.data_set.is_some() && options.wait > 0 && target == Target::Primary;
        let lease_proof = must_prove.then(LeaseProof::default);
        let worker = Worker {
            connector,
            target,
            hooks,
            requests,
            connection: None,
            node: None,
            replicas,
            lease_proof,
            reviewed_at: None,
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
    hooks: Hooks,
    requests: mpsc::Receiver<Request>,
    connection: Option<Connection>,
    /// The server of the last connection.
    node: Option<Node>,
    /// The replicas of this server.
    replicas: ReplicaSet,
    /// Only of the connection for leases.
    lease_proof: Option<LeaseProof>,
    /// Time of the last review of the replicas.
    reviewed_at: Option<Instant>,
    /// Sent pipelines in order; empty without a connection.
    in_flight: VecDeque<SentPipeline>,
    /// Consecutive reloads of the scripts.
    reloads: u32,
}

struct SentPipeline {
    requests: Vec<Request>,
    layout: ReplyLayout,
    /// Condition of the durable requests; its commands are the last ones.
    requirement: Option<Requirement>,
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
                () = self.hooks.data_set_changed(), if self.connection.is_some() => {
                    self.on_data_set();
                }
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
            None => match self.connect().await {
                Ok(connection) => self.connection.insert(connection),
                Err(error) => return Err((requests, error)),
            },
        };
        let options = &self.connector.url().options;
        let commands = requests.iter().map(|request| &request.command);
        let in_cluster = self.connector.url().kind == Kind::Cluster;
        let (mut pipeline, layout) = build(commands, in_cluster);
        let must_confirm = options.wait > 0 && requests.iter().any(|request| request.is_durable);
        let requirement = must_confirm.then(|| self.replicas.requirement());
        if let Some(requirement) = &requirement {
            requirement.add_to(&mut pipeline, options.wait_time);
        }
        if self.lease_proof.is_some() {
            LeaseProof::add_to(&mut pipeline);
        }
        let replies = connection.send(pipeline);
        self.in_flight.push_back(SentPipeline { requests, layout, requirement, replies });
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection, StoreError> {
        if let Some(data_set) = &mut self.hooks.data_set {
            data_set.mark_unchanged();
        }
        let connected = self.connector.connect(&self.target).await?;
        let Connected { connection, node, replication, replicas, known_replicas } = connected;
        if let Some(proof) = &mut self.lease_proof {
            proof.on_connected(known_replicas);
        }
        self.replicas.on_connected(&node, &replication, &replicas, clock::now());
        self.hooks.report(Some(self.replicas.data_set()));
        self.node = Some(node);
        Ok(connection)
    }

    /// Closes the connection to a server that is no longer the primary.
    fn on_data_set(&mut self) {
        let Some(data_set) = &mut self.hooks.data_set else { return };
        let reported = data_set.borrow_and_update().clone();
        if reported != Some(self.replicas.data_set()) {
            self.fail_all(Vec::new(), &connection_replaced());
        }
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
        let SentPipeline { requests, layout, requirement, .. } = sent;
        if let (Some(proof), Some(node)) = (&mut self.lease_proof, &self.node) {
            let info = values.pop();
            let proven = proof.check(&self.connector, node, &mut self.replicas, info).await;
            if let Err(error) = proven {
                return self.fail_all(requests, &error);
            }
        }
        let unconfirmed = requirement.and_then(|requirement| self.check(&requirement, &mut values));
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
            let failed = unconfirmed.as_ref().filter(|_| request.is_durable && reply.is_ok());
            request.finish(failed.map_or(reply, |(_, error)| Err(error.clone())));
        }
        match (action, cause, unconfirmed) {
            (ConnectionAction::Reconnect, Some(cause), _)
            | (_, _, Some((Unconfirmed::NotPrimary, cause))) => {
                self.hooks.report(None);
                self.fail_all(Vec::new(), &cause);
            }
            (_, _, Some(_)) => self.review_replicas().await,
            (_, _, None) => {}
        }
    }

    /// Checks the confirmation of the durable requests of a pipeline, and records the state of the replicas. Returns
    /// the reason and the error of unconfirmed requests.
    fn check(
        &mut self,
        requirement: &Requirement,
        values: &mut Vec<Value>,
    ) -> Option<(Unconfirmed, StoreError)> {
        let Checked { before, after, result, error } = requirement.check(values);
        if let Some(after) = after {
            self.replicas.observe(before.as_ref(), &after, result.is_ok(), clock::now());
        }
        let reason = result.err()?;
        let error = match error {
            Some(error) if reason == Unconfirmed::NoReply => {
                self.connector.soften(classify(&error).1)
            }
            _ => {
                let wait = self.connector.url().options.wait_time;
                unconfirmed(&reason, &self.server_name(), wait)
            }
        };
        Some((reason, error))
    }

    /// Decides after an unconfirmed append whether the appends still wait for replicas that have failed for long.
    ///
    /// With Sentinels, this requires that they still name the server and that no failover is in progress.
    async fn review_replicas(&mut self) {
        if self.target == Target::Primary {
            let now = clock::now();
            if self.reviewed_at.is_some_and(|last| now < last + REVIEW_PAUSE) {
                return;
            }
            self.reviewed_at = Some(now);
            match locate(&self.connector).await {
                Ok(located) if Some(&located.primary) != self.node.as_ref() => {
                    let error = replaced_primary(&self.server_name(), &located.primary.to_string());
                    self.hooks.report(None);
                    return self.fail_all(Vec::new(), &error);
                }
                Ok(located) if located.is_settled => {}
                Ok(_) | Err(_) => return,
            }
        }
        for replica in self.replicas.release_expired(clock::now()) {
            warn_fault(&format!("appends no longer wait for replica {replica}, which has failed"));
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
        self.hooks.on_failure();
    }

    fn server_name(&self) -> String {
        match &self.target {
            Target::Node(node) => node.to_string(),
            Target::Primary => {
                let url = || self.connector.url().to_string();
                self.node.as_ref().map_or_else(url, Node::to_string)
            }
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
