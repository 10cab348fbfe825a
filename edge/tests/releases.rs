//! Cores of other releases and with keyed partitions: greetings, routing, and unknown frames.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

mod support;

use minerva_edge::Config;
use minerva_proto::link::pb as wire;
use minerva_proto::{PartitionHash, StreamId};
use prost::Message as _;
use support::raw::{later, list, with_added_field};
use support::{ID, Rig, hello};

const KEYED: PartitionHash = PartitionHash::new(Some([7; 16]));

fn partition(hash: PartitionHash, count: u32) -> u32 {
    hash.partition(&StreamId::parse(ID).unwrap(), count).unwrap()
}

/// As release 0.1 sends the greeting.
fn core_0_1(partitions: u32) -> wire::CoreHello {
    let core_id = "core-of-0.1".to_owned();
    wire::CoreHello { version: 1, core_id, partitions, ..wire::CoreHello::default() }
}

#[tokio::test]
async fn a_core_of_release_0_1_is_linked_and_routed_to_without_a_key() {
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    let owned = partition(PartitionHash::UNKEYED, 64);
    let frame = &include_bytes!("../../proto/golden/0.1/CoreFrame.hello.bin")[..];
    let frame = wire::CoreFrame::decode(frame).unwrap().frame;
    let Some(wire::core_frame::Frame::Hello(greeting)) = frame else { panic!("no hello") };
    assert_eq!(greeting.partitions, 64);
    rig.core.introduce_as(greeting).await;
    rig.core.owns(&[(owned, 1)]).await;
    // A core of this release shares the store.
    other.introduce(64).await;
    other.owns(&[(owned ^ 1, 1)]).await;
    rig.counts("partitions", 2).await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, true).await;
    rig.core.messages(transport, 0, &["x"]).await;
    client.expect(&["C", "0N", "x "]).await;
    other.expect_silence().await;
}

#[tokio::test]
async fn a_transport_attaches_to_the_owner_under_the_key_of_the_cores() {
    let count = (2..)
        .find(|&count| partition(KEYED, count) != partition(PartitionHash::UNKEYED, count))
        .unwrap();
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.core.introduce_with(count, KEYED).await;
    other.introduce_with(count, KEYED).await;
    rig.core.owns(&[(partition(PartitionHash::UNKEYED, count), 1)]).await;
    other.owns(&[(partition(KEYED, count), 1)]).await;
    rig.counts("partitions", 2).await;
    let _client = rig.tcp(&[&hello("\"ming\":true")]).await;
    other.attach().await;
    rig.core.expect_silence().await;
}

#[tokio::test]
async fn a_core_with_another_key_is_refused() {
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.core.introduce_with(1, KEYED).await;
    rig.counts("links_up", 1).await;
    for hash in [PartitionHash::UNKEYED, PartitionHash::new(Some([8; 16]))] {
        other.introduce_with(1, hash).await;
        other.is_left().await;
    }
    other.introduce_as(core_0_1(1)).await;
    other.is_left().await;
    other.introduce_with(1, KEYED).await;
    rig.counts("links_up", 2).await;
    // After the loss of every link, a deployment with another key is accepted, and waiting transports follow.
    rig.core.hang_up();
    other.hang_up();
    rig.counts("links_up", 0).await;
    let _client = rig.tcp(&[&hello("\"ming\":true")]).await;
    other.introduce(1).await;
    rig.counts("links_up", 1).await;
    other.owns(&[(0, 1)]).await;
    other.attach().await;
}

#[tokio::test]
async fn a_core_with_a_bad_greeting_is_refused() {
    let mut rig = Rig::start().await;
    rig.core.hang_up();
    let key = |length| wire::CoreHello { partition_key: vec![7; length].into(), ..core_0_1(1) };
    let versions = |version, max_version| wire::CoreHello { version, max_version, ..core_0_1(1) };
    for bad in [key(1), key(15), key(17), versions(0, 0), versions(2, 0), versions(2, 9)] {
        rig.core.introduce_as(bad).await;
        rig.core.is_left().await;
    }
    rig.core.introduce_as(versions(1, 9)).await;
    rig.counts("links_up", 1).await;
}

#[tokio::test]
async fn unknown_frames_of_a_core_are_counted_and_skipped() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    let opened = wire::Opened {
        transport,
        created: true,
        sack: None,
        stream: 1,
        created_tag: 0,
        heartbeat_after: 0,
        positions: None,
    };
    let opened = wire::core_frame::Frame::Opened(opened);
    let messages =
        wire::Messages { transport, first: 0, messages: vec!["x".into()], ..Default::default() };
    let messages = wire::core_frame::Frame::Messages(messages);
    let encode = |frame| wire::CoreFrame { frame: Some(frame) }.encode_to_vec();
    let (opened, messages) = (encode(opened), encode(messages));
    let frames = [later(), with_added_field(&opened), Vec::new(), later(), messages];
    rig.core.say_raw(list(&frames)).await;
    client.expect(&["C", "0N", "x "]).await;
    rig.core.messages(transport, 1, &["y"]).await;
    client.expect(&["y "]).await;
    let unknown = "unknown_received_total{direction=\"core_to_edge\"}";
    assert_eq!((rig.metric(unknown), rig.metric("link_losses_total")), (3, 0));
}

#[tokio::test]
async fn an_unknown_reason_of_a_kill_ends_the_transport_as_an_invalid_frame_does() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, true).await;
    let cause = Some(wire::close::Cause::Kill(99));
    let close = wire::Close { transport, cause, ..wire::Close::default() };
    rig.core.say(wire::core_frame::Frame::Close(close)).await;
    client.expect(&["C", "invalid_frame_type_or_argumentsK"]).await;
    assert_eq!(rig.core.detach().await, transport);
    assert_eq!(rig.metric("unknown_received_total{direction=\"core_to_edge\"}"), 1);
}
