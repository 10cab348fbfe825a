//! Members of a group with the connections of their clients.

use minerva_proto::StreamNumber;
use minerva_proto::link::TransportId;

use super::harness::{Harness, LINK, hello, run_until_idle};
use super::store::TestStore;
use super::stream_calls::{numbers, request};
use crate::partition::{Mail, StreamReply, StreamRequest};
use crate::stream::Connection;

/// The listed members: number, connection, and its begin in milliseconds after that of the last member.
async fn members(harness: &Harness, with_absent: bool) -> Vec<(u64, Connection, u64)> {
    let (service, group, after) = ("default".into(), "all".into(), StreamNumber(0));
    let list = StreamRequest::ListGroup { service, group, after, limit: 10, with_absent };
    let StreamReply::Members(members) = request(harness, list).await.unwrap() else { panic!() };
    let begin = members.last().map_or(0, |last| last.since_ms);
    let one = |member: &crate::stream::GroupMember| {
        (member.stream.0, member.connection, member.since_ms - begin)
    };
    members.iter().map(one).collect()
}

async fn attach_again(harness: &Harness, transport: u64, stream: &str) {
    let mut again = hello(transport, stream);
    again.create = false;
    harness.attach(again);
    run_until_idle().await;
}

async fn detach(harness: &Harness, transport: u64) {
    harness.send(Mail::Detach { link: LINK, transport: TransportId(transport) });
    run_until_idle().await;
}

async fn with_two(store: &TestStore) -> Harness {
    let harness = Harness::start(store).await;
    harness.attach(hello(1, "s1"));
    harness.attach(hello(2, "s2"));
    request(&harness, StreamRequest::Join(numbers([1, 2]), "all".into())).await.unwrap();
    harness
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_no_leave() {
    let store = TestStore::free();
    let harness = with_two(&store).await;
    let one = |connection, since| (1, connection, since);
    let two = (2, Connection::Attached, 0);
    assert_eq!(members(&harness, false).await, [one(Connection::Attached, 0), two]);
    harness.wait(100).await;
    detach(&harness, 1).await;
    harness.wait(999).await;
    assert_eq!(members(&harness, false).await, [one(Connection::Attached, 0), two]);
    harness.wait(1).await;
    assert_eq!(members(&harness, false).await, [one(Connection::Detached, 100), two]);
    harness.wait(8_999).await;
    assert_eq!(members(&harness, false).await, [one(Connection::Detached, 100), two]);
    attach_again(&harness, 3, "s1").await;
    assert_eq!(members(&harness, false).await, [one(Connection::Attached, 10_099), two]);
    detach(&harness, 3).await;
    harness.wait(10_000).await;
    assert_eq!(members(&harness, false).await, [two]);
    assert_eq!(members(&harness, true).await, [one(Connection::Absent, 10_099), two]);
}

#[tokio::test(start_paused = true)]
async fn the_gap_between_two_long_polls_is_no_detach() {
    let store = TestStore::free();
    let harness = with_two(&store).await;
    detach(&harness, 1).await;
    harness.wait(999).await;
    attach_again(&harness, 3, "s1").await;
    harness.wait(1).await;
    let both = [(1, Connection::Attached, 0), (2, Connection::Attached, 0)];
    assert_eq!(members(&harness, false).await, both);
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_knows_no_connection_before_the_first_attach() {
    let store = TestStore::free();
    let harness = with_two(&store).await;
    run_until_idle().await;
    harness.task.abort();
    let harness = Harness::start(&store).await;
    attach_again(&harness, 1, "s1").await;
    harness.wait(9_999).await;
    let one = (1, Connection::Attached, 0);
    assert_eq!(members(&harness, false).await, [one, (2, Connection::Unknown, 0)]);
    harness.wait(1).await;
    assert_eq!(members(&harness, false).await, [one]);
}
