//! One stream: receiving, acknowledging, sending and ending.

use std::time::Duration;

use minerva_app::{
    AppStream, Ended, EndedBy, Event, EventNumber, SendError, StreamNumber, TransportKind,
    TrySendError,
};
use minerva_proto::app::{TransportChanged, command, event};
use tokio::time::timeout;

use crate::fake_core::started;
use crate::{service, stream};

/// Whether a future stays pending for 50 ms.
async fn is_pending(future: impl Future) -> bool {
    timeout(Duration::from_millis(50), future).await.is_err()
}

/// Waits until the pause has reached the stream.
async fn until_paused(stream: &AppStream) {
    while !is_pending(stream.sender().ready()).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_properties_of_the_client_are_available_and_not_logged() {
    let (_core, _call, _service, stream) = stream().await;
    assert_eq!(stream.number(), StreamNumber(1));
    assert_eq!(stream.credentials(), "token");
    assert_eq!(stream.peer_address(), "192.0.2.1");
    assert_eq!(stream.transport(), None);
    assert!(!stream.is_resumed());
    assert_eq!(stream.id().as_str(), started(1).stream_id);
    let shown = format!("{stream:?} {} {:?}", stream.id(), stream.sender());
    assert!(!shown.contains("secret") && !shown.contains("token"), "{shown}");
}

#[tokio::test]
async fn messages_are_echoed() {
    let (_core, mut call, _service, stream) = stream().await;
    let (mut messages, sender) = stream.split();
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            sender.send(message).await.unwrap();
        }
    });
    call.messages(1, 1, &["a", "b", "c"]).await;
    assert_eq!(call.sent(0, 3).await, ["a", "b", "c"]);
    call.messages(1, 4, &["d"]).await;
    assert_eq!(call.sent(3, 1).await, ["d"]);
    call.end(1, 5).await;
    call.acknowledged(5).await;
}

#[tokio::test]
async fn the_next_receive_acknowledges_the_previous_event() {
    let (_core, mut call, _service, mut stream) = stream().await;
    call.messages(1, 1, &["a", "b"]).await;
    assert_eq!(stream.recv().await.unwrap(), "a");
    call.acknowledged(0).await;
    call.expect_silence().await;
    assert_eq!(stream.recv().await.unwrap(), "b");
    call.acknowledged(1).await;
    call.expect_silence().await;
}

#[tokio::test]
async fn the_app_acknowledges_manually() {
    let (_core, mut call, _service, mut stream) = stream().await;
    stream.acknowledge_manually();
    call.messages(1, 1, &["a", "b"]).await;
    for event in 1..=2 {
        let next = stream.next_event().await;
        assert!(matches!(next, Some(Event::Message { event: number, .. }) if number.0 == event));
    }
    call.expect_silence().await;
    stream.acknowledge(1);
    call.acknowledged(1).await;
    // An event that was not delivered cannot be acknowledged.
    stream.acknowledge(77);
    call.acknowledged(2).await;
}

#[tokio::test]
async fn send_waits_while_paused_or_full() {
    let (_core, mut call, _service, stream) = stream().await;
    call.send_state(0, 2, true).await;
    until_paused(&stream).await;
    assert!(is_pending(stream.send("x")).await);
    assert_eq!(stream.try_send("a"), Ok(()));
    assert_eq!(stream.try_send("b"), Ok(()));
    assert_eq!(stream.try_send("c"), Err(TrySendError::Full));
    let sender = stream.sender();
    let waiting = tokio::spawn(async move { sender.send("d").await });
    // The cancelled send above is not part of the messages.
    assert_eq!(call.sent(0, 2).await, ["a", "b"]);
    waiting.await.unwrap().unwrap();
    assert_eq!(call.sent(2, 1).await, ["d"]);
}

#[tokio::test]
async fn durable_when_confirmed() {
    let (_core, mut call, _service, stream) = stream().await;
    stream.durable().await.unwrap();
    stream.send("a").await.unwrap();
    assert!(is_pending(stream.durable()).await);
    call.sent(0, 1).await;
    stream.durable().await.unwrap();
}

#[tokio::test]
async fn invalid_messages_are_refused() {
    let (_core, mut call, _service, stream) = stream().await;
    let error = stream.send("caf\u{e9}").await.unwrap_err();
    assert_eq!(error, SendError::Unsupported { position: Some(3) });
    let error = stream.send(vec![b'a']).await.unwrap_err();
    assert_eq!(error, SendError::Unsupported { position: None });
    assert!(stream.try_send("\x1f").is_err());
    assert!(stream.try_send("\x7f").is_err());
    let max = (1 << 20) - 1;
    let error = stream.send(" ".repeat(max + 1)).await.unwrap_err();
    assert_eq!(error, SendError::Length { length: max + 1, max });
    stream.send("~".repeat(max)).await.unwrap();
    assert_eq!(call.sent(0, 1).await[0].len(), max);
    assert!(stream.reset("x".repeat(256)).is_err());
    assert!(stream.reset("\n").is_err());
    stream.reset("x".repeat(255)).unwrap();
    assert_eq!(call.reset().await, ("x".repeat(255), true));
}

