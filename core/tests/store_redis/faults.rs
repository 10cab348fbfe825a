//! Servers and connections that fail under a store in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use minerva_core::store::{Epoch, FIRST_LEASE, Store, StoreError};
use tokio::time::sleep;

use crate::server::{Server, free_port, store};
use crate::{append, assert_log, assert_unavailable, claim, content};

/// Calls that may wait for a server.
const QUEUE: u64 = 2048;

/// Writers of four partitions, which go on until they are stopped.
struct Writers {
    store: Arc<dyn Store>,
    is_enough: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<(u64, u32)>>,
}

impl Writers {
    fn start(store: Arc<dyn Store>) -> Self {
        let is_enough = Arc::new(AtomicBool::new(false));
        let write = |partition| {
            let (store, is_enough) = (Arc::clone(&store), Arc::clone(&is_enough));
            tokio::spawn(async move {
                let (epoch, _) = claim(&*store, partition, "writer").await;
                let (mut next, mut repeats) = (0, 0);
                while !is_enough.load(Ordering::Relaxed) {
                    repeats += append(&*store, partition, epoch, next..next + 8).await;
                    next += 8;
                }
                (next, repeats)
            })
        };
        let tasks = (0..4).map(write).collect();
        Self { store, is_enough, tasks }
    }

    /// Stops them; returns the lengths of their logs and how often they had to repeat.
    async fn stop(&mut self) -> (Vec<u64>, u32) {
        self.is_enough.store(true, Ordering::Relaxed);
        let (mut lengths, mut all_repeats) = (Vec::new(), 0);
        for task in self.tasks.drain(..) {
            let (length, repeats) = task.await.unwrap();
            lengths.push(length);
            all_repeats += repeats;
        }
        (lengths, all_repeats)
    }

    /// Asserts that each has what was confirmed, once and in order.
    async fn check(&self, lengths: &[u64]) {
        for (partition, length) in (0..).zip(lengths) {
            assert_log(partition, &claim(&*self.store, partition, "writer").await.1, *length);
        }
    }
}

/// What waits while the connection is made goes in one call: a partition that fails there fails alone.
#[tokio::test]
async fn a_partition_that_fails_does_not_fail_those_that_are_sent_with_it() {
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
                store.append(partition, epoch, index, content(partition, index))
            });
    let results = futures_util::future::join_all(calls).await;
    assert_eq!((&results[0], &results[4], &results[5]), (&Ok(()), &Ok(()), &Ok(())));
    assert_eq!(results[1], Err(StoreError::Fenced));
    assert!(matches!(results[2], Err(StoreError::Corrupt(_))), "{:?}", results[2]);
    assert_eq!(results[3], Err(StoreError::Behind { next: 0 }));
}

/// Whatever was confirmed is in the file; whatever was not is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_appends_survive_kill_9_of_redis() {
    let mut server = Server::durable();
    let mut writers = Writers::start(server.store(""));
    for round in 0..4 {
        sleep(Duration::from_millis(60 + round * 30)).await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.restart();
        });
    }
    let (lengths, repeats) = writers.stop().await;
    assert!(repeats >= 4, "the kills met nobody: {repeats}");
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart();
    });
    writers.check(&lengths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_are_made_again() {
    let server = Server::start(&[]);
    let mut writers = Writers::start(server.store(""));
    for _ in 0..10 {
        sleep(Duration::from_millis(15)).await;
        tokio::task::block_in_place(|| server.command(&["CLIENT", "KILL", "TYPE", "normal"]));
    }
    let (lengths, repeats) = writers.stop().await;
    assert!(repeats >= 4, "the cuts met nobody: {repeats}");
    writers.check(&lengths).await;
}

/// The store sends what did not find its script again by itself: nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_scripts_are_loaded_again_without_an_error() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let mut writers = Writers::start(Arc::clone(&handle));
    for _ in 0..10 {
        sleep(Duration::from_millis(15)).await;
        tokio::task::block_in_place(|| server.command(&["SCRIPT", "FLUSH"]));
    }
    let (lengths, repeats) = writers.stop().await;
    assert_eq!(repeats, 0, "something was unavailable");
    writers.check(&lengths).await;
    let mut epoch = claim(&*handle, 9, "me").await.0;
    for _ in 0..3 {
        server.command(&["SCRIPT", "FLUSH"]);
        handle.renew(9, epoch, FIRST_LEASE, 0).await.unwrap();
        server.command(&["SCRIPT", "FLUSH"]);
        let next = claim(&*handle, 9, "me").await.0;
        assert_eq!(next.0, epoch.0 + 1, "a claim that was sent again counted twice");
        epoch = next;
    }
}

