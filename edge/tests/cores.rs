//! Several cores: each transport is attached to the current owner of its stream.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

mod support;

use std::time::Duration;

use minerva_edge::Config;
use minerva_proto::link::pb as wire;
use minerva_proto::{PartitionHash, StreamId};
use support::{Core, Rig, hello, texts};

const OTHER_ID: &str = "zyxwvutsrqponmlkjihgfedcba";

fn partition(id: &str, count: u32) -> u32 {
    PartitionHash::UNKEYED.partition(&StreamId::parse(id).unwrap(), count).unwrap()
}

/// Two cores of one partition; the first owns it under epoch 1.
async fn owned_by_the_first() -> (Rig, Core) {
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.core.greet().await;
    other.introduce(1).await;
    rig.counts("links_up", 2).await;
    rig.counts("partitions", 1).await;
    (rig, other)
}

/// A transport attached to the first core, and its number on that link.
async fn opened(rig: &mut Rig) -> (support::Client, u64) {
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, true).await;
    rig.core.messages(transport, 0, &["x"]).await;
    client.expect(&["C", "0N", "x "]).await;
    (client, transport)
}

#[tokio::test]
async fn a_transport_attaches_to_the_owner_of_its_partition() {
    let count = (2..).find(|&n| partition(support::ID, n) != partition(OTHER_ID, n)).unwrap();
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.core.introduce(count).await;
    other.introduce(count).await;
    rig.core.owns(&[(partition(support::ID, count), 7)]).await;
    other.owns(&[(partition(OTHER_ID, count), 3)]).await;
    rig.counts("partitions", 2).await;
    let hello = hello("\"ming\":true");
    let _one = rig.tcp(&[&hello]).await;
    let _two = rig.tcp(&[&hello.replace(support::ID, OTHER_ID)]).await;
    assert_eq!(rig.core.attach().await.stream_id, support::ID);
    assert_eq!(other.attach().await.stream_id, OTHER_ID);
    rig.core.expect_silence().await;
    other.expect_silence().await;
}

#[tokio::test]
async fn a_released_partition_is_awaited_and_then_resumed() {
    let (mut rig, mut other) = owned_by_the_first().await;
    let (mut client, transport) = opened(&mut rig).await;
    client.frames(&["a "]).await;
    rig.core.batch().await;
    rig.core.releases(&[0]).await;
    assert_eq!(rig.core.detach().await, transport);
    rig.is_hindered_by(Some("no core owns any streams yet")).await;
    rig.core.messages(transport, 1, &["of a former owner"]).await;
    rig.core.sack(transport, 0).await;
    client.frames(&["b "]).await;
    client.is_quiet().await;
    other.expect_silence().await;
    other.owns(&[(0, 2)]).await;
    let again = other.attach().await;
    assert!(again.transport != transport && !again.create && again.batch.is_none());
    assert_eq!(again.resume.unwrap().next_s2c, Some(1));
    for (number, text) in [(0, "a"), (1, "b")] {
        let batch = other.batch().await;
        assert_eq!((batch.number, texts(&batch)), (number, vec![(number, vec![text.to_owned()])]));
    }
    other.opened(again.transport, false).await;
    other.sack(again.transport, 1).await;
    other.messages(again.transport, 1, &["y"]).await;
    client.expect(&["|1A", "y "]).await;
    rig.core.expect_silence().await;
    assert_eq!(rig.metric("reattached_total{cause=\"Released\"}"), 1);
}

#[tokio::test]
async fn a_higher_epoch_takes_over_and_a_lower_one_does_not() {
    let (mut rig, mut other) = owned_by_the_first().await;
    let (mut client, transport) = opened(&mut rig).await;
    other.owns(&[(0, 3)]).await;
    let again = other.attach().await;
    assert_eq!(again.resume.unwrap().next_s2c, Some(1));
    assert_eq!(rig.core.detach().await, transport);
    rig.core.messages(transport, 1, &["of a stale owner"]).await;
    rig.core.owns(&[(0, 2)]).await;
    other.opened(again.transport, false).await;
    other.messages(again.transport, 1, &["y"]).await;
    client.expect(&["y "]).await;
    let _late = rig.tcp(&[&hello("\"ming\":true")]).await;
    other.attach().await;
    rig.core.expect_silence().await;
    assert_eq!(rig.metric("reattached_total{cause=\"Claimed\"}"), 1);
    // After the loss of the owner, the remaining claim of a lower epoch counts.
    other.hang_up();
    rig.core.attach().await;
    rig.core.attach().await;
    assert_eq!(rig.metric("reattached_total{cause=\"LinkLost\"}"), 2);
}

