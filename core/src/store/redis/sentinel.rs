//! Location of the primary through the Sentinels. All Sentinels of the address are queried at the same time. If too few
//! of them agree, the Sentinels that they know are queried, too: at least half of all known Sentinels must agree.
//!
//! Each failover has a greater configuration epoch, which a majority of the Sentinels has authorized. So the Sentinel
//! with the greatest epoch has the newest configuration, and a Sentinel that missed a failover has a smaller one.
//! The connector and `doctor` call this module; the connector verifies the role of the located server.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Pipeline, RedisError, Value};
use tokio::time::timeout;

use super::super::StoreError;
use super::super::fault_log::warn_fault;
use super::ask_all::ask_all;
use super::connector::Connector;
use super::error::{classify_sentinel, sentinels_disagree, timed_out, unknown_primary};
use super::url::{Kind, Node};

/// Most Sentinels outside of the list that are queried.
const MAX_UNLISTED: usize = 16;

/// The primary according to the Sentinels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) primary: Node,
    /// Connected replicas of the primary, each of which a failover may promote.
    pub(super) replicas: Vec<Node>,
    /// Number of all replicas of the primary, connected or not, until `SENTINEL RESET`.
    pub(super) known_replicas: usize,
    /// At least half of all Sentinels have the newest configuration, and none of these reports a failover in progress
    /// or an unreachable primary.
    pub(super) is_settled: bool,
}

/// The configuration of one Sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) primary: Node,
    pub(super) epoch: u64,
    /// Identity of this Sentinel; empty if unknown.
    id: String,
    /// Identity and address of each other Sentinel that monitors the primary.
    others: Vec<(String, Node)>,
    /// `down-after-milliseconds`: how long the primary must be unreachable before a failover.
    pub(super) down_after_ms: u64,
    is_failing_over: bool,
    replicas: Vec<Node>,
    /// Number of all replicas, connected or not.
    known_replicas: usize,
}

/// The reply of one Sentinel. An unknown name is [`None`].
pub(super) type SentinelReply = Result<Option<View>, StoreError>;

/// Locates the primary.
///
/// # Errors
/// [`StoreError::Unavailable`] if no Sentinel knows the primary, or if replicas must confirm appends and fewer than
/// half of all Sentinels have the newest configuration: then a failover may have happened unseen.
/// [`StoreError::Config`] if no Sentinel replies and one refuses the login.
pub(super) async fn locate(connector: &Connector) -> Result<Located, StoreError> {
    let Kind::Sentinel(name) = &connector.url().kind else {
        return Err(StoreError::Config("--store names no Sentinels".to_owned()));
    };
    let replies = replies(connector, name).await;
    decide(&replies, connector.url().nodes.len(), name, connector.url().options.wait > 0)
}

/// The primary according to the replies of all queried Sentinels; the first `listed` ones are listed. The errors are
/// those of [`locate`].
pub(super) fn decide(
    replies: &[(Node, SentinelReply)],
    listed: usize,
    name: &str,
    must_agree: bool,
) -> Result<Located, StoreError> {
    let mut failure = None;
    for (_, reply) in replies {
        match reply {
            Ok(Some(_)) => {}
            Ok(None) => failure = failure.or_else(|| Some(unknown_primary(name))),
            Err(error @ StoreError::Config(_)) => failure = Some(error.clone()),
            Err(error) => failure = failure.or_else(|| Some(error.clone())),
        }
    }
    let total = count_all(replies, listed);
    let Some((located, agreeing)) = choose(views(replies).cloned().collect(), total) else {
        return Err(failure.unwrap_or_else(|| unknown_primary(name)));
    };
    if let Some(StoreError::Config(refusal)) = failure {
        warn_fault(&refusal);
    }
    if must_agree && agreeing * 2 < total {
        return Err(sentinels_disagree(&located.primary.to_string(), agreeing, total));
    }
    Ok(located)
}

/// The reply of each listed Sentinel. If fewer than half of all Sentinels agree and replicas must confirm appends, the
/// replies of the unlisted Sentinels follow that the listed ones know.
pub(super) async fn replies(connector: &Connector, name: &str) -> Vec<(Node, SentinelReply)> {
    let ask = async |sentinels: &[Node]| {
        ask_all(sentinels, |sentinel| query(connector, sentinel, name), Option::is_some).await
    };
    let mut replies = ask(&connector.url().nodes).await;
    let views = views(&replies).cloned().collect();
    let total = count_all(&replies, replies.len());
    let must_agree = connector.url().options.wait > 0;
    if must_agree && choose(views, total).is_some_and(|(_, agreeing)| agreeing * 2 < total) {
        let unlisted = unlisted(&replies);
        replies.extend(ask(&unlisted).await);
    }
    replies
}

/// The configurations; of a Sentinel with several addresses only the first one.
fn views(replies: &[(Node, SentinelReply)]) -> impl Iterator<Item = &View> {
    let mut seen = BTreeSet::new();
    let views = replies.iter().filter_map(|(_, reply)| reply.as_ref().ok()?.as_ref());
    views.filter(move |view| view.id.is_empty() || seen.insert(&*view.id))
}

/// Number of all Sentinels: as many as one of them counts, at least the listed ones.
fn count_all(replies: &[(Node, SentinelReply)], listed: usize) -> usize {
    views(replies).map(View::sentinels).max().unwrap_or(0).max(listed)
}