#[tokio::test]
async fn the_end_is_reported() {
    let (_core, call, _service, mut stream) = stream().await;
    call.messages(1, 1, &["a"]).await;
    call.end(1, 2).await;
    let ended = Ended { reason: "bye".to_owned(), application_level: true, by: EndedBy::Client };
    let sender = stream.sender();
    assert_eq!(stream.recv().await.unwrap(), "a");
    assert_eq!(
        stream.next_event().await,
        Some(Event::Ended { event: EventNumber(2), ended: ended.clone() })
    );
    assert_eq!(stream.next_event().await, None);
    assert_eq!(sender.ended(), Some(&ended));
    assert_eq!(sender.send("x").await, Err(SendError::Over));
    assert_eq!(sender.durable().await, Err(SendError::Over));
}

#[tokio::test]
async fn the_end_fails_a_waiting_send() {
    let (_core, call, _service, stream) = stream().await;
    call.send_state(0, 0, true).await;
    until_paused(&stream).await;
    let sender = stream.sender();
    let waiting = tokio::spawn(async move { sender.send("x").await });
    call.end(1, 1).await;
    assert_eq!(waiting.await.unwrap(), Err(SendError::Over));
}

#[tokio::test]
async fn transport_changes_are_reported() {
    let (_core, call, _service, mut stream) = stream().await;
    let change = TransportChanged {
        stream: 1,
        transport_number: 3,
        attached: true,
        primary: true,
        transport: minerva_proto::app::TransportKind::HttpStream.into(),
        transports: 2,
    };
    call.send_event(event::Event::TransportChanged(change)).await;
    let Some(Event::TransportChanged(change)) = stream.next_event().await else { panic!() };
    assert_eq!((change.number.0, change.attached, change.transports), (3, true, 2));
    assert_eq!(change.kind, Some(TransportKind::HttpStream));
}

#[tokio::test]
async fn the_idle_limit_is_clamped() {
    let (_core, mut call, _service, stream) = stream().await;
    for (set, sent) in [
        (Duration::ZERO, 1),
        (Duration::from_millis(1500), 1500),
        (Duration::from_secs(10_000_000), 604_800_000),
    ] {
        stream.set_max_idle(set);
        let command::Command::SetLimits(limits) = call.command().await else { panic!() };
        assert_eq!(limits.max_idle_ms, Some(sent));
    }
}

#[tokio::test]
async fn dropping_a_living_stream_finishes_it() {
    let (_core, mut call, _service, stream) = stream().await;
    call.messages(1, 1, &["never read"]).await;
    drop(stream);
    assert_eq!(call.finish().await, "");
    call.end(1, 2).await;
    call.acknowledged(2).await;
}

#[tokio::test]
async fn the_outcome_of_a_handler_determines_the_end() {
    let (_core, mut call, service) = service().await;
    let run = tokio::spawn(service.run(|stream| async move {
        match stream.number().0 {
            1 => Ok(()),
            2 => Err("secret detail".to_owned()),
            _ => panic!("asked to"),
        }
    }));
    call.start(1).await;
    assert_eq!(call.finish().await, "");
    for stream in [2, 3] {
        call.start(stream).await;
        assert_eq!(call.reset().await, ("the application failed".to_owned(), false));
    }
    assert!(!run.is_finished());
}

#[tokio::test]
async fn a_finish_follows_the_confirmed_messages_and_later_ones_fail() {
    let (_core, mut call, _service, mut stream) = stream().await;
    stream.send("a").await.unwrap();
    stream.finish("bye").unwrap();
    assert_eq!(stream.send("b").await, Err(SendError::Finished));
    assert_eq!(stream.try_send("b"), Err(TrySendError::Refused(SendError::Finished)));
    assert_eq!(stream.sender().ready().await, Err(SendError::Finished));
    assert!(stream.finish("\n").is_err());
    while !matches!(call.command().await, command::Command::Send(_)) {}
    call.expect_silence().await;
    call.confirm(1, 1).await;
    assert_eq!(call.finish().await, "bye");
    assert_eq!(stream.durable().await, Ok(()));
    call.messages(1, 1, &["late"]).await;
    assert_eq!(stream.recv().await.unwrap(), "late");
    call.end(1, 2).await;
    assert_eq!(stream.recv().await, None);
}

#[tokio::test]
async fn a_panic_outside_of_run_is_a_failure() {
    let (_core, mut call, _service, stream) = stream().await;
    let task = tokio::spawn(async move {
        let _stream = stream;
        panic!("asked to");
    });
    assert!(task.await.is_err());
    assert_eq!(call.reset().await, ("the application failed".to_owned(), false));
}

#[tokio::test]
async fn many_streams_do_not_mix() {
    let (_core, mut call, service) = service().await;
    tokio::spawn(service.run(|mut stream| async move {
        while let Some(message) = stream.recv().await {
            stream.send(message).await?;
        }
        Ok::<_, SendError>(())
    }));
    for stream in 1..=50 {
        call.start(stream).await;
        call.messages(stream, 1, &["a", "b"]).await;
    }
    let mut sent = std::collections::BTreeMap::<u64, usize>::new();
    while sent.values().sum::<usize>() < 100 {
        if let command::Command::Send(send) = call.command().await {
            *sent.entry(send.stream).or_default() += send.messages.len();
        }
    }
    assert!(sent.values().all(|&count| count == 2) && sent.len() == 50);
}
