//! Version 3 end to end: the program `minerva`, a service of the application SDK and the Rust client, on every kind of
//! transport, with connections that break in the midst of messages.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[path = "version3/breaking_proxy.rs"]
mod breaking_proxy;
#[path = "version3/compression.rs"]
mod compression;
#[path = "version3/messages.rs"]
mod messages;
#[path = "version3/program.rs"]
mod program;
#[path = "version3/raw.rs"]
mod raw;
#[cfg(unix)]
#[path = "version3/sessions.rs"]
mod sessions;

use std::time::Duration;

use breaking_proxy::BreakingProxy;
use minerva_client::{Config, SendError, Stream, TransportKind, Version};
use minerva_proto::MAX_MESSAGE;
use minerva_proto::v3::{Frame, Refusal, RefusalCode};
use program::Program;

/// Time limit for all messages over one transport, for slow machines.
const DEADLINE: Duration = Duration::from_secs(120);

fn config(address: impl ToString, kind: TransportKind) -> Config {
    let mut config = Config::new(address.to_string(), kind);
    config.version = Version::V3;
    config.backoff_base = Duration::from_millis(5);
    config.backoff_cap = Duration::from_millis(20);
    config
}

/// Sends all messages through a breaking proxy and compares the echoes. Returns the number of reconnects.
async fn echo_over(program: &Program, kind: TransportKind, seed: u64) -> u64 {
    let proxy = BreakingProxy::start(program.clients, seed).await;
    let stream = Stream::connect(config(proxy.address, kind)).unwrap();
    let sender = stream.clone();
    let sending = tokio::spawn(async move {
        for message in messages::all(seed) {
            sender.queue(message).await.unwrap();
        }
        sender.flush().await.unwrap();
    });
    for (expected, number) in messages::all(seed).zip(0..) {
        let received = stream.recv_numbered().await;
        let (received, message) = received.unwrap_or_else(|| panic!("{:?}", stream.ended()));
        assert_eq!((received.0, message.kind()), (number, expected.kind()), "{kind}");
        assert!(message == expected, "{kind}: message {number}");
    }
    sending.await.unwrap();
    stream.counters().reconnects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_returns_unchanged_over_broken_connections() {
    let program = Program::start();
    let _service = program.echo().await;
    for (kind, seed) in TransportKind::ALL.into_iter().zip(1..) {
        let echo = tokio::time::timeout(DEADLINE, echo_over(&program, kind, seed));
        let reconnects = echo.await.unwrap_or_else(|_| panic!("{kind}: not complete in time"));
        assert!(reconnects >= 3, "{kind}: {reconnects} broken connections");
    }
}

/// The edge replaces its read buffer behind a long frame; no byte of the next frame may be lost with the buffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_and_long_messages_in_turn_keep_the_connection() {
    let program = Program::start();
    let _service = program.echo().await;
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let stream = Stream::connect(config(program.clients, kind)).unwrap();
        for round in 0..60_u8 {
            stream.queue(vec![round; 3]).await.unwrap();
            stream.queue(vec![round; 100_000]).await.unwrap();
            assert_eq!(stream.recv().await, Some(vec![round; 3].into()));
            assert_eq!(stream.recv().await, Some(vec![round; 100_000].into()));
        }
        assert_eq!(stream.counters().reconnects, 0, "{kind}");
    }
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_at_both_ends() {
    let program = Program::start();
    let mut service = program.echo().await;
    let stream = Stream::connect(config(program.clients, TransportKind::Tcp)).unwrap();
    let error = stream.try_send(vec![0; MAX_MESSAGE + 1]);
    assert_eq!(error, Err(SendError::TooLong));
    stream.send("hé").await.unwrap();
    assert_eq!(stream.recv().await, Some("hé".into()));
    let served = service.served().await;
    let error = served.send("é".repeat(MAX_MESSAGE / 2 + 1)).await;
    let (length, max) = (MAX_MESSAGE + 1, MAX_MESSAGE);
    assert_eq!(error, Err(minerva_app::SendError::Length { length, max }));
    served.send("ù").await.unwrap();
    assert_eq!(stream.recv().await, Some("ù".into()));
}

/// A valid message, then invalid bytes: the message is taken, and the transport ends with a refusal.
async fn is_refused(program: &Program, kind: raw::Kind, bytes: &[u8], code: RefusalCode) {
    let mut input = b"m\x02hi".to_vec();
    input.extend(bytes);
    let frames = raw::exchange(program.clients, kind, &input).await;
    let sacks = frames.iter().filter_map(|frame| match frame {
        Frame::Sack(sack) => Some(sack.to_string()),
        _ => None,
    });
    assert_eq!(sacks.last().as_deref(), Some("|0"), "{kind:?}: {frames:?}");
    let refusals: Vec<&Refusal> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Refusal(refusal) => Some(refusal),
            _ => None,
        })
        .collect();
    assert!(
        matches!(refusals[..], [refusal] if refusal.code() == Some(code)),
        "{kind:?}: {frames:?}"
    );
}

#[tokio::test]
async fn invalid_messages_get_the_refusal_of_their_fault() {
    let program = Program::start();
    let _service = program.echo().await;
    let too_large = [&[b'b', 0x80, 0x80, 0x40][..], &[0; 9]].concat();
    for kind in raw::Kind::ALL {
        // A lone surrogate, and a character that is cut off.
        is_refused(&program, kind, b"m\x03\xed\xa0\x80", RefusalCode::Message).await;
        is_refused(&program, kind, b"m\x02a\xc3", RefusalCode::Message).await;
        // A length of 1,048,576: one more than applications send.
        is_refused(&program, kind, &too_large, RefusalCode::TooLarge).await;
        // A length with a superfluous byte, and an unknown type.
        is_refused(&program, kind, b"m\x81\x00a", RefusalCode::Frame).await;
        is_refused(&program, kind, b"\x01\x00", RefusalCode::Frame).await;
    }
}
