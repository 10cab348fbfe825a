//! Ports for TLS: every transport over TLS, rejected handshakes and invalid files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../core/tests/support/certificate.rs"]
mod certificate;
#[path = "tls/encrypted.rs"]
mod encrypted;
#[path = "../../core/tests/support/ports.rs"]
mod ports;
#[path = "tls/renewal.rs"]
mod renewal;
mod support;

use std::time::Duration;

use encrypted::{Files, Trust, agreed, bind, rig};
use futures_util::{SinkExt, StreamExt};
use minerva_edge::Config;
use minerva_proto::link::pb as wire;
use minerva_proto::link::pb::edge_frame::Frame as ToCore;
use ports::free_port;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use support::{Rig, TIMEOUT, hello, texts};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn raw_tcp_works_within_tls() {
    let (mut rig, _files, trust) = rig(|_| {}).await;
    let mut client = trust.client(rig.address).await;
    client.send(b"<int32/>\n").await;
    client.frames(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null"), "a "]).await;
    let attach = rig.core.attach().await;
    assert_eq!(
        (attach.kind(), attach.peer_address.as_str()),
        (wire::TransportKind::Tcp, "127.0.0.1")
    );
    rig.core.opened(attach.transport, true).await;
    client.expect(&["C"]).await;
    // More than one TLS record, and more than the TLS buffer.
    let long = "x".repeat(300_000);
    rig.core.messages(attach.transport, 0, &[&long, "y"]).await;
    client.expect(&["0N", &format!("{long} "), "y "]).await;
    client.frames(&[&format!("{long} ")]).await;
    let messages = |batch| texts(&batch).into_iter().flat_map(|(_, messages)| messages);
    let mut received: Vec<String> = attach.batch.into_iter().flat_map(messages).collect();
    while received.len() < 2 {
        match rig.core.next().await {
            ToCore::Batch(batch) => received.extend(messages(batch)),
            ToCore::Grant(_) => {}
            other @ (ToCore::Hello(_) | ToCore::Attach(_) | ToCore::Detach(_)) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(received, ["a".to_owned(), long]);
    rig.core.close(attach.transport, 1).await;
    client.expect(&["|1A", "|-1T", "Y"]).await;
    let end = tokio::time::timeout(TIMEOUT, client.stream.read(&mut [0])).await.unwrap();
    assert_eq!(end.expect("the end is not told within TLS"), 0);
}

#[tokio::test]
async fn https_works_and_forwarded_for_is_not_believed_unless_from_a_trusted_proxy() {
    for (trusted, expected) in [("192.0.2.1", "127.0.0.1"), ("127.0.0.1", "198.51.100.7")] {
        let change = |config: &mut Config| config.trust_forwarded_for = vec![trusted.to_owned()];
        let (mut rig, _files, trust) = rig(change).await;
        let mut client = trust.client(rig.address).await;
        let hello = hello("\"ming\":false");
        client.post("/_minerva/io/", &[&hello, "a "], "X-Forwarded-For: 198.51.100.7\r\n").await;
        let attach = rig.core.attach().await;
        assert_eq!(attach.peer_address, expected);
        assert_eq!(texts(&attach.batch.unwrap()), [(0, vec!["a".to_owned()])]);
        rig.core.close(attach.transport, 0).await;
        assert_eq!(client.answer().await.body, ";)]}^\n|0A\n|-1T\n");
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.body, "<p>hi</p>", "the connection is kept");
    }
}

#[tokio::test]
async fn pages_of_https_may_use_it_and_others_may_not() {
    let (rig, _files, trust) = rig(|_| {}).await;
    for (origin, status) in
        [("https://edge.example", 200), ("http://edge.example", 403), ("https://b.example", 403)]
    {
        let mut client = trust.client(rig.address).await;
        client.post("/_minerva/io/", &["Z"], &format!("Origin: {origin}\r\n")).await;
        assert_eq!(client.answer().await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn websockets_work_within_tls() {
    let (mut rig, _files, trust) = rig(|_| {}).await;
    let stream = trust.with_alpn(&["http/1.1"]).dial(rig.address).await.unwrap();
    let url = "wss://localhost/_minerva/ws";
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    socket.send(Message::text(format!("{}\na \n", hello("\"ming\":true")))).await.unwrap();
    let attach = rig.core.attach().await;
    assert_eq!(attach.kind(), wire::TransportKind::Websocket);
    rig.core.opened(attach.transport, false).await;
    rig.core.messages(attach.transport, 0, &["x"]).await;
    let message = socket.next().await.unwrap().unwrap();
    assert_eq!(message.into_text().unwrap(), "0N\nx \n");
    rig.core.close(attach.transport, 0).await;
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "|0A\n|-1T\nY\n");
    while let Some(message) = socket.next().await {
        assert!(message.unwrap().is_close());
    }
}

#[tokio::test]
async fn the_policy_file_is_served_within_tls() {
    let (rig, _files, trust) = rig(|_| {}).await;
    let mut client = trust.client(rig.address).await;
    client.send(b"<policy-file-request/>\0").await;
    client.until("</cross-domain-policy>\0").await;
}

#[tokio::test]
async fn clients_with_and_without_alpn_and_of_both_versions_get_in() {
    let (rig, files, _) = rig(|_| {}).await;
    for (version, number) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let trust = || Trust::speaking(&files, &[version]);
        let plain = trust().dial(rig.address).await.unwrap();
        assert_eq!(agreed(&plain), (Some(number), None));
        let browser = trust().with_alpn(&["h2", "http/1.1"]).dial(rig.address).await.unwrap();
        assert_eq!(agreed(&browser), (Some(number), Some(&b"http/1.1"[..])));
    }
    let other = Trust::of(&files).with_alpn(&["h2"]);
    assert!(other.dial(rig.address).await.is_err(), "we do not speak that");
}

#[tokio::test]
async fn a_connection_without_tls_is_closed() {
    let (rig, _files, _) = rig(|_| {}).await;
    for (number, bytes) in [&b"<int32/>\n"[..], b"GET / HTTP/1.1\r\n\r\n"].iter().enumerate() {
        let mut client = rig.connect().await;
        client.send(bytes).await;
        // A TLS alert may precede the close.
        while client.more().await {}
        let read = String::from_utf8_lossy(&client.read);
        assert!(client.read.len() <= 7, "an answer: {read:?}");
        rig.counts("garbage_total", number as u64 + 1).await;
        rig.counts("tls_failures_total{cause=\"not_tls\"}", number as u64 + 1).await;
    }
}

#[tokio::test]
async fn failed_handshakes_are_counted_by_cause() {
    let (rig, files, _) = rig(|_| {}).await;
    let other = Trust::of(&files).with_alpn(&["h2"]);
    assert!(other.dial(rig.address).await.is_err());
    rig.counts("tls_failures_total{cause=\"incompatible\"}", 1).await;
    let stranger = Trust::of(&Files::make());
    assert!(stranger.dial(rig.address).await.is_err(), "the certificate is of another authority");
    rig.counts("tls_failures_total{cause=\"rejected_by_client\"}", 1).await;
    rig.counts("garbage_total", 2).await;
    drop(rig.connect().await);
    rig.counts("tls_failures_total{cause=\"disconnected\"}", 1).await;
    rig.counts("garbage_total", 2).await;
}

#[tokio::test]
async fn garbage_within_tls_is_turned_away() {
    let (rig, _files, trust) = rig(|_| {}).await;
    let mut client = trust.client(rig.address).await;
    client.send(&[b'x'; 512]).await;
    client.is_closed().await;
    rig.counts("garbage_total", 1).await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off_after_5_seconds_and_has_a_seat_until_then() {
    let (rig, _files, trust) = rig(|config| config.max_connections = 1).await;
    let mut silent = rig.connect().await;
    rig.counts("connections", 1).await;
    let waiting = tokio::spawn(async move { trust.dial(rig.address).await.map(|_| rig) });
    let closing = tokio::time::timeout(Duration::from_secs(8), silent.is_closed());
    let early = tokio::time::timeout(Duration::from_millis(4500), closing).await;
    assert!(early.is_err(), "too early");
    assert!(!waiting.is_finished(), "there was room for two");
    silent.is_closed().await;
    tokio::time::timeout(TIMEOUT, waiting).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_silent_client_after_the_handshake_is_closed() {
    let (rig, _files, trust) = rig(|_| {}).await;
    let mut client = trust.client(rig.address).await;
    let closing = tokio::time::timeout(Duration::from_secs(8), client.is_closed());
    let early = tokio::time::timeout(Duration::from_millis(4500), closing).await;
    assert!(early.is_err(), "too early");
    client.is_closed().await;
}

#[tokio::test]
async fn an_edge_that_drains_waits_for_no_handshake() {
    let (mut rig, _files, _) = rig(|_| {}).await;
    let mut silent = rig.connect().await;
    rig.counts("connections", 1).await;
    rig.stop();
    tokio::time::timeout(Duration::from_secs(3), silent.is_closed()).await.unwrap();
}

#[tokio::test]
async fn the_port_for_plain_bytes_stays_as_it_is() {
    let (files, port) = (Files::make(), free_port());
    let rig = Rig::with(files.config(port)).await;
    let mut client = rig.tcp(&["Z"]).await;
    client.until("Y").await;
}

#[tokio::test]
async fn invalid_files_are_reported_at_the_start() {
    let (files, other) = (Files::make(), Files::make());
    let with = |change: fn(&mut Config, &Files)| {
        let mut config = files.config(0);
        change(&mut config, &other);
        config
    };
    let nothing = |path: &mut Option<std::path::PathBuf>| {
        std::fs::write(other.0.path().join("empty.pem"), "").unwrap();
        *path = Some(other.0.path().join("empty.pem"));
    };
    let (mut no_certificate, mut no_key) = (files.config(0), files.config(0));
    nothing(&mut no_certificate.tls_certificate);
    nothing(&mut no_key.tls_key);
    for (config, option, problem) in [
        (with(|config, _| config.tls_certificate = None), "--tls-certificate: ", "is missing"),
        (with(|config, _| config.tls_key = None), "--tls-key: ", "is missing"),
        (with(|config, _| config.tls_listen.clear()), "--tls-certificate: ", "no port"),
        (no_certificate, "--tls-certificate: ", "contains no certificate"),
        (no_key, "--tls-key: ", "no private key"),
        (with(|config, other| config.tls_key = Some(other.key())), "--tls-key: ", "does not match"),
        (with(|config, _| config.tls_key = Some("/nowhere".into())), "--tls-key: ", "cannot read"),
        (
            with(|config, _| config.tls_certificate = Some("/nowhere".into())),
            "--tls-certificate: ",
            "cannot read",
        ),
        (
            with(|config, _| (config.tls_certificate, config.tls_key) = (None, None)),
            "--tls-listen: ",
            "needs a certificate",
        ),
    ] {
        let finding = config.examine_tls().map(|finding| finding.to_string());
        let error = bind(config).await.expect_err(problem);
        assert!(error.starts_with(option) && error.contains(problem), "{error}");
        assert!(error.contains("\n  fix: "), "{error}");
        if problem != "no port" {
            let finding = finding.unwrap();
            assert!(finding.starts_with("fail") && finding.contains(problem), "{finding}");
        }
    }
    let finding = files.config(0).examine_tls().unwrap().to_string();
    // Valid for two days.
    assert!(finding.starts_with("warn") && finding.contains("expires in "), "{finding}");
    assert!(bind(files.config(0)).await.unwrap().is_some());
    assert!(bind(Config::default()).await.unwrap().is_none());
}

/// An attacker's name does not match the certificate, so DNS rebinding is no danger here.
#[tokio::test]
async fn a_loopback_port_serves_every_name_within_tls() {
    let (rig, _files, trust) = rig(|_| {}).await;
    let mut client = trust.client(rig.address).await;
    client.send(b"GET / HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
}
