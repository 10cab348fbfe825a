//! Failures of servers and connections during use of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use minerva_core::store::{Epoch, FIRST_LEASE, OperatorStore, Store, StoreError};
use minerva_proto::{LogIndex, StreamNumber};
use tokio::time::sleep;

use crate::server::{Server, free_port, store};
use crate::{append, assert_log, assert_unavailable, claim, content};

/// Capacity of the request queue.
const QUEUE_CAPACITY: u64 = 2048;

/// Writers of four partitions that append until they are stopped.
struct Writers {
    store: Arc<dyn OperatorStore>,
    is_stopping: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<(u64, u32)>>,
}

impl Writers {
    fn start(store: Arc<dyn OperatorStore>) -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let write = |partition| {
            let (store, is_stopping) = (Arc::clone(&store), Arc::clone(&is_stopping));
            tokio::spawn(async move {
                let (epoch, _) = claim(&*store, partition, "writer").await;
                let (mut next, mut retries) = (0, 0);
                while !is_stopping.load(Ordering::Relaxed) {
                    retries += append(&*store, partition, epoch, next..next + 8).await;
                    next += 8;
                }
                (next, retries)
            })
        };
        let tasks = (0..4).map(write).collect();
        Self { store, is_stopping, tasks }
    }

    /// Stops the writers; returns the lengths of their logs and the number of retries.
    async fn stop(&mut self) -> (Vec<u64>, u32) {
        self.is_stopping.store(true, Ordering::Relaxed);
        let (mut lengths, mut all_retries) = (Vec::new(), 0);
        for task in self.tasks.drain(..) {
            let (length, retries) = task.await.unwrap();
            lengths.push(length);
            all_retries += retries;
        }
        (lengths, all_retries)
    }

    /// Asserts that each log has all acknowledged entries once and in order.
    async fn check(&self, lengths: &[u64]) {
        for (partition, length) in (0..).zip(lengths) {
            assert_log(partition, &claim(&*self.store, partition, "writer").await.1, *length);
        }
    }
}

/// Requests that wait for the connection share one script call; a failing partition must not affect the others.
#[tokio::test]
async fn a_failing_partition_does_not_affect_the_others_of_its_call() {
    let server = Server::start(&[]);
    let others = server.store("");
    for partition in 0..4 {
        claim(&*others, partition, "me").await;
    }
    let (stale, _) = claim(&*others, 1, "me").await;
    let (epoch, _) = claim(&*others, 1, "me").await;
    assert_ne!(stale, epoch);
    server.command(&["SET", "minerva:{p2}:log", "not a list"]);

    let store = server.store("");
    let first = Epoch(1);
    let calls =
        [(0, first, 0), (1, stale, 0), (2, first, 0), (3, first, 1), (0, first, 1), (1, epoch, 0)]
            .map(|(partition, epoch, index)| {
                store.append(partition, epoch.into(), LogIndex(index), content(partition, index))
            });
    let results = futures_util::future::join_all(calls).await;
    assert_eq!((&results[0], &results[4], &results[5]), (&Ok(()), &Ok(()), &Ok(())));
    assert_eq!(results[1], Err(StoreError::Fenced));
    assert!(matches!(results[2], Err(StoreError::Corrupt(_))), "{:?}", results[2]);
    assert_eq!(results[3], Err(StoreError::Behind { next: LogIndex(0) }));
}

/// Acknowledged entries are in the file; all others are retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_appends_survive_kill_9_of_redis() {
    let mut server = Server::durable();
    let mut writers = Writers::start(server.store(""));
    for round in 0..4 {
        sleep(Duration::from_millis(60 + round * 30)).await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.restart();
        });
    }
    let (lengths, retries) = writers.stop().await;
    assert!(retries >= 4, "no append met a kill: {retries}");
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart();
    });
    writers.check(&lengths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_connections_are_replaced() {
    let server = Server::start(&[]);
    let mut writers = Writers::start(server.store(""));
    for _ in 0..10 {
        sleep(Duration::from_millis(15)).await;
        tokio::task::block_in_place(|| server.command(&["CLIENT", "KILL", "TYPE", "normal"]));
    }
    let (lengths, retries) = writers.stop().await;
    assert!(retries >= 4, "no append met a closed connection: {retries}");
    writers.check(&lengths).await;
}

/// The store resends requests whose script was missing, so that no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_scripts_are_reloaded_without_an_error() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let mut writers = Writers::start(Arc::clone(&handle));
    for _ in 0..10 {
        sleep(Duration::from_millis(15)).await;
        tokio::task::block_in_place(|| server.command(&["SCRIPT", "FLUSH"]));
    }
    let (lengths, retries) = writers.stop().await;
    assert_eq!(retries, 0, "a call was unavailable");
    writers.check(&lengths).await;
    let mut epoch = claim(&*handle, 9, "me").await.0;
    for _ in 0..3 {
        server.command(&["SCRIPT", "FLUSH"]);
        handle.renew(9, epoch.into(), FIRST_LEASE, LogIndex(0)).await.unwrap();
        server.command(&["SCRIPT", "FLUSH"]);
        let next = claim(&*handle, 9, "me").await.0;
        assert_eq!(next.0, epoch.0 + 1, "a resent claim counted twice");
        epoch = next;
    }
}

