//! Questions, answers and notifications over a stream.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use minerva_app::Message;
use minerva_app::qan::{Handler, HandlerError, Peer, Qan, QuestionError};
use minerva_proto::app::{Messages, SendState, Started, command, event};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fake_core::{Call, FakeCore, started};
use crate::stream;

struct Application;

impl Handler for Application {
    async fn question(&self, _peer: &Peer, body: Message) -> Result<Message, HandlerError> {
        match body.as_text().unwrap_or_default() {
            "known" => Err(HandlerError::Known("sorry".into())),
            "fails" => Err(std::io::Error::other("secret").into()),
            "panics" => panic!("secret"),
            "invalid" => Ok("\n".into()),
            "hang" => pending().await,
            _ => Ok(body),
        }
    }

    async fn notification(&self, peer: &Peer, body: Message) {
        assert_ne!(body, "panics");
        peer.notify(body).await.unwrap();
    }
}

/// A stream with QAN. The service lives as long as the task.
async fn qan() -> (FakeCore, Call, Peer, JoinHandle<()>) {
    let (core, call, service, stream) = stream().await;
    let qan = Qan::new(stream);
    let peer = qan.peer();
    let task = tokio::spawn(async move {
        qan.serve(Application).await;
        drop(service);
    });
    (core, call, peer, task)
}

#[tokio::test]
async fn questions_are_answered() {
    let (_core, mut call, _peer, _task) = qan().await;
    let cases = [
        ("x|1Q", "x|1K"),
        ("|2Q", "|2K"),
        ("known|3Q", "sorry|3E"),
        ("fails|4Q", "Uncaught exception|4U"),
        ("panics|5Q", "Uncaught exception|5U"),
        ("invalid|6Q", "Uncaught exception|6U"),
        ("note#", "note#"),
    ];
    for (number, (question, answer)) in (0..).zip(cases) {
        call.messages(1, number + 1, &[question]).await;
        assert_eq!(call.sent(number, 1).await, [answer]);
    }
}

#[tokio::test]
async fn cancelled_questions_are_answered() {
    let (_core, mut call, _peer, _task) = qan().await;
    call.messages(1, 1, &["hang|5Q", "9C", "panics#", "x|6Q", "5C"]).await;
    assert_eq!(call.sent(0, 2).await, ["x|6K", "CancelledError|5U"]);
    // A finished number may be reused.
    call.messages(1, 6, &["y|5Q", "5C"]).await;
    assert_eq!(call.sent(2, 1).await, ["y|5K"]);
}

#[tokio::test]
async fn answers_reach_the_asking_task() {
    let (_core, mut call, peer, _task) = qan().await;
    let answers = [
        ("a|1K", Ok("a")),
        ("b|2E", Err(QuestionError::Known("b".into()))),
        ("c|3U", Err(QuestionError::Unknown("c".into()))),
    ];
    for (number, (message, answer)) in (1..).zip(answers) {
        let asking = peer.clone();
        let asked = tokio::spawn(async move { asking.ask("how?").await });
        assert_eq!(call.sent(number - 1, 1).await, [format!("how?|{number}Q")]);
        call.messages(1, number, &[message]).await;
        assert_eq!(asked.await.unwrap(), answer.map(Message::from));
    }
}

#[tokio::test]
async fn dropping_a_question_cancels_it() {
    let (_core, mut call, peer, _task) = qan().await;
    let asked = timeout(Duration::from_millis(20), peer.ask("how?")).await;
    assert!(asked.is_err());
    assert_eq!(call.sent(0, 2).await, ["how?|1Q", "1C"]);
    call.messages(1, 1, &["CancelledError|1U", "x|1Q"]).await;
    assert_eq!(call.sent(2, 1).await, ["x|1K"]);
}

#[tokio::test]
async fn protocol_errors_reset_the_stream() {
    let cases = [
        ("x|1K", "QANHelper said: Received an answer with invalid qid: 1"),
        ("", "Bad QAN frame.  Did peer send a non-QAN string?"),
        ("x|01Q", "Bad QAN frame.  Did peer send a non-QAN string?"),
    ];
    for (message, reason) in cases {
        let (_core, mut call, peer, _task) = qan().await;
        call.messages(1, 1, &[message]).await;
        assert_eq!(call.reset().await, (reason.to_owned(), true));
        assert_eq!(peer.ask("x").await, Err(QuestionError::Over));
    }
    let (_core, mut call, _peer, _task) = qan().await;
    call.messages(1, 1, &["hang|7Q", "x|7Q"]).await;
    let reason = "QANHelper said: Received Question with duplicate qid: 7";
    assert_eq!(call.reset().await, (reason.to_owned(), true));
}

#[tokio::test]
async fn the_end_fails_open_questions() {
    let (_core, mut call, peer, task) = qan().await;
    let asked = tokio::spawn(async move { peer.ask("how?").await });
    call.sent(0, 1).await;
    call.end(1, 1).await;
    assert_eq!(asked.await.unwrap(), Err(QuestionError::Over));
    task.await.unwrap();
}

#[tokio::test]
async fn concurrent_questions_are_bounded() {
    let (_core, mut call, _peer, _task) = qan().await;
    for number in 1..=1001 {
        let question: &'static str = format!("hang|{number}Q").leak();
        call.messages(1, number, &[question]).await;
    }
    assert_eq!(call.sent(0, 1).await, ["Too many questions|1001U"]);
}

