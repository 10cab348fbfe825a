//! Answers of several messages, and JSON.

use bytes::Bytes;
use minerva_app::MessageNumber;
use minerva_proto::app::command;

use crate::{service, stream};

#[tokio::test]
async fn parts_that_an_earlier_process_has_sent_are_skipped() {
    for (first, sent, numbers) in
        [(5, vec!["a", "b", "c"], 5..8), (4, vec!["b", "c"], 5..7), (3, vec!["c"], 5..6)]
    {
        let (_core, mut call, mut service) = service().await;
        call.resume(1, 1, 3, 5).await;
        let stream = service.accept().await.unwrap();
        call.messages(1, 3, &["question"]).await;
        let mut stream = stream;
        stream.acknowledge_manually();
        stream.next_event().await.unwrap();
        assert_eq!(stream.next_send(), Some(MessageNumber(5)));
        stream.answer_parts(3, first, ["a", "b", "c"]).await.unwrap();
        assert_eq!(stream.next_send(), Some(MessageNumber(numbers.end)));
        let (mut messages, mut acknowledged) = (Vec::new(), None);
        while acknowledged.is_none() {
            let command::Command::Send(send) = call.command().await else { panic!() };
            messages.extend(send.messages);
            acknowledged = send.acknowledge;
        }
        assert_eq!(
            (messages, acknowledged),
            (sent.into_iter().map(Bytes::from).collect(), Some(3))
        );
    }
    // All parts were sent, but not acknowledged together.
    let (_core, mut call, mut service) = service().await;
    call.resume(1, 1, 3, 5).await;
    let mut stream = service.accept().await.unwrap();
    call.messages(1, 3, &["question"]).await;
    stream.acknowledge_manually();
    stream.next_event().await.unwrap();
    stream.answer_parts(3, 2, ["a", "b", "c"]).await.unwrap();
    call.acknowledged(3).await;
}

#[tokio::test]
async fn values_are_sent_and_received_as_json() {
    let (_core, mut call, _service, mut stream) = stream().await;
    stream.send_json(&("\u{e9}", 1)).await.unwrap();
    assert_eq!(call.sent(0, 1).await, [r#"["\u00e9",1]"#]);
    call.messages(1, 1, &["[1,2]", "{"]).await;
    assert_eq!(stream.recv_json::<Vec<u8>>().await.unwrap().unwrap(), [1, 2]);
    assert!(stream.recv_json::<Vec<u8>>().await.unwrap().is_err());
}
