//! Location of the primary through the Sentinels. All Sentinels of the address are queried at the same time.
//!
//! Each failover has a greater configuration epoch, which a majority of the Sentinels has authorized. So the Sentinel
//! with the greatest epoch has the newest configuration, and a Sentinel that missed a failover has a smaller one.
//! The connector and `doctor` call this module; the connector verifies the role of the located server.

use std::collections::HashMap;

use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Pipeline, RedisError, Value};
use tokio::time::timeout;

use super::super::StoreError;
use super::super::fault_log::warn_fault;
use super::ask_all::ask_all;
use super::connector::Connector;
use super::error::{classify_sentinel, sentinels_disagree, timed_out, unknown_primary};
use super::url::{Kind, Node};

/// The primary according to the Sentinels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) primary: Node,
    /// Connected replicas of the primary, each of which a failover may promote.
    pub(super) replicas: Vec<Node>,
    /// At least half of the listed Sentinels have the newest configuration, and none of these reports a failover in
    /// progress or an unreachable primary.
    pub(super) is_settled: bool,
}

/// The configuration of one Sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) primary: Node,
    pub(super) epoch: u64,
    /// Number of Sentinels that monitor the primary, including this one.
    pub(super) sentinels: usize,
    is_failing_over: bool,
    replicas: Vec<Node>,
}

/// The reply of one Sentinel. An unknown name is [`None`].
pub(super) type SentinelReply = Result<Option<View>, StoreError>;

/// Locates the primary.
///
/// # Errors
/// [`StoreError::Unavailable`] if no Sentinel knows the primary, or if replicas must confirm appends and fewer than
/// half of the listed Sentinels have the newest configuration: then a failover may have happened unseen.
/// [`StoreError::Config`] if no Sentinel replies and one refuses the login.
pub(super) async fn locate(connector: &Connector) -> Result<Located, StoreError> {
    let Kind::Sentinel(name) = &connector.url().kind else {
        return Err(StoreError::Config("--store names no Sentinels".to_owned()));
    };
    let replies = replies(connector, name).await;
    decide(&replies, name, connector.url().options.wait > 0)
}

/// The primary according to the replies of all listed Sentinels. The errors are those of [`locate`].
pub(super) fn decide(
    replies: &[(Node, SentinelReply)],
    name: &str,
    must_agree: bool,
) -> Result<Located, StoreError> {
    let (mut views, mut failure) = (Vec::new(), None);
    for (_, reply) in replies {
        match reply {
            Ok(Some(view)) => views.push(view.clone()),
            Ok(None) => failure = failure.or_else(|| Some(unknown_primary(name))),
            Err(error @ StoreError::Config(_)) => failure = Some(error.clone()),
            Err(error) => failure = failure.or_else(|| Some(error.clone())),
        }
    }
    let Some((located, agreeing)) = choose(views, replies.len()) else {
        return Err(failure.unwrap_or_else(|| unknown_primary(name)));
    };
    if let Some(StoreError::Config(refusal)) = failure {
        warn_fault(&refusal);
    }
    if must_agree && agreeing * 2 < replies.len() {
        return Err(sentinels_disagree(&located.primary.to_string(), agreeing, replies.len()));
    }
    Ok(located)
}

/// The reply of each listed Sentinel.
pub(super) async fn replies(connector: &Connector, name: &str) -> Vec<(Node, SentinelReply)> {
    let query = |sentinel| query(connector, sentinel, name);
    ask_all(&connector.url().nodes, query, Option::is_some).await
}

