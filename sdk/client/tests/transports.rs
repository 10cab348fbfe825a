//! The client's transports against scripted servers that refuse, fail or flood.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use minerva_client::{ConnectError, Ended, EndedBy, SendError, Stream, TransportKind};
use minerva_proto::{Frame, MAX_FRAME, MessageNumber, Reset, Sack};
use peer::{Peer, SOON, config, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn reconnects_after_refusals_and_early_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let stream = Stream::connect(config(address, TransportKind::Tcp)).unwrap();
    stream.try_send("hi").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let listener = TcpListener::bind(address).await.unwrap();
    for _ in 0..2 {
        drop(soon(listener.accept()).await.unwrap());
    }
    let (mut peer, hello) = soon(Peer::accept(&listener)).await;
    assert!(hello.new && hello.id == *stream.id());
    peer.write(Frame::StreamCreated).await;
    assert_eq!(soon(peer.read()).await, Frame::SeqNum(MessageNumber(0)));
    assert_eq!(soon(peer.read()).await, Frame::String("hi".into()));
    peer.write(Frame::Sack(Sack::up_to(0))).await;
    soon(stream.flush()).await.unwrap();
    assert!(stream.counters().reconnects >= 3, "{:?}", stream.counters());
}

#[tokio::test]
async fn a_single_message_is_acknowledged_after_the_delay() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    // Only the timer wakes the driver: no other frame and no heartbeat is due.
    assert!(config.heartbeat > SOON);
    let _stream = Stream::connect(config).unwrap();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    peer.write(Frame::SeqNum(MessageNumber(0))).await;
    peer.write(Frame::String("a".into())).await;
    assert_eq!(soon(peer.read()).await, Frame::Sack(Sack::up_to(0)));
    peer.write(Frame::String("b".into())).await;
    assert_eq!(soon(peer.read()).await, Frame::Sack(Sack::up_to(1)));
}

#[tokio::test]
async fn goes_to_the_next_address_and_falls_back_to_the_next_transport() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = format!("{gone}, {}", listener.local_addr().unwrap());
    let mut config = config(addresses, TransportKind::WebSocket);
    config.fallbacks = vec![TransportKind::Tcp];
    let stream = Stream::connect(config).unwrap();
    // A server without WebSocket.
    let (mut socket, _) = soon(listener.accept()).await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(soon(socket.read_buf(&mut request)).await.unwrap(), 0, "closed");
    }
    assert!(request.starts_with(b"GET /_minerva/ws "));
    let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    socket.write_all(refusal).await.unwrap();
    // The working address and kind are tried again after a loss.
    for _ in 0..2 {
        let (mut peer, _) = soon(Peer::accept(&listener)).await;
        peer.write(Frame::StreamCreated).await;
        soon(stream.ready()).await.unwrap();
        let tcp = Some(TransportKind::Tcp);
        assert_eq!(soon(stream.transport_changed(None)).await, Ok(tcp));
        assert_eq!(stream.transport(), tcp);
        drop(peer);
        assert_eq!(soon(stream.transport_changed(tcp)).await, Ok(None));
    }
}

#[tokio::test]
async fn received_messages_are_readable_after_the_servers_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream =
        Stream::connect(config(listener.local_addr().unwrap(), TransportKind::Tcp)).unwrap();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    peer.write(Frame::SeqNum(MessageNumber(0))).await;
    peer.write(Frame::String("last".into())).await;
    peer.write(Frame::Reset(Reset::new("bye", true))).await;
    let ended = Ended { reason: "bye".into(), application_level: true, by: EndedBy::Server };
    assert_eq!(soon(stream.closed()).await, ended);
    assert_eq!(soon(stream.recv()).await, Some("last".into()));
    assert_eq!(soon(stream.recv()).await, None);
    assert_eq!(soon(stream.send("x")).await, Err(SendError::Ended(ended)));
    // The client makes the active close.
    assert!(soon(peer.socket.read_to_end(&mut Vec::new())).await.is_ok());
}