#[tokio::test]
async fn an_attach_that_is_refused_goes_to_the_owner_as_it_was() {
    let (mut rig, mut other) = owned_by_the_first().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true"), "a "]).await;
    let attach = rig.core.attach().await;
    client.frames(&["b "]).await;
    rig.core.batch().await;
    rig.core.moved(attach.transport).await;
    rig.counts("partitions", 0).await;
    client.is_quiet().await;
    // The edge has dropped the first claim, so a lower epoch suffices.
    other.owns(&[(0, 0)]).await;
    let again = other.attach().await;
    assert!(again.create && again.resume.is_none());
    assert_eq!(texts(&again.batch.unwrap()), [(0, vec!["a".to_owned()])]);
    assert_eq!(texts(&other.batch().await), [(1, vec!["b".to_owned()])]);
    assert_eq!(rig.metric("reattached_total{cause=\"Moved\"}"), 1);
}

#[tokio::test]
async fn a_refusal_of_before_a_new_claim_leaves_that_claim() {
    let (mut rig, _other) = owned_by_the_first().await;
    let _client = rig.tcp(&[&hello("\"ming\":true")]).await;
    let attach = rig.core.attach().await;
    rig.core.releases(&[0]).await;
    rig.core.owns(&[(0, 2)]).await;
    rig.core.moved(attach.transport).await;
    let again = loop {
        if let wire::edge_frame::Frame::Attach(again) = rig.core.next().await {
            break again;
        }
    };
    assert_ne!(again.transport, attach.transport);
    assert_eq!(rig.metric("partitions"), 1);
}

#[tokio::test]
async fn an_upload_without_a_response_is_repeated_to_the_next_owner() {
    let (mut rig, mut other) = owned_by_the_first().await;
    let mut client = rig.post(&[&hello("\"ming\":true"), "a "]).await;
    let attach = rig.core.attach().await;
    assert!(attach.batch.unwrap().end.is_some());
    rig.core.opened(attach.transport, false).await;
    rig.core.taken(attach.transport, 0).await;
    rig.core.sack(attach.transport, 0).await;
    client.until("|0A\n").await;
    rig.core.releases(&[0]).await;
    rig.core.detach().await;
    other.owns(&[(0, 2)]).await;
    let again = other.attach().await;
    assert!(again.resume.is_some() && again.batch.is_none());
    let end = other.batch().await;
    assert_eq!((end.number, end.end, end.runs.len()), (1, Some(wire::End { kill: None }), 0));
    other.close(again.transport, 0).await;
    client.until("|0A\n|-1T\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn without_an_owner_transports_end_after_a_while_and_are_never_killed() {
    let config = Config { hold_time: Duration::from_millis(700), ..Config::default() };
    let (mut rig, mut other) = Rig::two(config).await;
    rig.core.greet().await;
    other.introduce(1).await;
    let (mut old, _) = opened(&mut rig).await;
    let mut held = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, false).await;
    rig.core.releases(&[0]).await;
    rig.counts("partitions", 0).await;
    let mut upload = rig.post(&[&hello("\"ming\":false"), "a "]).await;
    let mut socket = rig.tcp(&[&hello("\"ming\":true")]).await;
    socket.is_quiet().await;
    for client in [&mut held, &mut upload] {
        let answer = client.answer().await;
        assert_eq!(answer.status, 503);
        assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    }
    old.is_closed().await;
    socket.is_closed().await;
    other.expect_silence().await;
}

#[tokio::test]
async fn two_links_to_one_core_are_as_good_as_one() {
    let (mut rig, mut twin) = Rig::two(Config::default()).await;
    let own = partition(support::ID, 2);
    rig.core.introduce(2).await;
    rig.core.owns(&[(own, 1)]).await;
    twin.introduce(2).await;
    rig.counts("partitions", 1).await;
    let (mut client, _) = opened(&mut rig).await;
    twin.owns(&[(own, 1), (1 - own, 1)]).await;
    rig.counts("partitions", 2).await;
    // New transports use the latest claim; attached ones stay.
    let late = rig.tcp(&[&hello("\"ming\":true")]).await;
    let late_there = twin.attach().await.transport;
    rig.core.expect_silence().await;
    rig.core.hang_up();
    let again = twin.attach().await;
    assert_eq!(again.resume.unwrap().next_s2c, Some(1));
    twin.opened(again.transport, false).await;
    twin.messages(again.transport, 1, &["y"]).await;
    client.expect(&["y "]).await;
    drop(late);
    assert_eq!(twin.detach().await, late_there);
}

#[tokio::test]
async fn readiness_reports_the_reason() {
    let (mut rig, mut other) = Rig::two(Config::default()).await;
    rig.is_hindered_by(Some("no link to a core")).await;
    rig.core.introduce(1).await;
    rig.is_hindered_by(Some("no core owns any streams yet")).await;
    other.greet().await;
    rig.is_hindered_by(None).await;
    other.releases(&[0]).await;
    rig.is_hindered_by(Some("no core owns any streams yet")).await;
    rig.core.owns(&[(0, 2)]).await;
    rig.is_hindered_by(None).await;
}
