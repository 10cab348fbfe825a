//! Limits by client address and by stream: refused with a reason and a time, at the cost of that address or stream only.

mod support;

use minerva_edge::Config;
use minerva_proto::link::pb as wire;
use support::{Client, Rig, hello};

/// With another trusted proxy than these clients, so that their loopback address has limits.
fn limited() -> Config {
    let trust_forwarded_for = vec!["203.0.113.1".to_owned()];
    let (connections, unknown) = (3, 1);
    Config {
        trust_forwarded_for,
        max_connections_per_address: connections,
        max_unknown_streams: unknown,
        ..Config::default()
    }
}

/// With these clients as a trusted proxy.
fn proxied() -> Config {
    Config { trust_forwarded_for: vec!["127.0.0.1".to_owned()], ..limited() }
}

/// A held long-poll of a client behind the proxy.
async fn poll_of(rig: &Rig, address: &str) -> Client {
    let mut client = rig.connect().await;
    let hello = hello("\"ming\":true,\"new\":true,\"eeds\":null");
    let forwarded = format!("X-Forwarded-For: {address}\r\n");
    client.post("/_minerva/io/", &[&hello], &forwarded).await;
    client
}

#[tokio::test]
async fn connections_of_an_address_beyond_the_limit_are_refused() {
    let rig = Rig::with(limited()).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = rig.tcp(&["Z"]).await;
        client.until("Y").await;
        open.push(client);
    }
    let mut refused = rig.post(&[]).await;
    let answer = refused.answer().await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 10\r\n"), "{}", answer.head);
    assert_eq!(answer.body, "too many connections of this address\n");
    refused.is_closed().await;
    let mut refused = rig.tcp(&["Z"]).await;
    refused.is_closed().await;
    rig.counts("refused_total{limit=\"connections\"}", 2).await;
    drop(open);
    rig.counts("connections", 0).await;
    let mut client = rig.tcp(&["Z"]).await;
    client.until("Y").await;
}

#[tokio::test]
async fn a_loopback_address_has_no_limit_without_trusted_proxies() {
    let rig = Rig::with(Config { trust_forwarded_for: Vec::new(), ..limited() }).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut client = rig.tcp(&["Z"]).await;
        client.until("Y").await;
        open.push(client);
    }
}

#[tokio::test]
async fn transports_behind_a_proxy_count_for_their_clients() {
    let mut rig = Rig::with(proxied()).await;
    let mut open = Vec::new();
    for address in ["2001:db8::1", "2001:db8::2", "[2001:db8::3]:80", "2001:db8:0:1::1"] {
        open.push(poll_of(&rig, address).await);
        rig.core.attach().await;
    }
    let answer = poll_of(&rig, "2001:db8::ffff").await.answer().await;
    assert_eq!(answer.status, 429, "the fourth of the network");
    assert!(answer.head.contains("retry-after: 10\r\n"), "{}", answer.head);
    drop(open.remove(0));
    rig.core.detach().await;
    let _client = poll_of(&rig, "2001:db8::ffff").await;
    rig.core.attach().await;
}

#[tokio::test]
async fn hellos_for_unknown_streams_exhaust_the_rate_of_their_address() {
    let mut rig = Rig::with(limited()).await;
    let unknown = hello("\"ming\":false,\"eeds\":null");
    for _ in 0..10 {
        let mut client = rig.post(&[&unknown]).await;
        let attach = rig.core.attach().await;
        rig.core.kill(attach.transport, wire::KillReason::StreamAttachFailure).await;
        assert!(client.answer().await.body.contains("stream_attach_failureK"));
        rig.core.detach().await;
    }
    let answer = rig.post(&[&unknown]).await.answer().await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    assert!(answer.body.contains("streams that do not exist"), "{}", answer.body);
    assert_eq!(rig.metric("refused_total{limit=\"unknown_streams\"}"), 1);
    rig.core.expect_silence().await;
    // Nor is a stream created by a hello with a reset.
    let answer = rig.post(&[&hello("\"ming\":true,\"new\":true"), "bye|1!"]).await.answer().await;
    assert_eq!(answer.status, 429);
    // A new stream of the same address is not affected.
    let _client = rig.post(&[&hello("\"ming\":false,\"eeds\":null,\"new\":true")]).await;
    rig.core.attach().await;
}

