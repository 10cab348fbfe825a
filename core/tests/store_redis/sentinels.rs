//! Location of the primary through several Sentinels: dead, stale and refusing ones.

use minerva_core::store::{Epoch, StoreError};
use redis::Value;

use crate::server::{Server, free_port, store};
use crate::{append, assert_log, assert_unavailable, claim};

/// A Sentinel that monitors a server as `main` with a configuration epoch.
fn sentinel(primary: &Server, epoch: u64, more: &str) -> Server {
    let port = primary.port;
    Server::sentinel_with(&format!(
        "sentinel monitor main 127.0.0.1 {port} 1\nsentinel config-epoch main {epoch}\n{more}\n"
    ))
}

fn url(sentinels: &[&Server], query: &str) -> String {
    let nodes: Vec<_> =
        sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    format!("redis-sentinel://{}/main{query}", nodes.join(","))
}

async fn assert_rejected(url: &str, reply: &str) {
    let result = store(url).partitions(4).await;
    let Err(StoreError::Config(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("sentinel_password=") && text.contains(reply), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

/// A Sentinel that missed a failover names the old primary, which is still alive and writable.
#[tokio::test]
async fn a_stale_sentinel_is_not_believed() {
    let (old, current) = (Server::start(&[]), Server::start(&[]));
    let (stale, newest) = (sentinel(&old, 3, ""), sentinel(&current, 4, ""));
    for order in [[&stale, &newest], [&newest, &stale]] {
        let handle = store(&url(&order, ""));
        let (epoch, log) = claim(&*handle, 1, "me").await;
        let from = log.len() as u64;
        append(&*handle, 1, epoch, from..from + 5).await;
    }
    assert_eq!(old.command(&["DBSIZE"]), Value::Int(0));
    assert_log(1, &claim(&*store(&url(&[&newest], "")), 1, "me").await.1, 10);
}

#[tokio::test]
async fn a_dead_sentinel_and_one_without_the_name_are_skipped() {
    let primary = Server::start(&[]);
    let other = Server::sentinel();
    let known = sentinel(&primary, 0, "");
    let suspended = sentinel(&primary, 0, "");
    suspended.signal("STOP");
    let nobody = free_port();
    let tail = url(&[&suspended, &other, &known], "?connect_ms=400");
    let tail = tail.strip_prefix("redis-sentinel://").unwrap();
    let handle = store(&format!("redis-sentinel://127.0.0.1:{nobody},{tail}"));
    claim(&*handle, 1, "me").await;
    let result = store(&url(&[&other], "")).claim(1, "me", Epoch(0)).await;
    assert_unavailable(result, "know no primary called `main`");
}

#[tokio::test]
async fn confirmed_appends_need_half_of_the_sentinels() {
    let primary = Server::start(&[]);
    let known = sentinel(&primary, 0, "");
    for (dead, is_refused) in [(0, false), (1, false), (2, true)] {
        let dead: String = (0..dead).map(|_| format!("127.0.0.1:{},", free_port())).collect();
        let tail = url(&[&known], "?wait=1&wait_ms=50");
        let url = tail.replace("://", &format!("://{dead}"));
        let result = store(&url).claim(1, "me", Epoch(0)).await;
        let reason = if is_refused { "1 of 3 Sentinels name" } else { "0 of 1 replicas" };
        assert_unavailable(result, reason);
    }
}

/// The list names one of three Sentinels, which knows the others.
#[tokio::test]
async fn known_sentinels_count_and_are_queried() {
    let primary = Server::start(&[]);
    let [one, two, three] = ["1", "2", "3"].map(|digit| digit.repeat(40));
    let mut other = sentinel(&primary, 0, &format!("sentinel myid {two}"));
    let known = |port, id| format!("sentinel known-sentinel main 127.0.0.1 {port} {id}\n");
    let others = known(other.port, &two) + &known(free_port(), &three);
    let listed = sentinel(&primary, 0, &format!("sentinel myid {one}\n{others}"));
    let url = url(&[&listed], "?wait=1&wait_ms=50");
    let result = store(&url).claim(1, "me", Epoch(0)).await;
    assert_unavailable(result, "0 of 1 replicas");
    other.kill();
    let result = store(&url).claim(1, "me", Epoch(0)).await;
    assert_unavailable(result, "1 of 3 Sentinels name");
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let primary = Server::start(&["--requirepass", "server"]);
    let login = "requirepass canary\nsentinel auth-pass main server";
    let protected = sentinel(&primary, 0, login);
    let with = |query: &str| url(&[&protected], query).replace("://", "://:server@");
    claim(&*store(&with("?sentinel_password=canary")), 1, "me").await;
    claim(&*store(&with("?sentinel_user=default&sentinel_password=canary")), 1, "me").await;
    assert_rejected(&with("?sentinel_password=wrong-canary"), "WRONGPASS").await;
    assert_rejected(&with(""), "NOAUTH").await;
    // One open Sentinel is sufficient.
    let open = sentinel(&primary, 0, "sentinel auth-pass main server");
    let both = url(&[&protected, &open], "").replace("://", "://:server@");
    claim(&*store(&both), 1, "me").await;
}
