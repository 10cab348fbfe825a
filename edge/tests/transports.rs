//! Every kind of transport through a running edge with a scripted core.

mod support;

use minerva_proto::link::pb as wire;
use minerva_proto::link::pb::core_frame::Frame as FromCore;
use support::{Rig, hello, texts};

#[tokio::test]
async fn strings_go_both_ways_over_tcp() {
    let mut rig = Rig::start().await;
    let mut client =
        rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null"), "a ", "b "]).await;
    let attach = rig.core.attach().await;
    assert_eq!((attach.service.as_str(), attach.stream_id.as_str()), ("default", support::ID));
    assert_eq!(
        (attach.kind(), attach.peer_address.as_str()),
        (wire::TransportKind::Tcp, "127.0.0.1")
    );
    let batch = attach.batch.unwrap();
    assert_eq!(texts(&batch), [(0, vec!["a".to_owned(), "b".to_owned()])]);
    rig.core.opened(attach.transport, true).await;
    rig.core.sack(attach.transport, 1).await;
    rig.core.taken(attach.transport, 0).await;
    rig.core.messages(attach.transport, 0, &["x", "y"]).await;
    client.expect(&["C", "|1A", "0N", "x ", "y "]).await;
    client.frames(&["|1A", "c "]).await;
    let batch = rig.core.batch().await;
    assert_eq!((batch.number, batch.sacks[0].acked), (1, 1));
    assert_eq!(texts(&batch), [(2, vec!["c".to_owned()])]);
    drop(client);
    assert_eq!(rig.core.detach().await, attach.transport);
}

#[tokio::test]
async fn a_tcp_transport_is_closed_by_its_client() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"eeds\":null")]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, false).await;
    client.frames(&["Z"]).await;
    let end = rig.core.batch().await.end.unwrap();
    assert_eq!(end.kill(), wire::KillReason::InvalidFrameTypeOrArguments);
    rig.core.close(attach.transport, -1).await;
    client.expect(&["|-1A", "|-1T", "Y"]).await;
    rig.core.detach().await;
    client.frames(&["late "]).await;
    client.is_quiet().await;
    rig.core.expect_silence().await;
}

#[tokio::test]
async fn a_tcp_client_that_shuts_its_side_is_let_go() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true")]).await;
    rig.core.attach().await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    client.is_closed().await;
    rig.core.detach().await;
}

#[tokio::test]
async fn an_upload_is_one_batch_and_one_response() {
    let mut rig = Rig::start().await;
    let mut client = rig.connect().await;
    for number in 0..3 {
        let frames = [hello("\"ming\":false,\"new\":true"), format!("{number}N"), "a ".to_owned()];
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        client.post("/_minerva/chat/io/?x=1", &frames, "User-Agent: me\r\nX-Secret: no\r\n").await;
        let attach = rig.core.attach().await;
        assert_eq!((attach.service.as_str(), attach.single_flush), ("chat", true));
        let headers = attach.headers.iter().map(|h| (h.name.as_str(), h.value.as_str()));
        assert_eq!(headers.collect::<Vec<_>>(), [("user-agent", "me")]);
        let batch = attach.batch.unwrap();
        assert_eq!(texts(&batch), [(number, vec!["a".to_owned()])]);
        assert_eq!(batch.end, Some(wire::End { kill: None }));
        rig.core.opened(attach.transport, true).await;
        rig.core.sack(attach.transport, 0).await;
        rig.core.close(attach.transport, 0).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ";)]}^\nC\n|0A\n|0A\n|-1T\n"));
        assert!(answer.head.contains("content-type: text/plain\r\n"), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
        assert!(answer.head.contains("no-store"), "{}", answer.head);
        rig.core.detach().await;
    }
}

#[tokio::test]
async fn a_large_upload_comes_in_stretches_and_ends_once() {
    let mut rig = Rig::start().await;
    let big = format!("{} ", "y".repeat((1 << 20) - 1));
    let mut client = rig.connect().await;
    let hello = hello("\"ming\":false");
    let frames = [hello.as_str(), &big, "small "];
    let posting = client.post("/_minerva/io/", &frames, "");
    let (_, attach) = tokio::join!(posting, rig.core.attach());
    assert_eq!(attach.batch, None, "nothing is whole yet");
    rig.core.opened(attach.transport, false).await;
    let (mut messages, mut ended) = (Vec::new(), false);
    while !ended {
        let batch = rig.core.batch().await;
        ended = batch.end.is_some();
        messages.extend(batch.runs.iter().flat_map(|run| run.messages.iter().map(|s| s.len())));
        rig.core.taken(attach.transport, batch.number).await;
    }
    assert_eq!(messages, [(1 << 20) - 1, 5]);
    rig.core.close(attach.transport, 1).await;
    assert_eq!(client.answer().await.body, ";)]}^\n|1A\n|-1T\n");
}

