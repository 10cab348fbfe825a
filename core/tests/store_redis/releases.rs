//! Scripts of release 0.1 beside those of this release, and steps of the server's clock.
//!
//! A step of the clock is simulated by moving all stored times in the other direction, which is the same for the
//! scripts: they compare stored times with the clock of the server.

use std::time::Duration;

use minerva_core::store::{Epoch, FIRST_LEASE, Member, Store, StoreError};
use minerva_proto::LogIndex;
use redis::Value;

use crate::server::Server;

const OLD_HEARTBEAT: &str = include_str!("../golden/0.1/heartbeat.lua");
const OLD_PARTITIONS: &str = include_str!("../golden/0.1/partitions.lua");
const OLD_CLAIM: &str = include_str!("../golden/0.1/claim.lua");
const OLD_RENEW: &str = include_str!("../golden/0.1/renew.lua");
const MEMBERS: &str = "minerva:{store}:members";
const HEAD: &str = "minerva:{p3}:head";
const LEASE: Duration = Duration::from_secs(2);
const HOUR: i64 = 3_600_000;

async fn heartbeat(store: &dyn Store, name: &str, number: u64) -> (Vec<String>, u64, u32) {
    let member = Member { name: name.to_owned(), is_standby: false, stored_version: 2 };
    let found = store.heartbeat(member, number, LEASE).await.unwrap();
    let names = found.members.into_iter().map(|member| member.name).collect();
    (names, found.last_heartbeat, found.stored_version)
}

fn old_heartbeat(server: &Server, lease: &str, number: &str) -> Vec<Value> {
    let parts = ["EVAL", OLD_HEARTBEAT, "1", MEMBERS, "old", "0", lease, number];
    let Value::Array(reply) = server.command(&parts) else { panic!("no array") };
    reply
}

fn old_claim(server: &Server, owner: &str) -> Value {
    let log = "minerva:{p3}:log";
    let Value::Array(mut reply) =
        server.command(&["EVAL", OLD_CLAIM, "2", HEAD, log, owner, "10000", "old", "1", "0"])
    else {
        panic!("no array")
    };
    reply.remove(0)
}

fn ok() -> Value {
    Value::BulkString(b"ok".to_vec())
}

/// Steps the clock of the server.
fn step_clock(server: &Server, milliseconds: i64) {
    let text = |value| redis::from_redis_value::<String>(value).unwrap();
    let names: Vec<String> = redis::from_redis_value(server.command(&["HKEYS", MEMBERS])).unwrap();
    for name in names {
        let entry = text(server.command(&["HGET", MEMBERS, &name]));
        let (until, rest) = entry.split_once(' ').unwrap();
        let until = until.parse::<i64>().unwrap() - milliseconds;
        server.command(&["HSET", MEMBERS, &name, &format!("{until} {rest}")]);
    }
    server.command(&["HINCRBY", HEAD, "until", &(-milliseconds).to_string()]);
}

/// Makes all heartbeats steady since an hour ago.
fn step_clock_of_heartbeats(server: &Server) {
    let key = "minerva:{store}:cores";
    let names: Vec<String> = redis::from_redis_value(server.command(&["HKEYS", key])).unwrap();
    for name in names {
        let text: String = redis::from_redis_value(server.command(&["HGET", key, &name])).unwrap();
        let (rest, since) = text.rsplit_once(' ').unwrap();
        let since = since.parse::<i64>().unwrap() - HOUR;
        server.command(&["HSET", key, &name, &format!("{rest} {since}")]);
    }
}

#[tokio::test]
async fn heartbeats_of_both_releases_share_one_membership() {
    let server = Server::start(&[]);
    let store = server.store("");
    old_heartbeat(&server, "60000", "1");
    let both = || vec!["new".to_owned(), "old".to_owned()];
    assert_eq!(heartbeat(&*store, "new", 1).await, (both(), 0, 1), "release 0.1 reads version 1");
    for number in 2..5 {
        let old = old_heartbeat(&server, "60000", &number.to_string());
        assert_eq!(old.len(), 2 + 2 * 2, "{old:?}");
        assert_eq!(heartbeat(&*store, "new", number).await, (both(), number - 1, 1));
    }
    old_heartbeat(&server, "0", "5");
    assert_eq!(heartbeat(&*store, "new", 5).await, (vec!["new".to_owned()], 4, 1));
    step_clock_of_heartbeats(&server);
    assert_eq!(heartbeat(&*store, "new", 6).await, (vec!["new".to_owned()], 5, 2));
    old_heartbeat(&server, "60000", "6");
    assert_eq!(heartbeat(&*store, "new", 7).await, (both(), 6, 2), "the version never falls");
}