/// Checks the bound where nothing is sent yet: the tasks that send run only when this one waits.
fn check_queue(store: &dyn Store, epoch: Epoch) {
    let mut calls: Vec<_> =
        (0..QUEUE + 1).map(|index| store.append(1, epoch, index, content(1, index))).collect();
    let refused = calls.pop().and_then(FutureExt::now_or_never).expect("it is refused at once");
    assert_unavailable(refused, "too many calls wait");
    for call in &mut calls {
        assert!(call.now_or_never().is_none(), "it waits");
    }
}

#[tokio::test]
async fn the_queue_takes_its_limit_and_no_more() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    check_queue(&*handle, epoch);
    assert_log(1, &claim(&*handle, 1, "me").await.1, QUEUE);
    let nobody = store(&format!("redis-cluster://127.0.0.1:{}", free_port()));
    check_queue(&*nobody, epoch);
}

#[tokio::test]
async fn a_second_owner_fences_the_first_whatever_it_has_under_way() {
    let server = Server::start(&[]);
    let (first, second) = (server.store(""), server.store(""));
    let (old, _) = claim(&*first, 1, "first").await;
    append(&*first, 1, old, 0..10).await;
    let held = second.claim(1, "second", Epoch(0)).await;
    assert!(matches!(held, Err(StoreError::Held { owner, .. }) if owner == "first"));
    first.renew(1, old, Duration::from_millis(1), 0).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    let late = (10..40).map(|index| first.append(1, old, index, content(1, index)));
    let late: Vec<_> = late.collect();
    let (new, log) = claim(&*second, 1, "second").await;
    let confirmed = {
        let mut confirmed = 10;
        for call in late {
            match call.await {
                Ok(()) => confirmed += 1,
                Err(error) => assert_eq!(error, StoreError::Fenced),
            }
        }
        confirmed
    };
    assert_log(1, &log, confirmed);
    assert_eq!(first.append(1, old, confirmed, content(1, 0)).await, Err(StoreError::Fenced));
    assert_eq!(first.renew(1, old, FIRST_LEASE, 0).await, Err(StoreError::Fenced));
    append(&*second, 1, new, confirmed..50).await;
    assert_log(1, &claim(&*second, 1, "second").await.1, 50);
}

/// A failover can lose the last claim; then its epoch is given a second time, to somebody else.
#[tokio::test]
async fn an_epoch_given_twice_has_one_owner() {
    let server = Server::start(&[]);
    let (first, second) = (server.store(""), server.store(""));
    let (epoch, _) = claim(&*first, 1, "first").await;
    append(&*first, 1, epoch, 0..3).await;
    server.command(&["HSET", "minerva:{p1}:head", "epoch", "0", "until", "0", "claim", "older"]);
    let (again, log) = claim(&*second, 1, "second").await;
    assert_eq!((again, log.len()), (epoch, 3));
    assert_eq!(first.append(1, epoch, 3, content(1, 3)).await, Err(StoreError::Fenced));
    assert_eq!(first.append(1, epoch, 1, content(1, 1)).await, Err(StoreError::Fenced));
    let checkpoint = first.checkpoint(1, epoch, 1, content(0, 0), Vec::new());
    assert_eq!(checkpoint.await, Err(StoreError::Fenced));
    assert_eq!(first.renew(1, epoch, FIRST_LEASE, 0).await, Err(StoreError::Fenced));
    assert_eq!(first.release(1, epoch).await, Err(StoreError::Fenced));
    append(&*second, 1, again, 3..6).await;
    assert_log(1, &claim(&*second, 1, "second").await.1, 6);
}