/// Checks the bound of the queue. The sending tasks run only when this test awaits.
fn check_queue(store: &dyn Store, epoch: Epoch) {
    let mut calls: Vec<_> = (0..QUEUE_CAPACITY + 1)
        .map(|index| store.append(1, epoch.into(), LogIndex(index), content(1, index)))
        .collect();
    let rejected = calls.pop().and_then(FutureExt::now_or_never).expect("rejected immediately");
    assert_unavailable(rejected, "too many requests wait");
    for call in &mut calls {
        assert!(call.now_or_never().is_none(), "the call is queued");
    }
}

#[tokio::test]
async fn the_request_queue_is_bounded() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    check_queue(&*handle, epoch);
    assert_log(1, &claim(&*handle, 1, "me").await.1, QUEUE_CAPACITY);
    let nobody = store(&format!("redis-cluster://127.0.0.1:{}", free_port()));
    check_queue(&*nobody, epoch);
}

#[tokio::test]
async fn a_second_owner_fences_calls_in_flight_of_the_first() {
    let server = Server::start(&[]);
    let (first, second) = (server.store(""), server.store(""));
    let (old, _) = claim(&*first, 1, "first").await;
    append(&*first, 1, old, 0..10).await;
    let held = second.claim(1, "second", Epoch(0)).await;
    assert!(matches!(held, Err(StoreError::Held { owner, .. }) if owner == "first"));
    first.renew(1, old.into(), Duration::from_millis(1), LogIndex(0)).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    let late =
        (10..40).map(|index| first.append(1, old.into(), LogIndex(index), content(1, index)));
    let late: Vec<_> = late.collect();
    let (new, log) = claim(&*second, 1, "second").await;
    let acked = {
        let mut acked = 10;
        for call in late {
            match call.await {
                Ok(()) => acked += 1,
                Err(error) => assert_eq!(error, StoreError::Fenced),
            }
        }
        acked
    };
    assert_log(1, &log, acked);
    assert_eq!(
        first.append(1, old.into(), LogIndex(acked), content(1, 0)).await,
        Err(StoreError::Fenced)
    );
    assert_eq!(first.renew(1, old.into(), FIRST_LEASE, LogIndex(0)).await, Err(StoreError::Fenced));
    append(&*second, 1, new, acked..50).await;
    assert_log(1, &claim(&*second, 1, "second").await.1, 50);
}

/// A failover can lose the last claim, and then assign its epoch again to another owner.
#[tokio::test]
async fn an_epoch_assigned_twice_has_one_owner() {
    let server = Server::start(&[]);
    let (first, second) = (server.store(""), server.store(""));
    let (epoch, _) = claim(&*first, 1, "first").await;
    append(&*first, 1, epoch, 0..3).await;
    let lost = [["epoch", "0"], ["until", "0"], ["claim", "older"], ["claims", ""]].concat();
    server.command(&[&["HSET", "minerva:{p1}:head"][..], &lost].concat());
    let (again, log) = claim(&*second, 1, "second").await;
    assert_eq!((again, log.len()), (epoch, 3));
    assert_eq!(
        first.append(1, epoch.into(), LogIndex(3), content(1, 3)).await,
        Err(StoreError::Fenced)
    );
    assert_eq!(
        first.append(1, epoch.into(), LogIndex(1), content(1, 1)).await,
        Err(StoreError::Fenced)
    );
    let checkpoint = first.checkpoint(1, epoch.into(), LogIndex(1), content(0, 0), Vec::new());
    assert_eq!(checkpoint.await, Err(StoreError::Fenced));
    assert_eq!(
        first.renew(1, epoch.into(), FIRST_LEASE, LogIndex(0)).await,
        Err(StoreError::Fenced)
    );
    assert_eq!(first.release(1, epoch).await, Err(StoreError::Fenced));
    append(&*second, 1, again, 3..6).await;
    assert_log(1, &claim(&*second, 1, "second").await.1, 6);
}

