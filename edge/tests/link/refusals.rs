//! Blast radius of a link: an invalid frame, or an Attach at which cores fail, ends one transport.

use minerva_edge::Config;
use minerva_proto::link::pb::core_frame::Frame as CoreFrame;
use minerva_proto::link::pb::{
    Close, Messages, Opened, Refused, Reset, Sack, SackUpdate, Unavailable, close,
};

use crate::support::{Client, Rig, hello};

/// An attached TCP transport, with the number on the link.
async fn opened(rig: &mut Rig) -> (Client, u64) {
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, true).await;
    client.expect(&["C"]).await;
    (client, transport)
}

/// Invalid frames of a core about one transport.
fn invalid_frames(transport: u64) -> Vec<CoreFrame> {
    let close =
        |cause| CoreFrame::Close(Close { transport, cause: Some(cause), ..Close::default() });
    let negative = || Some(Sack { acked: -2, beyond: Vec::new() });
    let reset = |reason: &str| Reset { reason: reason.to_owned(), application_level: true };
    vec![
        CoreFrame::Messages(Messages {
            transport,
            first: 0,
            messages: vec![vec![0xff].into()],
            ..Messages::default()
        }),
        CoreFrame::Sack(SackUpdate { transport, sack: None }),
        CoreFrame::Sack(SackUpdate { transport, sack: negative() }),
        CoreFrame::Opened(Opened {
            transport,
            created: false,
            sack: negative(),
            stream: 1,
            created_tag: 0,
            heartbeat_after: 0,
            positions: None,
        }),
        close(close::Cause::Kill(0)),
        close(close::Cause::Reset(reset("a\nb"))),
        close(close::Cause::Reset(reset(&"r".repeat(256)))),
    ]
}

#[tokio::test]
async fn an_invalid_core_frame_ends_its_transport_only() {
    let mut rig = Rig::start().await;
    let (mut other, bystander) = opened(&mut rig).await;
    let kinds = invalid_frames(0).len();
    for kind in 0..kinds {
        let (mut client, transport) = opened(&mut rig).await;
        rig.core.say(invalid_frames(transport).swap_remove(kind)).await;
        client.is_closed().await;
        assert_eq!(rig.core.detach().await, transport);
    }
    rig.core.messages(bystander, 0, &["x"]).await;
    other.expect(&["0N", "x "]).await;
    assert_eq!(rig.metric("link_losses_total"), 0);
    let count = |reason| rig.metric(&format!("link_frames_refused_total{{reason=\"{reason}\"}}"));
    assert_eq!((count("messages"), count("sack.sack"), count("opened.sack")), (1, 2, 1));
    assert_eq!((count("close.kill"), count("close.reset.reason")), (1, 2));
    assert_eq!(rig.metric("ended_total{how=\"failed\"}"), kinds as u64);
}

#[tokio::test]
async fn a_core_frame_of_no_transport_is_ignored_if_it_is_invalid() {
    let mut rig = Rig::start().await;
    let (mut client, transport) = opened(&mut rig).await;
    rig.core.say_nothing().await;
    rig.core.say(CoreFrame::Hello(minerva_proto::link::pb::CoreHello::default())).await;
    rig.core.say(invalid_frames(transport + 100).swap_remove(0)).await;
    rig.core.messages(transport, 0, &["x"]).await;
    client.expect(&["0N", "x "]).await;
    assert_eq!(rig.metric("link_losses_total"), 0);
}

#[tokio::test]
async fn a_refused_request_is_answered_with_500_and_not_attached_again() {
    let mut rig = Rig::start().await;
    let mut client = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    let cause = close::Cause::Refused(Refused { reason: "attach.service: too bad".to_owned() });
    let close = Close { transport, cause: Some(cause), ..Close::default() };
    rig.core.say(CoreFrame::Close(close)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "attach.service: too bad\n"));
    assert_eq!(rig.core.detach().await, transport);
    rig.core.expect_silence().await;
}

#[tokio::test]
async fn an_unavailable_stream_is_answered_with_503() {
    let mut rig = Rig::start().await;
    let mut client = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    let unavailable = Unavailable { reason: "later".to_owned(), retry_after_ms: 0 };
    let cause = Some(close::Cause::Unavailable(unavailable));
    rig.core.say(CoreFrame::Close(Close { transport, cause, ..Close::default() })).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1\r\n"), "the usual wait: {}", answer.head);
}

#[tokio::test]
async fn a_transport_with_two_failed_links_at_its_attach_is_dropped() {
    let mut rig = Rig::start().await;
    let (mut healthy, _) = opened(&mut rig).await;
    let mut poll = rig.post(&[&hello("\"ming\":false,\"eeds\":null,\"why\":\"bad\"")]).await;
    for _ in 0..2 {
        assert_eq!(rig.core.attach().await.why, "bad");
        rig.core.hang_up();
        rig.core.greet().await;
        // The suspect waits until others are attached.
        let again = rig.core.attach().await;
        assert!(again.resume.is_some() && again.why.is_empty());
        rig.core.opened(again.transport, false).await;
    }
    assert_eq!(poll.answer().await.status, 500);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    rig.core.expect_silence().await;
    assert_eq!(rig.metric("ended_total{how=\"failed\"}"), 1);
    healthy.is_quiet().await;
}

#[tokio::test]
async fn a_healthy_transport_outlives_any_number_of_failed_links() {
    let mut rig = Rig::with(Config::default()).await;
    let (mut client, _) = opened(&mut rig).await;
    for round in 0..4 {
        rig.core.hang_up();
        rig.core.greet().await;
        let again = rig.core.attach().await;
        // Every second link fails before the Attach is answered.
        if round % 2 == 1 {
            rig.core.opened(again.transport, false).await;
            rig.core.messages(again.transport, round / 2, &["x"]).await;
            let expected: &[&str] = if round == 1 { &["0N", "x "] } else { &["x "] };
            client.expect(expected).await;
        }
    }
    assert_eq!(rig.metric("link_losses_total"), 4);
}