#[tokio::test]
async fn a_poll_is_held_without_output_and_ends_complete() {
    let mut rig = Rig::start().await;
    let mut client = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let attach = rig.core.attach().await;
    assert_eq!(attach.kind(), wire::TransportKind::LongPoll);
    rig.core.opened(attach.transport, false).await;
    client.is_quiet().await;
    rig.core.messages(attach.transport, 4, &["x"]).await;
    rig.core.close(attach.transport, -1).await;
    assert_eq!(client.answer().await.body, ";)]}^\n4N\nx \n|-1A\n|-1T\n");
}

#[tokio::test]
async fn an_aborted_poll_is_detached() {
    let mut rig = Rig::start().await;
    let client = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, false).await;
    drop(client);
    assert_eq!(rig.core.detach().await, attach.transport);
}

#[tokio::test]
async fn a_streamed_response_goes_on() {
    let mut rig = Rig::start().await;
    let mut client = rig.post(&[&hello("\"ming\":true,\"eeds\":null")]).await;
    let attach = rig.core.attach().await;
    assert_eq!(attach.kind(), wire::TransportKind::HttpStream);
    rig.core.opened(attach.transport, false).await;
    client.is_quiet().await;
    rig.core.messages(attach.transport, 0, &["x"]).await;
    let head = client.until("x \n").await.to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(head.contains(";)]}^\n0n\n"), "{head}");
    rig.core.messages(attach.transport, 1, &["y"]).await;
    client.until("y \n").await;
    rig.core.close(attach.transport, -1).await;
    client.until("|-1A\n|-1T\n\r\n0\r\n\r\n").await;
    rig.core.detach().await;
    // The connection stays open.
    client.post("/_minerva/io/", &["Z"], "").await;
    assert_eq!(client.answer().await.body, ";)]}^\ninvalid_frame_type_or_argumentsK\n");
}

#[tokio::test]
async fn complete_frames_of_an_aborted_upload_count() {
    let mut rig = Rig::start().await;
    let mut client = rig.connect().await;
    let head = "POST /_minerva/io/ HTTP/1.1\r\nHost: e\r\nContent-Length: 5000\r\n\r\n";
    client.send(format!("{head}{}\na \nb", hello("\"ming\":false")).as_bytes()).await;
    drop(client);
    let batch = rig.core.attach().await.batch.unwrap();
    assert_eq!(texts(&batch), [(0, vec!["a".to_owned()])]);
    assert_eq!(batch.end, None, "the body never ended");
    rig.core.detach().await;
}

#[tokio::test]
async fn an_upload_counts_although_its_client_closes_at_once() {
    let mut rig = Rig::start().await;
    for number in 0..5 {
        drop(rig.post(&[&hello("\"ming\":false"), &format!("{number}N"), "last words "]).await);
        let batch = rig.core.attach().await.batch.unwrap();
        assert_eq!(texts(&batch), [(number, vec!["last words".to_owned()])]);
        rig.core.detach().await;
    }
}

#[tokio::test]
async fn an_aborted_stream_is_detached() {
    let mut rig = Rig::start().await;
    let mut client = rig.post(&[&hello("\"ming\":true,\"eeds\":null,\"new\":true")]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, true).await;
    client.until("C\n").await;
    drop(client);
    assert_eq!(rig.core.detach().await, attach.transport);
}

#[tokio::test]
async fn unavailable_is_503() {
    let mut rig = Rig::start().await;
    let mut client = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    let unavailable = wire::Unavailable { reason: "moving".to_owned(), retry_after_ms: 1500 };
    let cause = Some(wire::close::Cause::Unavailable(unavailable));
    rig.core.say(FromCore::Close(wire::Close { transport, cause, ..Default::default() })).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "moving\n"));
    assert!(answer.head.contains("retry-after: 2\r\n"), "{}", answer.head);
}
