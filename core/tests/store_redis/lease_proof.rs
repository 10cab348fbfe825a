//! Renewals at an old primary that has not noticed the promotion of its replica: two owners otherwise.

use std::sync::Arc;
use std::time::Duration;

use minerva_core::store::{Epoch, Store};
use minerva_proto::LogIndex;
use redis::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

use crate::claim;
use crate::server::{Server, free_port, store, wait_until};

const LEASE: Duration = Duration::from_secs(5);
/// Longer than the greatest age of a report that proves a connection.
const DETECTION: Duration = Duration::from_millis(2500);

/// The network between a replica and the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Connected,
    /// Nothing passes, and no connection is closed.
    Partitioned,
    /// All connections are closed.
    Closed,
}

/// Waits until the network is in another state.
async fn left(mut network: watch::Receiver<Network>, state: Network) {
    let _ = network.wait_for(|current| *current != state).await;
}

/// Forwards connections to a port of this machine while the network is connected.
async fn forward(listener: TcpListener, port: u16, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let network = network.clone();
        connections.spawn(async move {
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = left(network.clone(), Network::Connected) => {
                    left(network, Network::Partitioned).await;
                }
            }
        });
    }
}

/// A primary, its replica behind a network, and a Sentinel that knows both.
struct Servers {
    old: Server,
    new: Server,
    sentinel: Server,
    network: watch::Sender<Network>,
    _forwarder: JoinSet<()>,
}

impl Servers {
    async fn start() -> Self {
        let (old, listener) = (Server::start(&[]), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Connected);
        let mut forwarder = JoinSet::new();
        forwarder.spawn(forward(listener, old.port, state));
        let new = block_in_place(|| {
            let port = address.port().to_string();
            let new = Server::start_at(free_port(), &["--replicaof", "127.0.0.1", &port]);
            let line = format!("port={},state=online", new.port);
            wait_until("the replica is connected", || old.info().contains(&line));
            new
        });
        let sentinel = block_in_place(|| {
            let monitored = format!("sentinel monitor main 127.0.0.1 {} 1\n", old.port);
            let sentinel = Server::sentinel_with(&monitored);
            wait_until("the Sentinel knows the replica", || {
                matches!(sentinel.command(&["SENTINEL", "REPLICAS", "main"]),
                    Value::Array(replicas) if replicas.len() == 1)
            });
            sentinel
        });
        Self { old, new, sentinel, network, _forwarder: forwarder }
    }

    /// Promotes the replica; the Sentinel names the new primary.
    fn promote(&self) {
        self.new.command(&["REPLICAOF", "NO", "ONE"]);
        self.sentinel.command(&["SENTINEL", "REMOVE", "main"]);
        let port = self.new.port.to_string();
        self.sentinel.command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]);
    }

    fn old_lease(&self) -> Value {
        self.old.command(&["HGET", "minerva:{p1}:head", "until"])
    }
}

/// Renews the lease of partition 1 until the task is aborted.
async fn renew(store: Arc<dyn Store>, epoch: Epoch) {
    loop {
        let _ = store.renew(1, epoch.into(), LEASE, LogIndex(0)).await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asserts that an owner renews no lease at the old primary once the replica is promoted behind a broken network.
async fn assert_no_second_owner(query: &str, broken: Network, promoted_after: Duration) {
    let servers = Servers::start().await;
    let url = format!("redis-sentinel://127.0.0.1:{}/main?wait=1{query}", servers.sentinel.port);
    let handle: Arc<dyn Store> = store(&url);
    let (epoch, _) = claim(&*handle, 1, "me").await;
    let mut renewals = JoinSet::new();
    renewals.spawn(renew(Arc::clone(&handle), epoch));
    sleep(Duration::from_millis(500)).await;
    servers.network.send(broken).unwrap();
    sleep(promoted_after).await;
    block_in_place(|| {
        let before = servers.old_lease();
        // The Sentinel names the old primary, which keeps the lease.
        wait_until("the lease is renewed", || servers.old_lease() != before);
        servers.promote();
    });
    sleep(DETECTION).await;
    let last = block_in_place(|| servers.old_lease());
    sleep(Duration::from_millis(500)).await;
    assert_eq!(block_in_place(|| servers.old_lease()), last, "renewed at the old primary");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_replica_is_no_proof_of_the_old_primary() {
    assert_no_second_owner("", Network::Partitioned, Duration::ZERO).await;
}

/// Appends no longer wait for the replica, but the Sentinels may promote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_left_long_ago_is_no_proof_of_the_old_primary() {
    assert_no_second_owner("&hold_ms=100", Network::Closed, Duration::from_secs(1)).await;
}
