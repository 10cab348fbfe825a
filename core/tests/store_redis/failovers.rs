//! Failovers under concurrent appends: the new primary has every acknowledged append.
//!
//! Each round kills the writer, so that no owner can write lost entries again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use minerva_core::store::{Epoch, Store, StoreError};
use minerva_proto::LogIndex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::replicas::replica_of;
use crate::server::{Server, store, wait_until};
use crate::{append, assert_log, claim, content};

/// Environment variable with the number of failovers of each kind, for the long form.
const ROUNDS: &str = "MINERVA_TEST_FAILOVERS";
const PARTITIONS: u32 = 4;
/// Longer than the detection of a failover, shorter than the time in which the old primary accepts writes.
const LEASE: Duration = Duration::from_secs(5);

/// Number of failovers of one kind.
fn rounds(default: u64) -> u64 {
    std::env::var(ROUNDS).map_or(default, |count| count.parse().unwrap())
}

/// Writers that append to their partitions until they are killed.
struct Writers {
    acked: Arc<Vec<AtomicU64>>,
    tasks: JoinSet<()>,
}

impl Writers {
    /// Claims all partitions and starts the appends.
    async fn start(store: Arc<dyn Store>) -> Self {
        let mut claims = Vec::new();
        for partition in 0..PARTITIONS {
            let (epoch, log) = claim(&*store, partition, "writer").await;
            claims.push((partition, epoch, log.len() as u64));
        }
        let acked = claims.iter().map(|(_, _, length)| AtomicU64::new(*length)).collect();
        let (acked, mut tasks) = (Arc::new(acked), JoinSet::new());
        for (partition, epoch, _) in claims {
            tasks.spawn(write(Arc::clone(&store), partition, epoch, Arc::clone(&acked)));
        }
        Self { acked, tasks }
    }