#[tokio::test]
async fn a_full_inbox_stops_the_server() {
    const COUNT: u64 = 3000;
    const LENGTH: usize = 10_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    (config.max_received_bytes, config.max_unacknowledged_bytes) = (60_000, 40_000);
    let stream = Stream::connect(config).unwrap();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    peer.write(Frame::SeqNum(MessageNumber(0))).await;
    let flood = tokio::spawn(async move {
        for number in 0..COUNT {
            peer.write(Frame::String(Bytes::from(format!("{number:0LENGTH$}")))).await;
        }
        peer
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let received = stream.counters().received * LENGTH as u64;
    // The limit, plus one read.
    assert!((100_000..=130_000).contains(&received), "{received}");
    assert!(!flood.is_finished());
    for number in 0..COUNT {
        assert_eq!(soon(stream.recv()).await, Some(format!("{number:0LENGTH$}").into()));
    }
    soon(flood).await.unwrap();
}

/// The server has a bounded outbox: SACKs of the client free room, and the server's SACK follows messages already
/// written.
#[tokio::test]
async fn a_send_completes_while_received_messages_are_unread() {
    const OUTBOX: u64 = 100;
    const LENGTH: usize = 10_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream =
        Stream::connect(config(listener.local_addr().unwrap(), TransportKind::Tcp)).unwrap();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    peer.write(Frame::SeqNum(MessageNumber(0))).await;
    let message = |number: u64| Bytes::from(format!("{number:0LENGTH$}"));
    let server = tokio::spawn(async move {
        let (mut written, mut acknowledged) = (0, 0);
        loop {
            while written < acknowledged + OUTBOX {
                peer.write(Frame::String(message(written))).await;
                written += 1;
            }
            match peer.read().await {
                Frame::Sack(sack) => acknowledged = sack.acked.map_or(0, |acked| acked.0 + 1),
                Frame::String(_) => peer.write(Frame::Sack(Sack::up_to(0))).await,
                Frame::SeqNum(_) => {}
                other => panic!("{other:?}"),
            }
            if acknowledged >= 1000 {
                return;
            }
        }
    });
    // The client has received unacknowledged messages, and the server waits.
    while stream.counters().received < 26 + OUTBOX {
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(stream.send("x")).await, Ok(MessageNumber(0)));
    assert!(stream.counters().received <= 27 + OUTBOX);
    for number in 0..1000 {
        let received = soon(stream.recv_numbered()).await.unwrap();
        assert_eq!((received.0.0, received.1.into_bytes()), (number, message(number)));
    }
    soon(server).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_left_after_a_pause_in_reading() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    config.heartbeat = Duration::from_secs(1);
    (config.max_received_messages, config.max_unacknowledged_messages) = (1, 0);
    let stream = Stream::connect(config).unwrap();
    let (mut silent, hello) = soon(Peer::accept(&listener)).await;
    assert_eq!(hello.maxia, Duration::from_secs(1));
    silent.write(Frame::StreamCreated).await;
    silent.write(Frame::SeqNum(MessageNumber(0))).await;
    silent.write(Frame::String("a".into())).await;
    // Reading is paused, so silence does not count.
    let left = timeout(Duration::from_millis(2500), Peer::accept(&listener)).await;
    assert!(left.is_err());
    assert_eq!(soon(stream.recv()).await, Some("a".into()));
    soon(Peer::accept(&listener)).await;
}

#[test]
fn needs_a_runtime() {
    let refused = Stream::connect(config("127.0.0.1:1", TransportKind::Tcp)).map(drop);
    assert_eq!(refused, Err(ConnectError::NoRuntime));
}

#[tokio::test]
async fn sending_waits_for_room() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    config.max_queued_messages = 2;
    let stream = Stream::connect(config).unwrap();
    assert_eq!(stream.try_send("é"), Err(SendError::Unsupported));
    assert_eq!(stream.try_send(vec![b'a']), Err(SendError::Unsupported));
    assert_eq!(stream.try_send("x".repeat(MAX_FRAME)), Err(SendError::TooLong));
    assert_eq!(
        (stream.try_send("a"), stream.try_send("b")),
        (Ok(MessageNumber(0)), Ok(MessageNumber(1)))
    );
    assert_eq!(stream.try_send("c"), Err(SendError::Full));
    let waiting = {
        let stream = stream.clone();
        tokio::spawn(async move { stream.send("c").await })
    };
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    for expected in
        [Frame::SeqNum(MessageNumber(0)), Frame::String("a".into()), Frame::String("b".into())]
    {
        assert_eq!(soon(peer.read()).await, expected);
    }
    assert!(!waiting.is_finished());
    peer.write(Frame::Sack(Sack::up_to(0))).await;
    assert_eq!(soon(peer.read()).await, Frame::String("c".into()));
    peer.write(Frame::Sack(Sack::up_to(2))).await;
    assert_eq!(soon(waiting).await.unwrap(), Ok(MessageNumber(2)));
}

#[tokio::test]
async fn a_long_message_is_not_overtaken_while_it_waits_for_room() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    config.max_queued_bytes = 1000;
    let stream = Stream::connect(config).unwrap();
    for _ in 0..9 {
        stream.try_send("s".repeat(100)).unwrap();
    }
    let queue = |letter: &str, length: usize| {
        let message = letter.repeat(length);
        let stream = stream.clone();
        tokio::spawn(async move { stream.queue(message).await })
    };
    let abandoned = queue("x", 700);
    tokio::task::yield_now().await;
    let long = queue("l", 600);
    tokio::task::yield_now().await;
    let short = queue("t", 100);
    tokio::task::yield_now().await;
    assert_eq!(stream.try_send("u"), Err(SendError::Full), "others wait");
    abandoned.abort();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    // Room for a short message, but not for the long one.
    peer.write(Frame::Sack(Sack::up_to(3))).await;
    while stream.counters().acknowledged < 4 {
        tokio::task::yield_now().await;
    }
    assert!(!long.is_finished() && !short.is_finished());
    assert_eq!(stream.try_send("u"), Err(SendError::Full));
    peer.write(Frame::Sack(Sack::up_to(4))).await;
    assert_eq!(soon(long).await.unwrap(), Ok(MessageNumber(9)));
    peer.write(Frame::Sack(Sack::up_to(8))).await;
    assert_eq!(soon(short).await.unwrap(), Ok(MessageNumber(10)));
    assert_eq!(stream.try_send("u"), Ok(MessageNumber(11)));
}