#[tokio::test]
async fn release_0_1_refuses_a_store_with_a_hash_key() {
    let server = Server::start(&[]);
    let layout = server.store("").partitions(64).await.unwrap();
    assert!(layout.hash_key.is_some());
    let key = "minerva:{store}:partitions";
    let reply = server.command(&["EVAL", OLD_PARTITIONS, "1", key, "64"]);
    assert_eq!(reply, Value::Array(vec![ok()]), "the reply has no number");
}

#[tokio::test]
async fn a_store_of_release_0_1_stays_unkeyed() {
    let server = Server::start(&[]);
    let key = "minerva:{store}:partitions";
    server.command(&["EVAL", OLD_PARTITIONS, "1", key, "64"]);
    let layout = server.store("").partitions(64).await.unwrap();
    assert_eq!((layout.count, layout.hash_key), (64, None));
}

#[tokio::test]
async fn racing_first_cores_get_one_hash_key() {
    let server = Server::start(&[]);
    let stores: Vec<_> = (0..8).map(|_| server.store("")).collect();
    let layouts = futures_util::future::join_all(stores.iter().map(|store| store.partitions(64)));
    let keys: Vec<_> =
        layouts.await.into_iter().map(|layout| layout.unwrap().hash_key.unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_living_core_restores_the_hash_key_of_an_emptied_store() {
    let server = Server::start(&[]);
    let store = server.store("");
    let layout = store.partitions(64).await.unwrap();
    server.command(&["FLUSHALL"]);
    assert_eq!(store.partitions(64).await, Ok(layout));
    server.command(&["FLUSHALL"]);
    server.store("").partitions(64).await.unwrap();
    for count in [64, 32] {
        let Err(StoreError::Config(text)) = store.partitions(count).await else {
            panic!("another hash key");
        };
        assert!(text.contains("do not stop it"), "{text}");
    }
    // The operator decides for the streams of the living core.
    server.command(&["FLUSHALL"]);
    assert_eq!(store.partitions(64).await, Ok(layout));
}

/// The core that starts first in an emptied store would set up another layout.
#[tokio::test]
async fn a_heartbeat_restores_the_layout_of_an_emptied_store() {
    let server = Server::start(&[]);
    let store = server.store("");
    let beat = async |number| {
        let member = Member { name: "a".to_owned(), is_standby: false, stored_version: 2 };
        store.heartbeat(member, number, Duration::from_secs(2)).await.unwrap();
    };
    beat(1).await;
    assert_eq!(store.partition_count().await, Ok(None), "no layout is known");
    let layout = store.partitions(64).await.unwrap();
    server.command(&["FLUSHALL"]);
    beat(2).await;
    assert_eq!(server.store("").partitions(64).await, Ok(layout));
    assert!(server.store("").partitions(32).await.is_err());
    // Another layout does not end the core.
    server.command(&["FLUSHALL"]);
    server.store("").partitions(32).await.unwrap();
    beat(3).await;
    assert_eq!(store.partition_count().await, Ok(Some(32)));
}

async fn left(store: &dyn Store, owner: &str) -> Duration {
    match store.claim(3, owner, Epoch(0)).await {
        Err(StoreError::Held { left, .. }) => left,
        other => panic!("not held: {other:?}"),
    }
}

#[tokio::test]
async fn after_a_step_back_a_lease_of_a_dead_owner_ends_within_its_length() {
    let server = Server::start(&[]);
    let (dead, other) = (server.store(""), server.store(""));
    let epoch = dead.claim(3, "dead", Epoch(0)).await.unwrap().epoch;
    step_clock(&server, -HOUR);
    assert!(left(&*other, "other").await <= FIRST_LEASE);
    dead.renew(3, epoch.into(), LEASE, LogIndex(0)).await.unwrap();
    step_clock(&server, -HOUR);
    let first = left(&*other, "other").await;
    assert!(first <= LEASE, "{first:?}");
    // The corrected end is stored: it comes nearer.
    step_clock(&server, 1_500);
    assert!(left(&*other, "other").await <= LEASE - Duration::from_millis(1_500));
    step_clock(&server, 500);
    other.claim(3, "other", Epoch(0)).await.unwrap();
}

#[tokio::test]
async fn after_a_step_back_a_living_owner_keeps_its_partition() {
    let server = Server::start(&[]);
    let (living, other) = (server.store(""), server.store(""));
    let epoch = living.claim(3, "living", Epoch(0)).await.unwrap().epoch;
    living.renew(3, epoch.into(), LEASE, LogIndex(0)).await.unwrap();
    step_clock(&server, -HOUR);
    for _ in 0..4 {
        left(&*other, "other").await;
        step_clock(&server, 1_500);
        living.renew(3, epoch.into(), LEASE, LogIndex(0)).await.unwrap();
    }
    step_clock(&server, HOUR);
    living.renew(3, epoch.into(), LEASE, LogIndex(0)).await.unwrap();
    let held = left(&*other, "other").await;
    assert!(held <= LEASE && held > LEASE / 2, "{held:?}");
}

#[tokio::test]
async fn a_lease_of_release_0_1_is_bounded_by_the_longest_known_lease() {
    let server = Server::start(&[]);
    let store = server.store("");
    // A claim of this release stores its lease; the claim of release 0.1 that follows does not remove the field.
    let epoch = store.claim(3, "new", Epoch(0)).await.unwrap().epoch;
    store.renew(3, epoch.into(), LEASE, LogIndex(0)).await.unwrap();
    store.release(3, epoch).await.unwrap();
    assert_eq!(old_claim(&server, "old"), ok());
    let held = left(&*store, "new").await;
    assert!(held > LEASE && held <= FIRST_LEASE, "{held:?}");
    let renew = ["EVAL", OLD_RENEW, "2", HEAD, "minerva:{p3}:log", "2", "old:1", "60000", "0"];
    assert_eq!(server.command(&renew), Value::Array(vec![ok()]));
    let held = left(&*store, "new").await;
    assert!(held <= FIRST_LEASE, "bounded by the first lease: {held:?}");
    let member = Member { name: "new".to_owned(), is_standby: false, stored_version: 1 };
    store.heartbeat(member, 1, Duration::from_secs(60)).await.unwrap();
    assert_eq!(server.command(&renew), Value::Array(vec![ok()]));
    let held = left(&*store, "new").await;
    assert!(held > Duration::from_secs(50), "bounded by the own lease: {held:?}");
}

#[tokio::test]
async fn members_expire_within_their_lease_after_a_step_back() {
    let server = Server::start(&[]);
    let store = server.store("");
    heartbeat(&*store, "dead", 1).await;
    old_heartbeat(&server, "2000", "1");
    heartbeat(&*store, "living", 1).await;
    step_clock(&server, -HOUR);
    assert_eq!(heartbeat(&*store, "living", 2).await.0.len(), 3);
    step_clock(&server, 2_000);
    let (names, _, _) = heartbeat(&*store, "living", 3).await;
    assert_eq!(names, ["living", "old"], "a member of release 0.1 has the longest known lease");
    step_clock(&server, 8_000);
    assert_eq!(heartbeat(&*store, "living", 4).await.0, ["living"]);
}

#[tokio::test]
async fn after_a_step_forward_every_living_core_notices_its_expired_heartbeat() {
    let server = Server::start(&[]);
    let store = server.store("");
    heartbeat(&*store, "a", 1).await;
    heartbeat(&*store, "b", 1).await;
    step_clock(&server, HOUR);
    // A previous heartbeat of 0 makes a core hold back its claims until the owners have renewed their leases.
    assert_eq!(heartbeat(&*store, "a", 2).await, (vec!["a".to_owned()], 0, 1));
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(heartbeat(&*store, "b", 2).await, (both.clone(), 0, 1));
    assert_eq!(heartbeat(&*store, "a", 3).await, (both, 2, 1));
}

#[tokio::test]
async fn an_outage_of_all_cores_does_not_raise_the_version_over_a_living_one() {
    let server = Server::start(&[]);
    let store = server.store("");
    let old = |number: &str| {
        let reply = old_heartbeat(&server, "2000", number);
        assert_eq!(reply[0], Value::BulkString(b"ok".to_vec()), "{reply:?}");
    };
    old("1");
    assert_eq!(heartbeat(&*store, "new", 1).await.2, 1);
    step_clock_of_heartbeats(&server);
    old("2");
    assert_eq!(heartbeat(&*store, "new", 2).await.2, 1);
    // Redis is away, or its clock steps, for longer than the leases. Both cores live.
    step_clock(&server, HOUR);
    assert_eq!(heartbeat(&*store, "new", 3).await, (vec!["new".to_owned()], 0, 1));
    old("3");
    assert_eq!(heartbeat(&*store, "new", 4).await.2, 1);
}

const FORMAT: &str = "minerva:{store}:format";
const FORMAT_COPY: &str = "minerva:{store}:format#2";
const PARTITIONS: &str = "minerva:{store}:partitions";

#[tokio::test]
async fn a_damaged_copy_of_a_setting_is_replaced() {
    let server = Server::start(&[]);
    let store = server.store("");
    let layout = store.partitions(64).await.unwrap();
    heartbeat(&*store, "a", 1).await;
    step_clock_of_heartbeats(&server);
    assert_eq!(heartbeat(&*store, "a", 2).await.2, 2);
    let fields = |key: &str| server.command(&["HGETALL", key]);
    let before = fields(FORMAT);
    for field in [
        "hash_key",
        "hash_key#2",
        "hash_key#3",
        "version",
        "version#2",
        "version#3",
        "partitions#2",
        "partitions#3",
    ] {
        for damage in [["HSET", FORMAT, field, "3"].as_slice(), &["HDEL", FORMAT, field]] {
            server.command(damage);
            assert_eq!(server.store("").partitions(64).await, Ok(layout), "{damage:?}");
            assert_eq!(heartbeat(&*store, "a", 2).await.2, 2, "{damage:?}");
        }
    }
    for damage in [["SET", PARTITIONS, "24 keyed"].as_slice(), &["DEL", PARTITIONS]] {
        server.command(damage);
        assert_eq!(server.store("").partition_count().await, Ok(Some(64)));
        assert_eq!(server.store("").partitions(64).await, Ok(layout));
    }
    let text = |key| redis::from_redis_value::<String>(server.command(&["GET", key])).unwrap();
    assert_eq!(text(PARTITIONS), "64 keyed");
    let sorted = |value: Value| {
        redis::from_redis_value::<std::collections::BTreeMap<String, String>>(value).unwrap()
    };
    assert_eq!(sorted(fields(FORMAT)), sorted(before));
}

#[tokio::test]
async fn the_loss_of_one_key_loses_no_setting() {
    let server = Server::start(&[]);
    let store = server.store("");
    let layout = store.partitions(64).await.unwrap();
    heartbeat(&*store, "a", 1).await;
    step_clock_of_heartbeats(&server);
    assert_eq!(heartbeat(&*store, "a", 2).await.2, 2);
    drop(store);
    for key in [FORMAT, FORMAT_COPY, PARTITIONS, FORMAT] {
        server.command(&["DEL", key]);
        // A process that starts has no copy.
        let store = server.store("");
        assert_eq!(heartbeat(&*store, "b", 1).await.2, 2, "{key}");
        assert_eq!(store.partition_count().await, Ok(Some(64)), "{key}");
        assert_eq!(store.partitions(64).await, Ok(layout), "{key}");
    }
    server.command(&["HSET", FORMAT, "hash_key", "1", "hash_key#2", "2"]);
    assert_eq!(server.store("").partitions(64).await, Ok(layout), "the other key has a majority");
}

#[tokio::test]
async fn a_stored_version_that_is_no_number_is_refused() {
    for text in ["1x", "0x2", "9999999999", ""] {
        let server = Server::start(&[]);
        let store = server.store("");
        store.partitions(64).await.unwrap();
        for key in [FORMAT, FORMAT_COPY] {
            server.command(&["HSET", key, "version", text]);
        }
        let member = Member { name: "a".to_owned(), is_standby: false, stored_version: 2 };
        let heartbeat = store.heartbeat(member, 1, LEASE).await;
        assert!(heartbeat.is_err(), "{text}: {heartbeat:?}");
        let started = server.store("").partitions(64).await;
        assert_eq!(started.is_err(), !text.is_empty(), "{text}: {started:?}");
    }
}

#[tokio::test]
async fn settings_without_a_majority_are_refused_with_the_repair() {
    for name in ["hash_key", "version", "partitions"] {
        let server = Server::start(&[]);
        server.store("").partitions(64).await.unwrap();
        let copies = [format!("{name}#2"), format!("{name}#3")];
        for key in [FORMAT, FORMAT_COPY] {
            server.command(&["HSET", key, "version", "2"]);
            server.command(&["HSET", key, &copies[0], "7", &copies[1], "8"]);
        }
        let Err(StoreError::Config(refused)) = server.store("").partitions(64).await else {
            panic!("{name} is accepted");
        };
        assert!(refused.contains(name) && refused.contains("docs/redis.md"), "{refused}");
    }
}