/// What a stopped server finds in its sockets when it goes on is older than what was called meanwhile on
/// new connections, and must not undo it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_server_finds_late_does_no_harm() {
    let server = Server::start(&[]);
    let handle = server.store("?response_ms=200&connect_ms=200");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..10).await;
    server.signal("STOP");
    let stuck: Vec<_> =
        (10..15).map(|index| handle.append(1, epoch, index, content(1, index))).collect();
    for call in stuck {
        assert_unavailable(call.await, "in time");
    }
    // The connection to a stopped server is made by the kernel: these commands wait in its sockets, too.
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
    handle.renew(1, new, FIRST_LEASE, 0).await.expect("nothing late has fenced it");
    assert_log(1, &claim(&*handle, 1, "me").await.1, 30);
}

#[tokio::test]
async fn a_full_server_takes_checkpoints_and_renewals_and_recovers() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let answer = handle.append(1, epoch, 50, content(1, 50)).await;
    assert_unavailable(answer, "raise its maxmemory");
    handle.renew(1, epoch, FIRST_LEASE, 0).await.expect("leases are kept");
    let changed = vec![(7, Some(content(7, 7)))];
    handle.checkpoint(1, epoch, 40, content(0, 0), changed).await.expect("room can be made");
    handle.append(1, epoch, 45, content(1, 45)).await.expect("a repeat needs no room");
    let claimed = handle.claim(1, "me", Epoch(0)).await.expect("a core can start");
    assert_eq!((claimed.first_index, claimed.next_index()), (40, 50));
    assert_eq!(claimed.streams, [(7, content(7, 7))]);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    handle.append(1, claimed.epoch, 50, content(1, 50)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_may_forget_is_refused_and_waited_for_later() {
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
    // Once in use, a core waits for the operator instead of giving its streams up.
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    while !matches!(handle.append(1, epoch, 0, content(1, 0)).await,
        Err(StoreError::Unavailable(text)) if text.contains("volatile-ttl"))
    {
        sleep(Duration::from_millis(10)).await;
    }
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    append(&*handle, 1, epoch, 0..3).await;
}

#[tokio::test]
async fn the_number_of_partitions_is_the_same_for_every_handle_and_prefix() {
    let server = Server::start(&[]);
    assert_eq!(server.store("").partitions(8).await, Ok(8));
    let Err(StoreError::Config(text)) = server.store("").partitions(16).await else {
        panic!("accepted");
    };
    assert!(text.contains("--partitions 16") && text.contains("--partitions 8"), "{text}");
    assert_eq!(server.store("?prefix=other:").partitions(16).await, Ok(16));
    assert_eq!(server.store("1").partitions(16).await, Ok(16), "another database");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let handle = store(&format!("redis://127.0.0.1:{}", free_port()));
    assert_unavailable(handle.claim(1, "me", Epoch(0)).await, "is it running");
}

#[tokio::test]
async fn a_key_of_something_else_is_corrupt() {
    let server = Server::start(&[]);
    server.command(&["SET", "minerva:{p1}:head", "mine"]);
    let answer = server.store("").claim(1, "me", Epoch(0)).await;
    assert!(
        matches!(&answer, Err(StoreError::Corrupt(text)) if text.contains("prefix")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn many_streams_and_entries_come_back_whole() {
    let server = Server::start(&[]);
    let handle = server.store("");
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..130).await;
    let streams: Vec<_> = (0..5000).map(|stream| (stream * 7, content(9, stream))).collect();
    let set = streams.iter().map(|(stream, blob)| (*stream, Some(blob.clone())));
    handle.checkpoint(1, epoch, 1, content(0, 1), set.clone().collect()).await.unwrap();
    let removed = streams.iter().skip(4500).map(|(stream, _)| (*stream, None));
    let changed = set.take(2500).chain(removed).collect();
    handle.checkpoint(1, epoch, 2, content(0, 2), changed).await.unwrap();
    let claimed = handle.claim(1, "me", Epoch(0)).await.unwrap();
    assert_eq!((claimed.first_index, claimed.next_index()), (2, 130));
    assert_eq!(claimed.streams, streams[..4500]);
    assert_eq!(claimed.meta, Some(content(0, 2)));
}
