//! One stream: properties, messages, queues, settings and end.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use minerva_app::testing::{Client, Kit};
use minerva_app::{EndedBy, Event, SendError, Service, StreamNumber, TransportKind, TrySendError};
use tokio::time::{sleep, timeout};

use crate::{echo, stream, stream_of};

#[tokio::test]
async fn the_app_gets_the_properties_of_the_client() {
    let mut kit = Kit::new();
    let mut service = kit.service("chat");
    let made = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let described = Client::new()
        .credentials("ann")
        .header("Cookie", "a=b")
        .header("x-y", "z")
        .peer_address("192.0.2.7")
        .transport(TransportKind::Tcp)
        .id("twenty-characters-id")
        .started_at(made);
    let client = kit.connect(described);
    let stream = service.accept().await.unwrap();
    assert_eq!((stream.credentials(), stream.header("cookie")), ("ann", Some("a=b")));
    assert_eq!(stream.headers().len(), 2);
    assert_eq!(
        (stream.peer_address(), stream.transport()),
        ("192.0.2.7", Some(TransportKind::Tcp))
    );
    assert_eq!(stream.started_at(), made);
    assert_eq!((stream.id(), stream.id().as_str()), (client.id(), "twenty-characters-id"));
    assert_eq!(stream.number(), StreamNumber(1));
    assert_eq!((stream.first_event().0, stream.first_send().0), (0, 0));
    assert!(!stream.is_resumed());

    let other = kit.connect(Client::new());
    let stream = service.accept().await.unwrap();
    assert_eq!((stream.id(), stream.number()), (other.id(), other.number()));
    assert_eq!(stream.transport(), Some(TransportKind::WebSocket));
}

#[tokio::test]
async fn messages_of_streams_do_not_mix() {
    let mut kit = Kit::new();
    // Clients may connect before the app starts.
    let early = kit.connect(Client::new());
    early.send("early").await;
    tokio::spawn(kit.service("default").run(echo));
    let late = kit.connect(Client::new());
    for number in 0..100 {
        late.send(number.to_string()).await;
    }
    for number in 0..100 {
        assert_eq!(late.recv().await.unwrap(), number.to_string());
    }
    assert_eq!(early.recv().await.unwrap(), "early");
    assert_eq!((early.try_recv(), late.try_recv()), (None, None));
    late.wait_acknowledged().await;
    assert_eq!(late.unacknowledged(), 0);
}

#[tokio::test]
async fn acknowledgements_are_visible_to_the_client() {
    let (_kit, _service, client, mut stream) = stream().await;
    client.send("a").await;
    client.send("b").await;
    assert!(client.wait_acknowledged().now_or_never().is_none());
    assert_eq!(stream.recv().await.unwrap(), "a");
    assert_eq!(stream.recv().await.unwrap(), "b");
    stream.send("sent when `a` was done with").await.unwrap();
    client.recv().await.unwrap();
    assert_eq!(client.unacknowledged(), 1);
    assert!(stream.recv().now_or_never().is_none());
    client.wait_acknowledged().await;
    assert_eq!(client.unacknowledged(), 0);
}

#[tokio::test]
async fn a_full_outbox_makes_the_app_wait() {
    for messages in 1..=5 {
        let (_kit, _service, client, stream) = stream_of(Kit::new().outbox(1000, messages)).await;
        for number in 0..messages {
            assert_eq!(stream.try_send(number.to_string()), Ok(()), "{number} of {messages}");
        }
        assert_eq!(stream.try_send("too much"), Err(TrySendError::Full));
        stream.durable().await.unwrap();
        assert!(stream.send("waits").now_or_never().is_none());
        assert_eq!(client.recv().await.unwrap(), "0");
        while client.try_recv().is_some() {}
        stream.send("goes").await.unwrap();
        assert_eq!(client.recv().await.unwrap(), "goes");
    }
}

#[tokio::test]
async fn sends_pause_when_the_outbox_is_half_full() {
    let (_kit, _service, client, stream) = stream_of(Kit::new().outbox(10, 1000)).await;
    stream.send("1234").await.unwrap();
    stream.durable().await.unwrap();
    stream.send("5").await.unwrap();
    stream.durable().await.unwrap();
    assert!(stream.send("6").now_or_never().is_none());
    // The last message that starts within the room may exceed it.
    stream.try_send("1234567").unwrap();
    stream.durable().await.unwrap();
    assert_eq!(stream.try_send(""), Err(TrySendError::Full));
    stream.set_outbox(100, 1000);
    stream.sender().ready().await.unwrap();
    stream.send("6").await.unwrap();
    for message in ["1234", "5", "1234567", "6"] {
        assert_eq!(client.recv().await.unwrap(), message);
    }
}

