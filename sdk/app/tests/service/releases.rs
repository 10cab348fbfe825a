//! Cores of other releases: greetings, and unknown events.

use minerva_app::Event;
use minerva_proto::Features;
use minerva_proto::app::{self, Messages, SendRefused, Started, command, event};
use prost::Message as _;

use crate::fake_core::{FakeCore, started};
use crate::raw::{later, list, with_added_field};
use crate::{service, stream};

fn encode(event: event::Event) -> Vec<u8> {
    app::Event { event: Some(event) }.encode_to_vec()
}

#[tokio::test]
async fn the_registration_lists_version_and_features() {
    let mut core = FakeCore::start().await;
    let _start = tokio::spawn(minerva_app::Service::connect(&core.address).start());
    // `registered` answers as release 0.1 does.
    let (_call, register) = core.registered().await;
    assert_eq!(register.max_version, 1);
    assert_eq!(register.features, Features::APP.names());
}

#[tokio::test]
async fn unknown_events_are_counted_and_skipped() {
    let (_core, mut call, mut service) = service().await;
    let handle = service.handle();
    let start = with_added_field(&encode(event::Event::Started(Started { ..started(1) })));
    let messages =
        Messages { stream: 1, first_event: 1, messages: vec!["x".into()], ..Default::default() };
    let messages = encode(event::Event::Messages(messages));
    call.send_raw(list(&[later(), start, Vec::new(), later(), messages])).await;
    let mut stream = service.accept().await.unwrap();
    let Some(Event::Message { event, message, .. }) = stream.next_event().await else {
        panic!("no message");
    };
    assert_eq!((event.0, message.as_text()), (1, Some("x")));
    stream.acknowledge(event);
    call.acknowledged(1).await;
    assert_eq!(handle.unknown_events(), 3);
}

#[tokio::test]
async fn a_send_refused_for_an_unknown_reason_waits_for_room() {
    let (_core, mut call, service, stream) = stream().await;
    stream.sender().send("x").await.unwrap();
    let command::Command::Send(send) = call.command().await else { panic!("no Send") };
    assert_eq!(send.messages, ["x"]);
    let refused = SendRefused { stream: 1, reason: 99, ..SendRefused::default() };
    call.send_event(event::Event::SendRefused(refused)).await;
    call.expect_silence().await;
    assert_eq!(service.handle().unknown_events(), 1);
    call.send_state(0, 100, false).await;
    assert_eq!(call.sent(0, 1).await, ["x"]);
}
