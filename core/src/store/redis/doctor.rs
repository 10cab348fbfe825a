//! Looks at the servers of a store for `minerva-core doctor`: how they are set up, whether they can keep what they
//! are told, and their clock. Never used by a core that serves; what a core refuses at its start is judged by
//! [`Server`], here as there.

mod judge;

use std::sync::Arc;

use minerva_runtime::doctor::Finding;
use redis::cmd;

use self::judge::{Reading, judge};
use super::super::StoreError;
use super::address::{Kind, Node, RedisUrl};
use super::cluster::Cluster;
use super::connection::Connection;
use super::connector::Connector;
use crate::clock;

/// Looks at every server that a store writes to.
pub(in super::super) async fn examine(url: &RedisUrl) -> Vec<Finding> {
    let unfit = |error: StoreError| vec![Finding::fail("Redis", url, error.to_string())];
    let connector = match Connector::new(url.clone()) {
        Ok(connector) => Arc::new(connector),
        Err(error) => return unfit(error),
    };
    let nodes = match servers(&connector).await {
        Ok(nodes) => nodes,
        Err(error) => return unfit(error),
    };
    let mut findings = Vec::new();
    for node in nodes {
        match read(&connector, &node).await {
            Ok(reading) => findings.extend(judge(&reading, url)),
            Err(error) => {
                findings.push(Finding::fail(
                    format!("Redis at {node}"),
                    "no use",
                    error.to_string(),
                ));
            }
        }
    }
    findings
}

/// The servers that are written to at this moment.
async fn servers(connector: &Arc<Connector>) -> Result<Vec<Node>, StoreError> {
    match connector.url().kind {
        Kind::Single => Ok(connector.url().nodes.clone()),
        Kind::Sentinel(_) => Ok(vec![connector.ask_sentinels().await?]),
        Kind::Cluster => Cluster::new(Arc::clone(connector)).owners().await,
    }
}

async fn read(connector: &Connector, node: &Node) -> Result<Reading, StoreError> {
    let place = node.to_string();
    let mut connection = connector.dial(node).await?;
    let info = cmd("INFO").query_async::<String>(&mut connection).await;
    let info = info.map_err(|error| connector.judge(&error, &place))?;
    let asked = clock::wall_ms();
    let time = cmd("TIME").query_async::<(u64, u64)>(&mut connection).await;
    let answered = clock::wall_ms();
    Ok(Reading {
        place,
        info,
        // Between question and answer; the way takes half of the time each, more or less.
        clock_ahead_ms: time.ok().map(|(s, us)| {
            ahead(s.saturating_mul(1000).saturating_add(us / 1000), asked.midpoint(answered))
        }),
        appendfsync: setting(&mut connection, "appendfsync").await,
        min_replicas: setting(&mut connection, "min-replicas-to-write").await,
        scripts: connector.load(&mut connection).await,
    })
}

fn ahead(theirs: u64, ours: u64) -> i64 {
    let off = i64::try_from(theirs.abs_diff(ours)).unwrap_or(i64::MAX);
    if theirs < ours { -off } else { off }
}

/// A setting; `None` if the user may not read it, as with many that are hosted.
async fn setting(connection: &mut Connection, name: &str) -> Option<String> {
    let mut question = cmd("CONFIG");
    question.arg("GET").arg(name);
    let (_, value) = question.query_async::<(String, String)>(connection).await.ok()?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind() {
        assert_eq!((ahead(7, 5), ahead(5, 7), ahead(5, 5)), (2, -2, 0));
        assert_eq!(ahead(u64::MAX, 0), i64::MAX);
    }
}