#[tokio::test]
async fn an_app_that_does_not_receive_makes_the_client_wait() {
    let (_kit, _service, client, mut stream) = stream_of(Kit::new().inbox(1000, 2)).await;
    client.send("a").await;
    client.send("b").await;
    assert!(client.send("c").now_or_never().is_none());
    assert_eq!(stream.recv().await.unwrap(), "a");
    assert!(client.send("c").now_or_never().is_none());
    assert_eq!(stream.recv().await.unwrap(), "b");
    client.send("c").await;
    assert_eq!(stream.recv().await.unwrap(), "c");
}

#[tokio::test]
async fn the_window_of_the_app_is_respected() {
    let mut kit = Kit::new();
    let builder = Service::connect("core-a:1,core-b:2").stream_window_bytes(3);
    let mut service = kit.service_from(builder);
    let client = kit.connect(Client::new());
    for message in ["ab", "c", "def", "ghijk", "", "l"] {
        client.send(message).await;
    }
    let mut stream = service.accept().await.unwrap();
    for message in ["ab", "c", "def", "ghijk", "", "l"] {
        assert_eq!(stream.recv().await.unwrap(), message);
    }
}

#[tokio::test]
async fn settings_are_visible_to_the_client() {
    let (_kit, _service, client, mut stream) = stream().await;
    stream.set_label("ann").await.unwrap();
    stream.set_max_idle(Duration::from_secs(7));
    for group in ["b", "a", "c"] {
        stream.join(group).await.unwrap();
    }
    stream.leave("b").await.unwrap();
    assert!(stream.recv().now_or_never().is_none());
    client.wait_acknowledged().await;
    assert_eq!(client.label(), "ann");
    assert_eq!(client.groups(), ["a", "c"]);
    assert_eq!(client.max_idle(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn each_side_can_end_a_stream() {
    let (kit, mut service, client, mut stream) = stream().await;
    client.send("last").await;
    client.reset("bye");
    client.reset("again");
    client.send("goes nowhere").await;
    assert_eq!(stream.recv().await.unwrap(), "last");
    assert_eq!(stream.recv().await, None);
    let ended = stream.ended().cloned().unwrap();
    assert_eq!((ended.reason.as_str(), ended.by), ("bye", EndedBy::Client));
    assert_eq!(client.wait_ended().await, ended);
    assert_eq!(stream.send("x").await, Err(SendError::Over));
    assert_eq!(client.recv().await, None);
    drop(stream);
    client.wait_acknowledged().await;

    let client = kit.connect(Client::new());
    let stream = service.accept().await.unwrap();
    stream.send("dropped by the reset").await.unwrap();
    stream.reset("enough").unwrap();
    let ended = client.wait_ended().await;
    assert_eq!((ended.reason.as_str(), ended.by), ("enough", EndedBy::App));
    assert!(ended.application_level);
    assert_eq!(client.recv().await, None);

    let client = kit.connect(Client::new());
    let mut stream = service.accept().await.unwrap();
    client.expire();
    assert_eq!(stream.recv().await, None);
    let ended = client.ended().unwrap();
    assert_eq!((ended.by, ended.application_level), (EndedBy::Core, false));
    assert_eq!(Some(&ended), stream.ended());
}

#[tokio::test]
async fn transport_changes_reach_the_app() {
    let (_kit, _service, mut client, mut stream) = stream().await;
    client.attach(TransportKind::LongPoll);
    client.detach();
    for (attached, transports) in [(true, 2), (false, 1)] {
        let Some(Event::TransportChanged(change)) = stream.next_event().await else { panic!() };
        assert_eq!((change.attached, change.transports), (attached, transports));
        assert_eq!((change.number.0, change.kind), (1, Some(TransportKind::LongPoll)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_kit_uses_tokio_time() {
    let (_kit, _service, client, stream) = stream().await;
    // The output of the task keeps the stream alive.
    let _task = tokio::spawn(async move {
        sleep(Duration::from_secs(50)).await;
        stream.send("at last").await.unwrap();
        stream
    });
    assert!(timeout(Duration::from_secs(49), client.recv()).await.is_err());
    let message = timeout(Duration::from_secs(2), client.recv()).await.unwrap();
    assert_eq!(message.unwrap(), "at last");
}