/// A resumed server reads old commands from its sockets. They must not undo later calls on new connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commands_of_a_suspended_server_have_no_effect() {
    let server = Server::start(&[]);
    let handle = server.store("?response_ms=200&connect_ms=200");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..10).await;
    server.signal("STOP");
    let stuck: Vec<_> = (10..15)
        .map(|index| handle.append(1, epoch.into(), LogIndex(index), content(1, index)))
        .collect();
    for call in stuck {
        assert_unavailable(call.await, "in time");
    }
    // The kernel accepts connections to a suspended server, so these commands wait in its sockets, too.
    for _ in 0..2 {
        assert_unavailable(handle.claim(1, "me", Epoch(0)).await, "in time");
    }
    server.signal("CONT");
    let (new, log) = claim(&*handle, 1, "me").await;
    let length = log.len() as u64;
    assert!((10..=15).contains(&length), "{length}");
    assert_log(1, &log, length);
    append(&*handle, 1, new, length..30).await;
    sleep(Duration::from_millis(300)).await;
    handle
        .renew(1, new.into(), FIRST_LEASE, LogIndex(0))
        .await
        .expect("no late command has fenced the owner");
    assert_log(1, &claim(&*handle, 1, "me").await.1, 30);
}

#[tokio::test]
async fn a_full_server_accepts_checkpoints_and_renewals() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let result = handle.append(1, epoch.into(), LogIndex(50), content(1, 50)).await;
    assert!(matches!(result, Err(StoreError::Full(_))), "{result:?}");
    handle.renew(1, epoch.into(), FIRST_LEASE, LogIndex(0)).await.expect("renewals succeed");
    let changed = vec![(StreamNumber(7), Some(content(7, 7)))];
    handle
        .checkpoint(1, epoch.into(), LogIndex(40), content(0, 0), changed)
        .await
        .expect("checkpoints free memory");
    handle
        .append(1, epoch.into(), LogIndex(45), content(1, 45))
        .await
        .expect("a repeated append needs no memory");
    let claimed = handle.claim(1, "me", Epoch(0)).await.expect("a core can start");
    assert_eq!((claimed.first_index, claimed.next_index()), (LogIndex(40), LogIndex(50)));
    assert_eq!(claimed.streams, [(StreamNumber(7), content(7, 7))]);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    handle.append(1, claimed.epoch.into(), LogIndex(50), content(1, 50)).await.unwrap();
}

#[tokio::test]
async fn an_evicting_server_is_rejected_at_start_and_retried_later() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let Err(StoreError::Config(text)) = server.store("").partitions(4).await else {
        panic!("accepted");
    };
    assert!(
        text.contains("allkeys-lru") && text.contains("set `maxmemory-policy noeviction`"),
        "{text}"
    );
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    // After the first success, the store retries until an operator corrects the setting.
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    while !matches!(handle.append(1, epoch.into(), LogIndex(0), content(1, 0)).await,
        Err(StoreError::Unavailable(text)) if text.contains("volatile-ttl"))
    {
        sleep(Duration::from_millis(10)).await;
    }
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    append(&*handle, 1, epoch, 0..3).await;
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed_per_prefix_and_database() {
    let server = Server::start(&[]);
    assert_eq!(server.store("").partitions(8).await.map(|layout| layout.count), Ok(8));
    let Err(StoreError::Config(text)) = server.store("").partitions(16).await else {
        panic!("accepted");
    };
    assert!(text.contains("--partitions 16") && text.contains("--partitions 8"), "{text}");
    assert_eq!(
        server.store("?prefix=other:").partitions(16).await.map(|layout| layout.count),
        Ok(16)
    );
    assert_eq!(
        server.store("1").partitions(16).await.map(|layout| layout.count),
        Ok(16),
        "another database"
    );
}

#[tokio::test]
async fn a_missing_server_is_unavailable() {
    let handle = store(&format!("redis://127.0.0.1:{}", free_port()));
    assert_unavailable(handle.claim(1, "me", Epoch(0)).await, "is it running");
}

#[tokio::test]
async fn a_foreign_key_is_corrupt() {
    let server = Server::start(&[]);
    server.command(&["SET", "minerva:{p1}:head", "mine"]);
    let result = server.store("").claim(1, "me", Epoch(0)).await;
    assert!(
        matches!(&result, Err(StoreError::Corrupt(text)) if text.contains("prefix")),
        "{result:?}"
    );
}

#[tokio::test]
async fn many_streams_and_entries_are_loaded_completely() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..130).await;
    let streams: Vec<_> =
        (0..5000).map(|stream| (StreamNumber(stream * 7), content(9, stream))).collect();
    let set = streams.iter().map(|(stream, blob)| (*stream, Some(blob.clone())));
    handle
        .checkpoint(1, epoch.into(), LogIndex(1), content(0, 1), set.clone().collect())
        .await
        .unwrap();
    let removed = streams.iter().skip(4500).map(|(stream, _)| (*stream, None));
    let changed = set.take(2500).chain(removed).collect();
    handle.checkpoint(1, epoch.into(), LogIndex(2), content(0, 2), changed).await.unwrap();
    let claimed = handle.claim(1, "me", Epoch(0)).await.unwrap();
    assert_eq!((claimed.first_index, claimed.next_index()), (LogIndex(2), LogIndex(130)));
    assert_eq!(claimed.streams, streams[..4500]);
    assert_eq!(claimed.meta, Some(content(0, 2)));
}
