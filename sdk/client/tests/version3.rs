//! Version 3 over real sockets, against scripted servers of both versions: negotiation and content on every transport.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "the other tests use the rest")]
mod peer;
#[path = "version3/server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use minerva_client::{
    Config, ConnectError, EndedBy, Message, ProblemCode, RefusalCode, SendError, Stream,
    TokenSource, TransportKind, Version,
};
use minerva_proto::MAX_MESSAGE;
use minerva_proto::v3::{Refusal, RefusalCode as Code};
use peer::soon;
use server::Server;

fn config(server: &Server, kind: TransportKind, version: Version) -> Config {
    Config { version, ..peer::config(server.address, kind) }
}

/// Text with every Unicode scalar value, in messages of at most 1,000 of them.
fn every_scalar_value() -> impl Iterator<Item = Message> {
    let scalars: Vec<char> = (0..=0x0010_ffff).filter_map(char::from_u32).collect();
    let texts: Vec<String> = scalars.chunks(1000).map(|part| part.iter().collect()).collect();
    texts.into_iter().map(Message::from)
}

/// Messages of both kinds, empty and as long as possible.
fn messages() -> Vec<Message> {
    let mut state = 1_u32;
    let mut random = |length: usize| {
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(byte).collect::<Vec<u8>>()
    };
    let mut messages = vec!["".into(), Message::from(Vec::new()), "\u{feff}a\n\0".into()];
    messages.extend((1..300).map(|length| random(length).into()));
    messages.extend([random(MAX_MESSAGE).into(), "é".repeat(MAX_MESSAGE / 2).into()]);
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_messages_pass_every_transport() {
    for kind in TransportKind::ALL {
        let server = Server::version_3().await;
        let stream = Stream::connect(config(&server, kind, Version::Auto)).unwrap();
        let sender = stream.clone();
        let sending = tokio::spawn(async move {
            for message in messages().into_iter().chain(every_scalar_value()) {
                sender.queue(message).await.unwrap();
            }
            sender.flush().await.unwrap();
        });
        for (expected, number) in messages().into_iter().chain(every_scalar_value()).zip(0..) {
            let (received, message) = soon(stream.recv_numbered()).await.unwrap();
            assert_eq!((received.0, message.kind()), (number, expected.kind()), "{kind}");
            assert!(message == expected, "{kind}: message {number}");
        }
        soon(sending).await.unwrap();
        assert_eq!(stream.counters().reconnects, 0, "{kind}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_before_it_is_queued() {
    let server = Server::version_3().await;
    let stream = Stream::connect(config(&server, TransportKind::Tcp, Version::V3)).unwrap();
    assert_eq!(stream.try_send(vec![0; MAX_MESSAGE + 1]), Err(SendError::TooLong));
}

#[tokio::test]
async fn the_client_falls_back_to_version_2_on_every_transport() {
    for (kind, connections) in [
        (TransportKind::Tcp, 2),
        (TransportKind::WebSocket, 1),
        (TransportKind::HttpStream, 2),
        (TransportKind::LongPoll, 2),
    ] {
        let server = Server::version_2().await;
        let stream = soon(Stream::open(config(&server, kind, Version::Auto))).await.unwrap();
        assert_eq!(server.hellos(), connections, "{kind}");
        assert_eq!(stream.try_send("é"), Err(SendError::Unsupported), "{kind}");
        assert_eq!((stream.problem(), stream.counters().reconnects), (None, 0), "{kind}");
    }
}

#[tokio::test]
async fn a_stream_that_needs_version_3_waits_with_a_problem() {
    for kind in TransportKind::ALL {
        let server = Server::version_2().await;
        let failed = soon(Stream::open(config(&server, kind, Version::V3))).await.map(drop);
        let Err(ConnectError::Failed { attempts }) = failed else { panic!("{failed:?}") };
        let version = ProblemCode::Refused(RefusalCode::Version);
        assert_eq!(attempts[0].problem.code, version, "{kind}: {}", attempts[0].problem);

        let stream = Stream::connect(config(&server, kind, Version::Auto)).unwrap();
        stream.try_send(vec![1]).unwrap();
        let problem = soon(stream.problem_changed(None)).await.unwrap().unwrap();
        assert_eq!((problem.code, stream.ended()), (version, None), "{kind}");
    }
}

#[tokio::test]
async fn a_refusal_ends_the_stream_with_its_code() {
    for kind in TransportKind::ALL {
        let server = Server::refusing(Refusal::new(Code::Gone)).await;
        let stream = Stream::connect(config(&server, kind, Version::Auto)).unwrap();
        let ended = soon(stream.closed()).await;
        assert_eq!((ended.reason.as_str(), ended.by), ("gone", EndedBy::Server), "{kind}");
    }
}

/// The first call of the source fails, and so the second call gives the token of the hello.
#[tokio::test]
async fn a_token_source_gives_the_first_token_and_new_ones() {
    for kind in TransportKind::ALL {
        let server = Server::with_tokens().await;
        let calls = Arc::new(AtomicUsize::new(0));
        let source = TokenSource::new(move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move { (call > 0).then(|| format!("token {call}")) }
        });
        let config = Config { token_source: Some(source), ..config(&server, kind, Version::V3) };
        let stream = soon(Stream::open(config)).await.unwrap();
        stream.send("hi").await.unwrap();
        assert_eq!(soon(stream.recv()).await, Some("hi".into()), "{kind}");
        let renewed = async {
            while server.credentials().len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(renewed).await;
        assert_eq!(server.credentials()[..2], ["token 1", "token 2"], "{kind}");
        assert_eq!((stream.counters().reconnects, stream.ended()), (0, None), "{kind}");
    }
}