/// Addresses of known Sentinels that have not replied, at most [`MAX_UNLISTED`].
fn unlisted(replies: &[(Node, SentinelReply)]) -> Vec<Node> {
    let replied: BTreeSet<&str> = views(replies).map(|view| &*view.id).collect();
    let is_missing =
        |id: &str, node: &Node| !replied.contains(id) && replies.iter().all(|(one, _)| one != node);
    let mut missing = BTreeMap::new();
    for (id, node) in views(replies).flat_map(|view| &view.others) {
        if is_missing(id, node) {
            missing.entry(&**id).or_insert(node);
        }
    }
    missing.into_values().take(MAX_UNLISTED).cloned().collect()
}

async fn query(connector: &Connector, sentinel: &Node, name: &str) -> SentinelReply {
    let server = sentinel.to_string();
    let replied = async {
        let mut connection = connector.dial_sentinel(sentinel).await?;
        let mut query = Pipeline::new();
        for command in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS", "SENTINELS"] {
            query.cmd("SENTINEL").arg(command).arg(name);
        }
        query.cmd("SENTINEL").arg("MYID");
        let values = connection.req_packed_commands(&query, 0, query.len()).await;
        values.and_then(parse_view).map_err(|error| classify_sentinel(&error, &server))
    };
    let in_time = timeout(connector.url().options.connect, replied).await;
    let reply = in_time.unwrap_or_else(|_| Err(timed_out(&server)));
    reply.map_err(|error| connector.soften(error))
}

/// Parses the replies to the queries of one Sentinel.
fn parse_view(values: Vec<Value>) -> Result<Option<View>, RedisError> {
    let mut values = values.into_iter();
    let id = if values.len() > 4 { values.next_back() } else { None };
    let mut next = || values.next().unwrap_or(Value::Nil).extract_error();
    let Some((host, port)) = Option::<(String, u16)>::from_redis_value(next()?)? else {
        return Ok(None);
    };
    let fields = HashMap::<String, String>::from_redis_value(next()?)?;
    let flags = fields.get("flags").map_or("", |flags| flags);
    let number = |name| fields.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let has_flag = |name| flags.split(',').any(|flag| flag == name);
    let replicas = Vec::<HashMap<String, String>>::from_redis_value(next()?)?;
    let others = Vec::<HashMap<String, String>>::from_redis_value(next()?)?;
    Ok(Some(View {
        primary: Node { host, port },
        epoch: number("config-epoch"),
        id: id.and_then(|id| String::from_redis_value(id).ok()).unwrap_or_default(),
        others: others.iter().filter_map(other_sentinel).collect(),
        down_after_ms: number("down-after-milliseconds"),
        is_failing_over: has_flag("failover_in_progress") || has_flag("o_down"),
        known_replicas: replicas.len(),
        replicas: replicas.iter().filter_map(connected_replica).collect(),
    }))
}

impl View {
    /// Number of Sentinels that monitor the primary, including this one.
    pub(super) fn sentinels(&self) -> usize {
        self.others.len() + 1
    }
}

/// Identity and address of another Sentinel. An unknown identity is replaced by the address.
fn other_sentinel(fields: &HashMap<String, String>) -> Option<(String, Node)> {
    let field = |name| fields.get(name).map(String::as_str);
    let node = Node { host: field("ip")?.to_owned(), port: field("port")?.parse().ok()? };
    let id =
        field("runid").filter(|id| !id.is_empty()).map_or_else(|| node.to_string(), str::to_owned);
    Some((id, node))
}

/// The address of a replica that is reachable and in contact with the primary.
fn connected_replica(fields: &HashMap<String, String>) -> Option<Node> {
    let field = |name| fields.get(name).map(String::as_str);
    let is_down = field("flags").is_none_or(|flags| flags.split(',').any(|flag| flag == "s_down"));
    if is_down || field("master-link-status") != Some("ok") {
        return None;
    }
    Some(Node { host: field("ip")?.to_owned(), port: field("port")?.parse().ok()? })
}

/// The newest configuration, and the number of Sentinels that have this configuration.
fn choose(views: Vec<View>, total: usize) -> Option<(Located, usize)> {
    let newest = views.iter().map(|view| view.epoch).max()?;
    let current: Vec<View> = views.into_iter().filter(|view| view.epoch == newest).collect();
    let votes = |node: &Node| current.iter().filter(|view| view.primary == *node).count();
    // Of equally many votes, the first Sentinel decides.
    let primary = current.iter().rev().map(|view| &view.primary).max_by_key(|node| votes(node))?;
    let agreeing: Vec<&View> = current.iter().filter(|view| view.primary == *primary).collect();
    let mut replicas = Vec::new();
    for replica in agreeing.iter().flat_map(|view| &view.replicas) {
        if replica != primary && !replicas.contains(replica) {
            replicas.push(replica.clone());
        }
    }
    let known_replicas = agreeing.iter().map(|view| view.known_replicas).max().unwrap_or(0);
    let is_changing = current.iter().any(|view| view.is_failing_over || view.primary != *primary);
    let is_settled = agreeing.len() * 2 >= total && !is_changing;
    let located = Located { primary: primary.clone(), replicas, known_replicas, is_settled };
    Some((located, agreeing.len()))
}

#[cfg(test)]
impl View {
    /// A configuration without replicas, of a Sentinel that knows other ones.
    pub(super) fn with_others(primary: Node, epoch: u64, count: u16) -> Self {
        let other = |port| (format!("id {port}"), Node { host: "other".to_owned(), port });
        Self { others: (0..count).map(other).collect(), ..Self::new(primary, epoch) }
    }

    /// A configuration without replicas and other Sentinels.
    pub(super) fn new(primary: Node, epoch: u64) -> Self {
        Self {
            primary,
            epoch,
            id: String::new(),
            others: Vec::new(),
            down_after_ms: 1000,
            is_failing_over: false,
            replicas: Vec::new(),
            known_replicas: 0,
        }
    }
}

#[cfg(test)]
mod tests;
