//! Repeated hand-overs of a stream between two cores under traffic in both directions: exactly-once, ordered
//! delivery without closing a socket, over every kind of transport.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

#[path = "handover/clients.rs"]
mod clients;
#[path = "handover/cluster.rs"]
mod cluster;
mod support;

use std::time::Duration;

use clients::{Progress, Shared};
use cluster::{Cluster, Order};
use minerva_edge::{Config, Cores};
use support::{Core, Rig};

/// Hand-overs, and messages per direction between two hand-overs.
const ROUNDS: usize = 20;
const MESSAGES: usize = 15;

/// Moves the partition from core `from` to core `to` in one of several ways.
async fn hand_over(cluster: &Cluster, way: usize, from: usize, to: usize) {
    match way {
        // Orderly release.
        0 => {
            cluster.order(from, Order::Release);
            cluster.until(|store| store.is_orphaned()).await;
            cluster.order(to, Order::Claim);
        }
        // The former owner is fenced and learns so late.
        1 => {
            cluster.order(to, Order::Claim);
            cluster.until(|store| store.is_owned_by(to)).await;
            cluster.order(from, Order::Release);
        }
        // The owner crashes.
        2 => {
            cluster.order(from, Order::Die);
            cluster.until(|store| store.is_orphaned()).await;
            cluster.order(to, Order::Claim);
        }
        // Neither core announces ownership for a while.
        3 => {
            cluster.order(to, Order::Seize);
            cluster.until(|store| store.is_owned_by(to)).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            cluster.order(to, Order::Tell);
        }
        // Release and repeated claims, as with disagreeing placements.
        _ => {
            let epoch = cluster.store.lock().unwrap().epoch;
            cluster.order(from, Order::Release);
            cluster.order(from, Order::Claim);
            cluster.until(|store| store.epoch > epoch).await;
            cluster.order(to, Order::Claim);
            cluster.until(|store| store.is_owned_by(to)).await;
        }
    }
}

/// Runs one stream through two cores behind an edge during hand-overs.
async fn rig() -> (Rig, Cluster, Shared) {
    let (one, other, none) = (Core::listen().await, Core::listen().await, Core::listen().await);
    let cores = Cores::at(&[one.address.to_string(), other.address.to_string()]).unwrap();
    let rig = Rig::between(Config::default(), cores, none);
    let cluster = Cluster::new(vec![one, other]);
    (rig, cluster, Progress::shared(ROUNDS * MESSAGES))
}

/// Sends the application's messages and changes the owner at intervals.
async fn churn(cluster: &Cluster) {
    let (mut from, mut to) = (0, 1);
    cluster.order(from, Order::Claim);
    for round in 0..ROUNDS {
        for number in round * MESSAGES..(round + 1) * MESSAGES {
            cluster.send(format!("s{number}"));
            tokio::task::yield_now().await;
        }
        let halfway = round * MESSAGES + MESSAGES / 2;
        cluster.until(|store| store.acked >= halfway && store.received.len() >= halfway).await;
        hand_over(cluster, round % 5, from, to).await;
        std::mem::swap(&mut from, &mut to);
    }
    let total = ROUNDS * MESSAGES;
    cluster.until(|store| store.acked == total && store.received.len() == total).await;
}

fn check(cluster: &Cluster, progress: &Shared) {
    let expected: Vec<_> = (0..ROUNDS * MESSAGES).map(|number| format!("c{number}")).collect();
    assert_eq!(cluster.store.lock().unwrap().received, expected);
    assert_eq!(progress.lock().unwrap().received, ROUNDS * MESSAGES);
}

macro_rules! hands_over {
    ($name:ident, $client:path) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (rig, cluster, progress) = rig().await;
            tokio::join!(churn(&cluster), $client(&rig, progress.clone()));
            check(&cluster, &progress);
        }
    };
}

hands_over!(a_tcp_socket_stays_open, clients::tcp);
hands_over!(a_websocket_stays_open, clients::websocket);
hands_over!(a_streamed_response_goes_on_beside_uploads, clients::http_stream);
hands_over!(polls_and_uploads_are_answered, clients::long_poll);