    fn acked(&self) -> u64 {
        self.acked.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Waits for further acknowledgements.
    async fn progress(&self) {
        let before = self.acked();
        while self.acked() < before + 100 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Kills the writers; returns the number of acknowledged entries of each partition.
    async fn kill(mut self) -> Vec<u64> {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            assert!(ended.is_err_and(|error| error.is_cancelled()), "a writer found a loss");
        }
        self.acked.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

async fn write(store: Arc<dyn Store>, partition: u32, epoch: Epoch, acked: Arc<Vec<AtomicU64>>) {
    let acked = &acked[partition as usize];
    loop {
        let from = acked.load(Ordering::Relaxed);
        let calls: Vec<_> = (from..from + 8)
            .map(|index| {
                store.append(partition, epoch.into(), LogIndex(index), content(partition, index))
            })
            .collect();
        for call in calls {
            match call.await {
                Ok(()) => {
                    acked.fetch_add(1, Ordering::Relaxed);
                }
                Err(StoreError::Unavailable(_)) => {
                    sleep(Duration::from_millis(5)).await;
                    break;
                }
                Err(error) => panic!("{partition}/{from}: {error}"),
            }
        }
    }
}

/// Returns the number of acknowledged entries that a server lacks, and checks the content of the others.
async fn lost(primary: &Server, acked: &[u64]) -> u64 {
    let (handle, mut lost) = (primary.store("?prefix=minerva:"), 0);
    for (partition, acked) in (0..).zip(acked) {
        let log = claim(&*handle, partition, "writer").await.1;
        assert_log(partition, &log, log.len() as u64);
        lost += acked.saturating_sub(log.len() as u64);
    }
    lost
}

fn follow(replica: &Server, primary: &Server) {
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
}

fn wait_until_online(primary: &Server, replicas: [&Server; 2]) {
    wait_until("all replicas are connected", || {
        let info = primary.info();
        let is_online = |replica: &Server| {
            info.contains(&format!("port={},state=online", replica.port))
                && replica.info().contains("master_link_status:up")
        };
        info.contains("role:master") && replicas.into_iter().all(is_online)
    });
}

/// A primary and two replicas.
fn start() -> [Server; 3] {
    let primary = Server::start(&[]);
    let replicas = [(); 2].map(|()| replica_of(&primary));
    let [first, second] = replicas;
    wait_until_online(&primary, [&first, &second]);
    [primary, first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_the_primary_loses_no_acknowledged_append() {
    let mut servers = start();
    for round in 0..rounds(4) {
        let [old, new, other] = &servers;
        let writers = Writers::start(old.store("?wait=1")).await;
        writers.progress().await;
        let target = new.port.to_string();
        let force = ["FAILOVER", "TO", "127.0.0.1", &target, "FORCE", "TIMEOUT", "20"];
        // Half of the failovers are forced, although the target may be behind.
        let command = if round % 2 == 0 { &force[..4] } else { &force[..] };
        tokio::task::block_in_place(|| {
            old.command(command);
            wait_until("the target is promoted", || new.info().contains("role:master"));
            follow(other, new);
            wait_until_online(new, [old, other]);
        });
        let acked = writers.kill().await;
        assert_eq!(lost(new, &acked).await, 0, "round {round}");
        servers.rotate_left(1);
    }
}

/// Promotes a replica while the old primary writes on; returns the number of lost entries.
async fn promote([old, new, other]: &[Server; 3], query: &str, round: u64) -> u64 {
    let writers = Writers::start(old.store(query)).await;
    writers.progress().await;
    tokio::task::block_in_place(|| new.command(&["REPLICAOF", "NO", "ONE"]));
    if query.contains("hold_ms=1&") {
        writers.progress().await;
    } else {
        sleep(Duration::from_millis(round % 7 * 100)).await;
    }
    tokio::task::block_in_place(|| {
        follow(other, new);
        follow(old, new);
    });
    let acked = writers.kill().await;
    tokio::task::block_in_place(|| wait_until_online(new, [old, other]));
    lost(new, &acked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_promotion_before_the_demotion_loses_no_acknowledged_append() {
    let mut servers = start();
    for round in 0..rounds(4) {
        assert_eq!(promote(&servers, "?wait=1", round * 3).await, 0, "round {round}");
        servers.rotate_left(1);
    }
}

/// Proves that the test above can fail: without the hold, the remaining replica confirms lost appends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_hold_a_promotion_loses_acknowledged_appends() {
    let lost = promote(&start(), "?hold_ms=1&wait=1", 0).await;
    assert!(lost >= 50, "{lost}");
}

/// Each of the replicas has all acknowledged appends, so a failover may choose any of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_after_a_crash_loses_no_acknowledged_append() {
    for round in 0..rounds(3) {
        let [mut primary, first, second] = start();
        let writers = Writers::start(primary.store("?wait=1")).await;
        writers.progress().await;
        if round % 2 == 1 {
            second.signal("STOP");
            sleep(Duration::from_millis(round % 10 * 20)).await;
        }
        tokio::task::block_in_place(|| primary.kill());
        second.signal("CONT");
        let acked = writers.kill().await;
        for replica in [&first, &second] {
            replica.command(&["REPLICAOF", "NO", "ONE"]);
            assert_eq!(lost(replica, &acked).await, 0, "round {round}");
        }
    }
}

/// Starts a Sentinel that knows the replicas of a primary.
fn sentinel_of(primary: &Server) -> Server {
    let sentinel = Server::sentinel_with(&format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 3000\n",
        primary.port
    ));
    wait_until("the sentinel knows the replicas", || {
        let replicas = sentinel.command(&["SENTINEL", "REPLICAS", "main"]);
        let Ok(replicas) =
            redis::from_redis_value::<Vec<std::collections::HashMap<String, String>>>(replicas)
        else {
            return false;
        };
        let is_up = |link: &&String| *link == "ok";
        replicas
            .iter()
            .filter_map(|replica| replica.get("master-link-status"))
            .filter(is_up)
            .count()
            == 2
    });
    sentinel
}

/// Waits until one of the replicas is the primary.
fn promoted([_, replicas @ ..]: &[Server; 3]) -> &Server {
    // Sentinel closes the connections of a server while it changes the role.
    let is_primary = |server: &&Server| {
        let info = server.try_command(&["INFO", "replication"]);
        let info: String =
            info.map(redis::from_redis_value).map_or_else(|_| String::new(), Result::unwrap);
        info.contains("role:master")
    };
    let mut found = None;
    wait_until("a replica is promoted", || {
        found = replicas.iter().find(is_primary);
        found.is_some()
    });
    found.unwrap()
}

/// Renews the lease of partition 1 until the renewal fails for good or the task is aborted.
async fn renew(store: Arc<dyn Store>, epoch: Epoch, renewed: Arc<AtomicU64>) -> StoreError {
    loop {
        match store.renew(1, epoch.into(), LEASE, LogIndex(20)).await {
            Ok(()) => drop(renewed.fetch_add(1, Ordering::Relaxed)),
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => return error,
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The owner has no appends during the failover. The old primary accepts writes for some 10 s after the promotion; a lease
/// that is renewed there would not keep another core from a claim at the new primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_a_failover_by_sentinel() {
    for _ in 0..rounds(1) {
        let servers = start();
        let sentinel = sentinel_of(&servers[0]);
        let url = format!("redis-sentinel://127.0.0.1:{}/main?wait=1", sentinel.port);
        let handle: Arc<dyn Store> = store(&url);
        let (epoch, _) = claim(&*handle, 1, "me").await;
        append(&*handle, 1, epoch, 0..20).await;
        let renewed = Arc::new(AtomicU64::new(0));
        let mut renewals = JoinSet::new();
        renewals.spawn(renew(Arc::clone(&handle), epoch, Arc::clone(&renewed)));
        while renewed.load(Ordering::Relaxed) < 10 {
            sleep(Duration::from_millis(5)).await;
        }
        tokio::task::block_in_place(|| sentinel.command(&["SENTINEL", "FAILOVER", "main"]));
        let new = tokio::task::block_in_place(|| promoted(&servers));
        let end = || new.command(&["HGET", "minerva:{p1}:head", "until"]);
        let (at_promotion, other) = (end(), new.store(""));
        while end() == at_promotion {
            let claimed = other.claim(1, "other", Epoch(0)).await;
            let claimed = claimed.map(|claimed| claimed.epoch);
            assert!(matches!(claimed, Err(StoreError::Held { .. })), "{claimed:?}");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(renewals.try_join_next().is_none(), "a renewal failed for good");
        // The same claim continues at the new primary.
        append(&*handle, 1, epoch, 20..40).await;
        assert!(matches!(other.claim(1, "x", Epoch(0)).await, Err(StoreError::Held { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_sentinel_loses_no_acknowledged_append() {
    for round in 0..rounds(1) {
        let servers = start();
        let sentinel = sentinel_of(&servers[0]);
        let url = format!("redis-sentinel://127.0.0.1:{}/main?wait=1", sentinel.port);
        let writers = Writers::start(store(&url)).await;
        writers.progress().await;
        tokio::task::block_in_place(|| sentinel.command(&["SENTINEL", "FAILOVER", "main"]));
        if round % 2 == 0 {
            // The writers reach the new primary, which needs the confirmation of the other replica.
            tokio::task::block_in_place(|| promoted(&servers));
            writers.progress().await;
        } else {
            sleep(Duration::from_millis(round % 50 * 40)).await;
        }
        let acked = writers.kill().await;
        let new = tokio::task::block_in_place(|| promoted(&servers));
        assert_eq!(lost(new, &acked).await, 0, "round {round}");
    }
}
