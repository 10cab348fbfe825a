//! Cores of other releases and with keyed partitions: greetings and routing.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

mod support;

use minerva_edge::Config;
use minerva_proto::link::pb as wire;
use minerva_proto::{PartitionHash, StreamId};
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
    rig.core.introduce_as(core_0_1(64)).await;
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