async fn query(connector: &Connector, sentinel: &Node, name: &str) -> SentinelReply {
    let server = sentinel.to_string();
    let replied = async {
        let mut connection = connector.dial_sentinel(sentinel).await?;
        let mut query = Pipeline::new();
        for command in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS"] {
            query.cmd("SENTINEL").arg(command).arg(name);
        }
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
    let mut next = || values.next().unwrap_or(Value::Nil).extract_error();
    let Some((host, port)) = Option::<(String, u16)>::from_redis_value(next()?)? else {
        return Ok(None);
    };
    let fields = HashMap::<String, String>::from_redis_value(next()?)?;
    let flags = fields.get("flags").map_or("", |flags| flags);
    let number = |name| fields.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let has_flag = |name| flags.split(',').any(|flag| flag == name);
    let replicas = Vec::<HashMap<String, String>>::from_redis_value(next()?)?;
    Ok(Some(View {
        primary: Node { host, port },
        epoch: number("config-epoch"),
        sentinels: usize::try_from(number("num-other-sentinels"))
            .unwrap_or(usize::MAX)
            .saturating_add(1),
        is_failing_over: has_flag("failover_in_progress") || has_flag("o_down"),
        replicas: replicas.iter().filter_map(connected_replica).collect(),
    }))
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
fn choose(views: Vec<View>, listed: usize) -> Option<(Located, usize)> {
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
    let is_changing = current.iter().any(|view| view.is_failing_over || view.primary != *primary);
    let is_settled = agreeing.len() * 2 >= listed && !is_changing;
    Some((Located { primary: primary.clone(), replicas, is_settled }, agreeing.len()))
}

#[cfg(test)]
impl View {
    /// A configuration without replicas.
    pub(super) fn new(primary: Node, epoch: u64, sentinels: usize) -> Self {
        Self { primary, epoch, sentinels, is_failing_over: false, replicas: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> Node {
        Node { host: "h".to_owned(), port }
    }

    fn view(epoch: u64, primary: u16, replicas: &[u16]) -> View {
        let replicas = replicas.iter().map(|port| node(*port)).collect();
        View { replicas, ..View::new(node(primary), epoch, 1) }
    }

    fn chosen(views: &[View], listed: usize) -> (u16, usize, bool) {
        let (located, agreeing) = choose(views.to_vec(), listed).unwrap();
        (located.primary.port, agreeing, located.is_settled)
    }

    #[test]
    fn the_greatest_epoch_decides_and_not_the_order_or_the_number() {
        let (stale, current) = (view(3, 1, &[2]), view(4, 2, &[1]));
        assert_eq!(chosen(&[stale.clone(), current.clone()], 2), (2, 1, true));
        assert_eq!(chosen(&[current.clone(), stale.clone()], 2), (2, 1, true));
        assert_eq!(chosen(&[stale.clone(), stale.clone(), current], 3), (2, 1, false));
        assert_eq!(choose(Vec::new(), 3), None);
    }

    #[test]
    fn most_votes_decide_within_an_epoch_and_then_the_order() {
        let (one, two) = (view(0, 1, &[]), view(0, 2, &[]));
        assert_eq!(chosen(&[one.clone(), two.clone(), two.clone()], 3), (2, 2, false));
        assert_eq!(chosen(&[one, two], 2), (1, 1, false));
    }

    #[test]
    fn a_settled_location_has_half_of_the_listed_sentinels_and_no_failover() {
        let current = view(4, 2, &[1]);
        for (replied, listed, is_settled) in
            [(1, 1, true), (1, 2, true), (1, 3, false), (2, 3, true), (2, 5, false), (3, 5, true)]
        {
            assert_eq!(chosen(&vec![current.clone(); replied], listed), (2, replied, is_settled));
        }
        let failing_over = View { is_failing_over: true, ..current.clone() };
        assert_eq!(chosen(&[current.clone(), current, failing_over], 3), (2, 3, false));
    }

    #[test]
    fn the_replicas_of_all_agreeing_sentinels_count_once() {
        let views = vec![view(4, 2, &[1, 3]), view(4, 2, &[3, 5]), view(3, 1, &[7])];
        let (located, _) = choose(views, 3).unwrap();
        assert_eq!(located.replicas, [node(1), node(3), node(5)]);
    }

    fn strings(parts: &[&str]) -> Value {
        Value::Array(parts.iter().map(|part| Value::BulkString(part.as_bytes().to_vec())).collect())
    }

    #[test]
    fn replies_are_parsed() {
        let replica = |flags, link| {
            strings(&["ip", "h", "port", "3", "flags", flags, "master-link-status", link])
        };
        let replicas = [("slave", "ok"), ("s_down,slave", "ok"), ("slave", "err")]
            .map(|(flags, link)| replica(flags, link));
        let master = strings(&[
            "num-other-sentinels",
            "2",
            "config-epoch",
            "9",
            "flags",
            "master,failover_in_progress",
        ]);
        let values = vec![strings(&["h", "2"]), master, Value::Array(replicas.into())];
        let expected = View { is_failing_over: true, sentinels: 3, ..view(9, 2, &[3]) };
        assert_eq!(parse_view(values).unwrap(), Some(expected));
        assert_eq!(parse_view(vec![Value::Nil]).unwrap(), None);
        assert!(parse_view(vec![strings(&["h", "2"]), Value::Int(1)]).is_err());
    }
}
