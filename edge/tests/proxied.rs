//! Ports for the PROXY protocol.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use minerva_edge::{Config, Port};
use minerva_proto::{AddressKey, ServiceName};
use support::{Rig, hello};

const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";

/// A rig with a port for proxies and this list of trusted proxies.
async fn rig(trusted: &[&str]) -> Rig {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port is free");
    let address: SocketAddr = free.local_addr().expect("it has no address");
    drop(free);
    let mut rig = Rig::with(Config {
        proxy_listen: vec![Port { service: ServiceName::default(), address }],
        trust_forwarded_for: trusted.iter().map(|&network| network.to_owned()).collect(),
        ..Config::default()
    })
    .await;
    rig.address = address;
    rig
}

#[tokio::test]
async fn a_tcp_client_has_the_address_of_the_proxy_line() {
    let mut rig = rig(&["127.0.0.1"]).await;
    let mut client = rig.connect().await;
    client.send(LINE).await;
    client.send(b"<int32/>\n").await;
    client.frames(&[&hello("\"ming\":true,\"new\":true")]).await;
    let attach = rig.core.attach().await;
    let key = AddressKey::of("203.0.113.9".parse().unwrap());
    assert_eq!((attach.peer_address.as_str(), attach.address_key), ("203.0.113.9", key.0));
}

#[tokio::test]
async fn headers_of_a_proxied_client_are_not_trusted() {
    let mut rig = rig(&["127.0.0.1"]).await;
    let mut client = rig.connect().await;
    client.send(LINE).await;
    let hello = hello("\"ming\":true,\"new\":true");
    client.post("/_minerva/io/", &[&hello], "X-Forwarded-For: 198.51.100.7\r\n").await;
    assert_eq!(rig.core.attach().await.peer_address, "203.0.113.9");
}

#[tokio::test]
async fn a_connection_without_the_line_is_closed() {
    let rig = rig(&["127.0.0.1"]).await;
    rig.tcp(&[&hello("\"ming\":true")]).await.is_closed().await;
    rig.counts("garbage_total", 1).await;
}

#[tokio::test]
async fn an_untrusted_proxy_is_rejected() {
    let rig = rig(&["192.0.2.1"]).await;
    let mut client = rig.connect().await;
    client.send(LINE).await;
    client.is_closed().await;
    rig.counts("garbage_total", 1).await;
}

#[tokio::test]
async fn a_loopback_port_serves_public_names_to_proxies_only() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n";
    for (trusted, status) in [(vec![], 421), (vec!["127.0.0.1".to_owned()], 200)] {
        let rig = Rig::with(Config { trust_forwarded_for: trusted, ..Config::default() }).await;
        let mut client = rig.connect().await;
        client.send(REQUEST).await;
        assert_eq!(client.answer().await.status, status);
        rig.counts("foreign_hosts_total", u64::from(status == 421)).await;
    }
    let rig = rig(&["127.0.0.1"]).await;
    let mut client = rig.connect().await;
    client.send(LINE).await;
    client.send(REQUEST).await;
    assert_eq!(client.answer().await.status, 200, "behind a PROXY line");
}