#[tokio::test]
async fn a_send_fails_when_both_sides_wait_for_the_other_to_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(listener.local_addr().unwrap(), TransportKind::Tcp);
    (config.max_received_messages, config.max_queued_messages) = (2, 1);
    let stream = Stream::connect(config).unwrap();
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    peer.write(Frame::SeqNum(MessageNumber(0))).await;
    for count in 1..=2 {
        peer.write(Frame::String("a".into())).await;
        while stream.counters().received < count {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        let send = timeout(Duration::from_secs(19), stream.send("x")).await;
        assert!(send.is_err(), "{send:?}");
        tokio::time::resume();
        peer.write(Frame::Sack(Sack::up_to(count - 1))).await;
        soon(stream.flush()).await.unwrap();
    }
    tokio::time::pause();
    let queued = Some(MessageNumber(2));
    assert_eq!(stream.send("x").await, Err(SendError::Unread { queued }));
    assert_eq!(stream.flush().await, Err(SendError::Unread { queued }));
    assert_eq!(stream.queue("y").await, Err(SendError::Unread { queued: None }));
    // A message that is taken is progress.
    let taker = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stream.recv().await
    };
    let flush = timeout(Duration::from_secs(35), stream.flush());
    let (flush, taken) = tokio::join!(flush, taker);
    assert!(flush.is_err() && taken.is_some(), "{flush:?}");
}

#[tokio::test]
async fn polls_again_after_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream =
        Stream::connect(config(listener.local_addr().unwrap(), TransportKind::LongPoll)).unwrap();
    for _ in 0..3 {
        let busy =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        soon(answer(&listener, busy)).await;
    }
    let created = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n;)]}^\nC\n";
    let request = soon(answer(&listener, created)).await;
    assert!(request.starts_with("POST /_minerva/io/ HTTP/1.1\r\n"), "{request}");
    soon(stream.ready()).await.unwrap();
}

/// Accepts one request and writes the response.
async fn answer(listener: &TcpListener, response: &str) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"H\n") {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0, "closed");
    }
    socket.write_all(response.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}
