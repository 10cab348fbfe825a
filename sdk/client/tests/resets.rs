//! Resets through the public handle, against a scripted server.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod peer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use minerva_client::{Ended, EndedBy, SendError, Stream, TransportKind};
use minerva_proto::{Frame, MessageNumber, Reset, Sack};
use peer::{Peer, config, soon};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A stream that the peer has created.
async fn connected() -> (Stream, TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    config.max_queued_messages = 1;
    (config.max_received_messages, config.max_unacknowledged_messages) = (1, 0);
    let stream = Stream::connect(config).unwrap();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    soon(stream.ready()).await.unwrap();
    (stream, listener, peer)
}

/// Collects the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn bye() -> Frame {
    Frame::Reset(Reset::new("bye", true))
}

fn own_end() -> Ended {
    Ended { reason: "bye".into(), application_level: true, by: EndedBy::Client }
}

#[tokio::test]
async fn a_reset_outlives_the_last_handle() {
    let (stream, listener, mut peer) = connected().await;
    stream.try_send("last words").unwrap();
    stream.reset("bye");
    drop(stream);
    let frames = [Frame::SeqNum(MessageNumber(0)), Frame::String("last words".into()), bye()];
    for expected in &frames {
        assert_eq!(soon(peer.read()).await, *expected);
    }
    // The transport is lost before the confirmation.
    drop(peer);
    let (mut peer, hello) = soon(Peer::accept(&listener)).await;
    assert!(!hello.new);
    for expected in &frames {
        assert_eq!(soon(peer.read()).await, *expected);
    }
    peer.write(bye()).await;
    assert_eq!(soon(peer.socket.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    while Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reset_before_the_first_hello_makes_no_request() {
    for kind in [TransportKind::HttpStream, TransportKind::LongPoll] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = Stream::connect(config(listener.local_addr().unwrap(), kind)).unwrap();
        let resetting = {
            let stream = stream.clone();
            // Runs behind the driver, which opens the transport, and in front of the transport's task.
            tokio::spawn(async move {
                assert_eq!(stream.counters().transports, 1);
                stream.reset("bye");
            })
        };
        soon(resetting).await.unwrap();
        assert_eq!(soon(stream.closed()).await, own_end());
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
        let accepted = timeout(Duration::ZERO, listener.accept()).await;
        assert!(accepted.is_err(), "{kind}: {accepted:?}");
    }
}

#[tokio::test]
async fn an_unconfirmed_reset_without_a_handle_is_given_up_at_the_deadline() {
    let (stream, listener, peer) = connected().await;
    drop((listener, peer));
    tokio::time::pause();
    stream.reset("bye");
    drop(stream);
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert!(Handle::current().metrics().num_alive_tasks() > 0);
    // The deadline, and the time limit for closing handshakes.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn without_a_reset_dropping_the_last_handle_closes_the_transport() {
    let (stream, _listener, mut peer) = connected().await;
    drop(stream);
    assert_eq!(soon(peer.socket.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn dropping_the_last_handle_with_unacknowledged_messages_is_logged() {
    for (acknowledged, logs) in [(true, false), (false, true)] {
        let (stream, _listener, mut peer) = connected().await;
        stream.try_send("a").unwrap();
        if acknowledged {
            peer.write(Frame::Sack(Sack::up_to(0))).await;
            soon(stream.flush()).await.unwrap();
        }
        let log = Log::default();
        let subscriber = {
            let log = log.clone();
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish()
        };
        tracing::subscriber::with_default(subscriber, || drop(stream));
        let text = String::from_utf8(std::mem::take(&mut log.0.lock().unwrap())).unwrap();
        assert_eq!(text.contains("unacknowledged=1"), logs, "{text}");
    }
}

#[tokio::test]
async fn a_reset_refuses_messages_that_wait_for_room() {
    let (stream, _listener, mut peer) = connected().await;
    let sent = {
        let stream = stream.clone();
        tokio::spawn(async move { stream.send("a").await })
    };
    assert_eq!(soon(peer.read()).await, Frame::SeqNum(MessageNumber(0)));
    assert_eq!(soon(peer.read()).await, Frame::String("a".into()));
    assert_eq!(stream.try_send("b"), Err(SendError::Full));
    let waiting = {
        let stream = stream.clone();
        tokio::spawn(async move { stream.queue("b").await })
    };
    tokio::task::yield_now().await;
    stream.reset("bye");
    assert_eq!(soon(waiting).await.unwrap(), Err(SendError::Resetting));
    assert_eq!(soon(stream.send("c")).await, Err(SendError::Resetting));
    assert_eq!(soon(peer.read()).await, bye());
    // The message sent before the reset is still acknowledged.
    peer.write(Frame::Sack(Sack::up_to(0))).await;
    assert_eq!(soon(sent).await.unwrap(), Ok(MessageNumber(0)));
    peer.write(bye()).await;
    assert_eq!(soon(stream.closed()).await, own_end());
    assert_eq!(stream.try_send("d"), Err(SendError::Ended(own_end())));
}

#[tokio::test]
async fn a_reset_is_confirmed_behind_unread_messages() {
    let (stream, _listener, mut peer) = connected().await;
    peer.write(Frame::SeqNum(MessageNumber(0))).await;
    peer.write(Frame::String("a".into())).await;
    while stream.counters().received < 1 {
        tokio::task::yield_now().await;
    }
    // The inbox is full, so the client does not read.
    for _ in 0..10 {
        peer.write(Frame::String("b".into())).await;
    }
    stream.reset("bye");
    while soon(peer.read()).await != bye() {}
    peer.write(bye()).await;
    assert_eq!(soon(stream.closed()).await, own_end());
    assert_eq!(soon(stream.recv()).await, Some("a".into()));
    assert_eq!(soon(stream.recv()).await, None);
}