#[tokio::test]
async fn a_stream_that_was_open_here_passes_the_exhausted_rate() {
    let mut rig = Rig::with(limited()).await;
    let known = hello("\"ming\":false,\"eeds\":null");
    let unknown = known.replace("abcdef", "fedcba");
    let mut client = rig.post(&[&known]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, false).await;
    rig.core.close(attach.transport, -1).await;
    client.answer().await;
    rig.core.detach().await;
    let fail = async |rig: &mut Rig, hello: &str| {
        let mut client = rig.post(&[hello]).await;
        let attach = rig.core.attach().await;
        rig.core.kill(attach.transport, wire::KillReason::StreamAttachFailure).await;
        assert_eq!(client.answer().await.status, 200);
        rig.core.detach().await;
    };
    for _ in 0..10 {
        fail(&mut rig, &unknown).await;
    }
    assert_eq!(rig.post(&[&unknown]).await.answer().await.status, 429);
    fail(&mut rig, &known).await;
    assert_eq!(rig.post(&[&known]).await.answer().await.status, 429, "until its end is known");
}

#[tokio::test]
async fn takeovers_of_a_stream_are_counted_and_limited() {
    let mut rig = Rig::with(Config { max_takeovers: 1, ..Config::default() }).await;
    let primary = hello("\"ming\":true,\"eeds\":null");
    let mut open = Vec::new();
    for _ in 0..11 {
        open.push(rig.tcp(&[&primary]).await);
        rig.core.attach().await;
    }
    assert_eq!(rig.metric("takeovers_total"), 10);
    let answer = rig.post(&[&primary]).await.answer().await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    assert!(answer.body.contains("changes its transport too often"), "{}", answer.body);
    rig.tcp(&[&primary]).await.is_closed().await;
    assert_eq!(rig.metric("refused_total{limit=\"takeovers\"}"), 2);
    // An upload takes nothing over.
    let _upload = rig.post(&[&hello("\"ming\":true")]).await;
    rig.core.attach().await;
}

/// Successive long-polls are no takeovers, at any rate.
#[tokio::test]
async fn successive_transports_take_nothing_over() {
    let mut rig = Rig::with(Config { max_takeovers: 1, ..Config::default() }).await;
    for _ in 0..30 {
        let mut client = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
        let attach = rig.core.attach().await;
        rig.core.close(attach.transport, -1).await;
        assert_eq!(client.answer().await.status, 200);
        rig.core.detach().await;
    }
    assert_eq!(rig.metric("takeovers_total"), 0);
}

/// Sends the hello, and then this many bytes of a frame of 1 MiB.
async fn unfinished(rig: &mut Rig, length: usize) -> Client {
    let mut client = rig.tcp(&[&hello("\"ming\":true")]).await;
    rig.core.attach().await;
    let mut bytes = (1u32 << 20).to_be_bytes().to_vec();
    bytes.resize(length, b'x');
    client.send(&bytes).await;
    client
}

#[tokio::test]
async fn unfinished_frames_of_an_address_use_a_quarter_of_the_budget() {
    const STEP: usize = 64 * 1024;
    let config = Config { max_unfinished_bytes: 8 << 20, ..limited() };
    let mut rig = Rig::with(config).await;
    let full = [unfinished(&mut rig, 16 * STEP).await, unfinished(&mut rig, 16 * STEP).await];
    rig.counts("unfinished_bytes", 30 * STEP as u64).await;
    let mut other = unfinished(&mut rig, 3 * STEP).await;
    rig.counts("unfinished_bytes", 32 * STEP as u64).await;
    other.send(&[b'x'; 1]).await;
    other.is_closed().await;
    rig.counts("refused_total{limit=\"unfinished_frames\"}", 1).await;
    rig.counts("unfinished_bytes", 30 * STEP as u64).await;
    drop(full);
    rig.counts("unfinished_bytes", 0).await;
}

#[tokio::test]
async fn a_long_websocket_message_is_charged_while_it_arrives() {
    const STEP: usize = 64 * 1024;
    let config = Config { max_unfinished_bytes: 1 << 20, ..Config::default() };
    let mut rig = Rig::with(config).await;
    let mut client = rig.connect().await;
    client.send(b"GET /_minerva/ws HTTP/1.1\r\nHost: e\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
    client.until("\r\n\r\n").await;
    let hello = format!("{}\n", hello("\"ming\":true,\"eeds\":null"));
    client.send(&masked(hello.len(), hello.as_bytes())).await;
    rig.core.attach().await;
    client.send(&masked(1_000_000, &vec![b'x'; 3 * STEP])).await;
    rig.counts("unfinished_bytes", 3 * STEP as u64).await;
    let mut rest = vec![b'x'; 1_000_000 - 3 * STEP - 2];
    rest.extend_from_slice(b" \n");
    client.send(&rest).await;
    assert_eq!(rig.core.batch().await.runs[0].messages[0].len(), 999_998);
    rig.counts("unfinished_bytes", 0).await;
}

/// A text message with the mask 0, of which only `sent` is sent.
fn masked(length: usize, sent: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | 127];
    bytes.extend_from_slice(&(length as u64).to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(sent);
    bytes
}
