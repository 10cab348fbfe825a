//! Checks the servers of a Redis store for `minerva-core doctor`: configuration, durability and clock.
//!
//! A serving core does not call this module; its start-up performs the checks of [`server_info`], which are also
//! part of the findings here.
//!
//! [`server_info`]: super::server_info

mod findings;
mod sentinels;

use std::sync::Arc;

use minerva_runtime::doctor::Finding;
use redis::cmd;

use self::findings::{ServerReport, findings};
use self::sentinels::{longest_down_after, sentinel_findings};
use super::super::StoreError;
use super::cluster::Cluster;
use super::connection::Connection;
use super::connector::Connector;
use super::sentinel;
use super::url::{Kind, Node, RedisUrl};
use crate::clock;

/// Checks each server that the store writes to.
pub(in super::super) async fn examine(url: &RedisUrl) -> Vec<Finding> {
    let failed = |error: StoreError| vec![Finding::fail("Redis", url, error.to_string())];
    let connector = match Connector::new(url.clone()) {
        Ok(connector) => Arc::new(connector),
        Err(error) => return failed(error),
    };
    let (mut all, nodes, failover_ms) = match servers(&connector).await {
        Ok(found) => found,
        Err(error) => return failed(error),
    };
    for node in nodes {
        match query(&connector, &node).await {
            Ok(mut report) => {
                report.failover_ms = report.failover_ms.or(failover_ms);
                all.extend(findings(&report, url));
            }
            Err(error) => {
                all.push(Finding::fail(format!("Redis at {node}"), "unusable", error.to_string()));
            }
        }
    }
    all
}

/// The findings about the location of the servers, the servers that currently receive writes, and the failover time of
/// the Sentinels.
type Servers = (Vec<Finding>, Vec<Node>, Option<u64>);

async fn servers(connector: &Arc<Connector>) -> Result<Servers, StoreError> {
    match &connector.url().kind {
        Kind::Single => Ok((Vec::new(), connector.url().nodes.clone(), None)),
        Kind::Sentinel(name) => {
            let replies = sentinel::replies(connector, name).await;
            let (listed, wait) = (connector.url().nodes.len(), connector.url().options.wait);
            let located = sentinel::decide(&replies, listed, name, wait > 0)?;
            let findings = sentinel_findings(&replies, &located, listed);
            Ok((findings, vec![located.primary], longest_down_after(&replies)))
        }
        Kind::Cluster => {
            Ok((Vec::new(), Cluster::new(Arc::clone(connector)).owners().await?, None))
        }
    }
}

async fn query(connector: &Connector, node: &Node) -> Result<ServerReport, StoreError> {
    let server = node.to_string();
    let mut connection = connector.dial(node).await?;
    let info = cmd("INFO").query_async::<String>(&mut connection).await;
    let info = info.map_err(|error| connector.classify(&error, &server))?;
    let sent = clock::wall_ms();
    let time = cmd("TIME").query_async::<(u64, u64)>(&mut connection).await;
    let received = clock::wall_ms();
    let node_timeout = match connector.url().kind {
        Kind::Cluster => setting(&mut connection, "cluster-node-timeout").await,
        Kind::Single | Kind::Sentinel(_) => None,
    };
    Ok(ServerReport {
        server,
        failover_ms: node_timeout.and_then(|timeout| timeout.parse().ok()),
        info,
        // Compares with the middle of the round trip.
        clock_ahead_ms: time.ok().map(|(s, us)| {
            ahead(s.saturating_mul(1000).saturating_add(us / 1000), sent.midpoint(received))
        }),
        appendfsync: setting(&mut connection, "appendfsync").await,
        min_replicas: setting(&mut connection, "min-replicas-to-write").await,
        scripts: connector.load_scripts(&mut connection).await,
    })
}

fn ahead(theirs: u64, ours: u64) -> i64 {
    let off = i64::try_from(theirs.abs_diff(ours)).unwrap_or(i64::MAX);
    if theirs < ours { -off } else { off }
}

/// A server setting; `None` if the user lacks the permission, as on many hosted servers.
async fn setting(connection: &mut Connection, name: &str) -> Option<String> {
    let mut query = cmd("CONFIG");
    query.arg("GET").arg(name);
    let (_, value) = query.query_async::<(String, String)>(connection).await.ok()?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_offset_has_a_sign() {
        assert_eq!((ahead(7, 5), ahead(5, 7), ahead(5, 5)), (2, -2, 0));
        assert_eq!(ahead(u64::MAX, 0), i64::MAX);
    }
}
