//! Dialling of cores: names with changing addresses, incompatible cores and hanging cores.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

mod support;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use minerva_edge::{Config, Cores};
use support::{Core, Rig, TIMEOUT, hello};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A name whose addresses the test sets.
fn named(addresses: &[SocketAddr]) -> (Cores, Arc<Mutex<Vec<SocketAddr>>>) {
    let addresses = Arc::new(Mutex::new(addresses.to_vec()));
    let answer = Arc::clone(&addresses);
    let cores = Cores::at(&["cores.test:7403".to_owned()]).unwrap();
    let cores = cores.with_lookup(move |name| {
        assert_eq!(name, "cores.test:7403");
        let addresses = answer.lock().unwrap().clone();
        async { io::Result::Ok(addresses) }
    });
    (cores, addresses)
}

#[tokio::test]
async fn every_address_of_a_name_is_dialled() {
    let (one, mut other) = (Core::listen().await, Core::listen().await);
    let (cores, _) = named(&[one.address, other.address]);
    let mut rig = Rig::between(Config::default(), cores, one);
    rig.core.introduce(1).await;
    other.greet().await;
    let _client = rig.tcp(&[&hello("\"ming\":true")]).await;
    other.attach().await;
}

#[tokio::test]
async fn a_lost_link_causes_an_immediate_lookup() {
    let (one, mut other) = (Core::listen().await, Core::listen().await);
    let (cores, addresses) = named(&[one.address]);
    let mut rig = Rig::between(Config::default(), cores, one);
    rig.core.greet().await;
    rig.is_hindered_by(None).await;
    *addresses.lock().unwrap() = vec![other.address];
    rig.core.hang_up();
    other.greet().await;
    rig.is_hindered_by(None).await;
    assert_eq!(rig.metric("links_up"), 1);
    // One more attempt is possible if the back-off ended before the lookup.
    let again = rig.core.is_called().await;
    assert!(!again || !rig.core.is_called().await, "nobody says that there is a core");
}

#[tokio::test]
async fn an_established_link_survives_its_address_and_new_addresses_are_found() {
    let (one, mut other) = (Core::listen().await, Core::listen().await);
    let (cores, addresses) = named(&[one.address]);
    let mut rig = Rig::between(Config::default(), cores, one);
    rig.core.greet().await;
    *addresses.lock().unwrap() = vec![other.address];
    other.introduce(1).await;
    rig.counts("links_up", 2).await;
    let _client = rig.tcp(&[&hello("\"ming\":true")]).await;
    rig.core.attach().await;
}

#[tokio::test]
async fn a_core_with_another_number_of_partitions_is_refused() {
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.core.introduce(2).await;
    rig.counts("links_up", 1).await;
    for partitions in [1, 3, 0, 65_537] {
        other.introduce(partitions).await;
        other.is_left().await;
    }
    other.introduce(2).await;
    rig.counts("links_up", 2).await;
    // After the loss of every link, a deployment with another partition count is accepted.
    rig.core.hang_up();
    other.hang_up();
    rig.counts("links_up", 0).await;
    let _client = rig.tcp(&[&hello("\"ming\":true")]).await;
    other.introduce(65_536).await;
    rig.counts("links_up", 1).await;
    other.owns(&(0..65_536).map(|partition| (partition, 1)).collect::<Vec<_>>()).await;
    other.attach().await;
}

#[tokio::test]
async fn a_claim_of_a_partition_that_is_none_ends_the_call() {
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.core.introduce(2).await;
    rig.core.owns(&[(0, 1), (1, 1)]).await;
    rig.counts("partitions", 2).await;
    other.introduce(2).await;
    other.owns(&[(0, 9), (2, 9)]).await;
    other.is_left().await;
    assert_eq!(rig.metric("partitions"), 2);
}

/// A relay in front of a core that can stall without closing connections.
async fn freezer(core: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (freeze, frozen) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let Ok((mut edge, _)) = listener.accept().await else { return };
            let mut frozen = frozen.clone();
            tokio::spawn(async move {
                let mut core = TcpStream::connect(core).await.unwrap();
                tokio::select! {
                    _ = frozen.wait_for(|frozen| *frozen) => {}
                    _ = tokio::io::copy_bidirectional(&mut edge, &mut core) => return,
                }
                // The connection stays open without progress.
                std::future::pending::<()>().await;
            });
        }
    });
    (address, freeze)
}

#[tokio::test]
async fn a_hanging_core_is_abandoned_and_delays_no_other() {
    let (one, mut other) = (Core::listen().await, Core::listen().await);
    let (address, freeze) = freezer(one.address).await;
    let cores = Cores::at(&[address.to_string(), other.address.to_string()]).unwrap();
    let mut rig = Rig::between(Config::default(), cores, one);
    rig.core.greet().await;
    other.introduce(1).await;
    rig.counts("links_up", 2).await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, false).await;
    rig.core.messages(transport, 0, &["x"]).await;
    client.expect(&["0N", "x "]).await;
    freeze.send_replace(true);
    // A claim of a higher epoch counts before the failure is detected.
    other.owns(&[(0, 2)]).await;
    let again = other.attach().await;
    other.opened(again.transport, false).await;
    other.messages(again.transport, 1, &["y"]).await;
    client.expect(&["y "]).await;
    let noticed = rig.counts("links_up", 1);
    tokio::time::timeout(TIMEOUT / 2, noticed).await.expect("the dead core is kept");
    assert_eq!(rig.metric("link_losses_total"), 1);
}