/// A stream that another process has had, with QAN. The next event is 3, the next send 2.
async fn resumed() -> (FakeCore, Call, Peer, JoinHandle<()>) {
    let (core, call, mut service) = crate::service().await;
    let new = started(1);
    let send_state = new.send_state.map(|state| SendState { next_send: 2, ..state });
    let resumed = Started { resumed: true, next_event: 3, next_send: 2, send_state, ..new };
    call.send_event(event::Event::Started(resumed)).await;
    let qan = Qan::new(service.accept().await.unwrap());
    let peer = qan.peer();
    let task = tokio::spawn(async move {
        qan.serve(Application).await;
        drop(service);
    });
    (core, call, peer, task)
}

/// Delivers messages again, after the death of an instance.
async fn redeliver(call: &Call, first_event: u64, messages: &[&'static str]) {
    let messages = messages.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
    let messages = Messages { stream: 1, first_event, messages, attempts: 2, ..Default::default() };
    call.send_event(event::Event::Messages(messages)).await;
}

/// The next `count` messages for the client, and the last acknowledged event.
async fn messages_and_acknowledgement(call: &mut Call, count: usize) -> (Vec<Bytes>, Option<u64>) {
    let (mut messages, mut acknowledged) = (Vec::new(), None);
    while messages.len() < count {
        match call.command().await {
            command::Command::Send(send) => {
                acknowledged = acknowledged.max(send.acknowledge);
                messages.extend(send.messages);
            }
            command::Command::Acknowledge(ack) => acknowledged = acknowledged.max(Some(ack.event)),
            other => panic!("{other:?}"),
        }
    }
    (messages, acknowledged)
}

#[tokio::test]
async fn open_questions_of_a_dead_process_are_answered_as_interrupted() {
    let (_core, mut call, _peer, _task) = resumed().await;
    redeliver(&call, 3, &["hang|5Q", "5C", "x|6Q", "note#"]).await;
    let (mut sent, acknowledged) = messages_and_acknowledgement(&mut call, 3).await;
    sent.sort();
    assert_eq!(sent, ["interrupted|5U", "interrupted|6U", "note#"]);
    assert_eq!(acknowledged, Some(6));
    call.confirm(1, 5).await;
    call.messages(1, 7, &["x|7Q"]).await;
    assert_eq!(call.sent(5, 1).await, ["x|7K"], "the stream goes on");
}

#[tokio::test]
async fn answers_to_a_dead_process_are_ignored() {
    let (_core, mut call, peer, _task) = resumed().await;
    call.messages(1, 3, &["old|1K", "old|2U"]).await;
    call.acknowledged(4).await;
    let asked = tokio::spawn(async move { peer.ask("how?").await });
    assert_eq!(call.sent(2, 1).await, ["how?|3Q"], "a number that no earlier process has used");
    call.messages(1, 5, &["well|3K"]).await;
    assert_eq!(asked.await.unwrap(), Ok("well".into()));
}

#[tokio::test]
async fn an_open_question_is_not_acknowledged() {
    let (_core, mut call, _peer, _task) = qan().await;
    call.messages(1, 1, &["hang|1Q", "x|2Q"]).await;
    let sent = messages_and_acknowledgement(&mut call, 1).await;
    assert_eq!(sent, (vec![Bytes::from("x|2K")], Some(0)));
    call.confirm(1, 1).await;
    call.expect_silence().await;
    call.messages(1, 3, &["1C"]).await;
    let sent = messages_and_acknowledgement(&mut call, 1).await;
    assert_eq!(sent, (vec![Bytes::from("CancelledError|1U")], Some(3)), "in one step");
}

#[tokio::test]
async fn an_orderly_stop_answers_open_questions() {
    let (_core, mut call, service, stream) = stream().await;
    let handle = service.handle();
    let task = tokio::spawn(Qan::new(stream).serve(Application));
    call.messages(1, 1, &["hang|1Q"]).await;
    call.acknowledged(0).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stopped = tokio::spawn(async move { handle.stop().await });
    assert_eq!(call.sent(0, 1).await, ["interrupted|1U"]);
    assert_eq!(task.await.unwrap(), None);
    call.closed().await;
    drop(call);
    stopped.await.unwrap();
    drop(service);
}

/// The first question waits for room and is not polled, as in a `select!` with another branch.
#[tokio::test]
async fn a_waiting_question_blocks_no_other() {
    let (_core, mut call, peer, _task) = qan().await;
    call.send_state(0, 0, true).await;
    while timeout(Duration::from_millis(20), peer.sender().ready()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut waiting = Box::pin(peer.ask("first"));
    assert!(timeout(Duration::from_millis(20), &mut waiting).await.is_err());
    call.send_state(0, 10, false).await;
    let asking = peer.clone();
    let asked = tokio::spawn(async move { asking.ask("second").await });
    assert_eq!(call.sent(0, 1).await, ["second|1Q"]);
    call.messages(1, 1, &["a|1K"]).await;
    assert_eq!(asked.await.unwrap(), Ok("a".into()));
    drop(waiting);
}
