//! Bulk mail: megabytes of a few clients do not delay the messages of the others.

use minerva_proto::Payload;
use minerva_proto::link::{CoreFrame, CoreMessage};

use super::harness::{Harness, hello, messages, run_until_idle};
use super::store::TestStore;
use crate::partition::bulk_mail::IN_FLIGHT_BYTES;

/// Bytes of the messages of a client that use up the budget.
const LONG: usize = IN_FLIGHT_BYTES;
const CLIENTS: u64 = 4;

/// The transports whose batches are durable.
fn taken(harness: &mut Harness) -> Vec<u64> {
    let transport = |frame: CoreFrame| {
        let is_taken = matches!(frame.message(), Some(CoreMessage::Taken(_)));
        frame.transport().filter(|_| is_taken).map(|transport| transport.0)
    };
    harness.edge_outputs().into_iter().filter_map(transport).collect()
}

fn durable_bytes(store: &TestStore) -> usize {
    store.durable.lock().unwrap().iter().map(bytes::Bytes::len).sum()
}

/// Each client has a stream; all but the last send a long message, then the last one a short message.
async fn with_long_messages(store: &TestStore) -> Harness {
    let mut harness = Harness::start(store).await;
    for client in 1..=CLIENTS {
        harness.attach(hello(client, &format!("stream{client}")));
    }
    run_until_idle().await;
    store.permits.add_permits(1);
    run_until_idle().await;
    harness.edge_outputs();
    for client in 1..CLIENTS {
        harness.batch(client, messages(0, 0, vec![Payload::ascii_text(vec![b'x'; LONG / 2]); 2]));
    }
    harness.batch(CLIENTS, messages(0, 0, vec!["short".into()]));
    run_until_idle().await;
    harness
}

#[tokio::test(start_paused = true)]
async fn a_short_message_waits_for_one_long_message_at_most() {
    let store = TestStore::held();
    let mut harness = with_long_messages(&store).await;
    assert!(taken(&mut harness).is_empty(), "nothing is durable");
    store.permits.add_permits(1);
    run_until_idle().await;
    let durable = durable_bytes(&store);
    assert!(durable < 2 * LONG, "{durable} bytes in front of the short message");
    assert!(taken(&mut harness).contains(&CLIENTS));
}

#[tokio::test(start_paused = true)]
async fn all_long_messages_become_durable() {
    let store = TestStore::held();
    let mut harness = with_long_messages(&store).await;
    store.permits.add_permits(100);
    run_until_idle().await;
    let mut taken = taken(&mut harness);
    taken.sort_unstable();
    assert_eq!(taken, [1, 2, 3, 4]);
    harness.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_link_follows_its_mail() {
    let store = TestStore::held();
    let harness = with_long_messages(&store).await;
    harness.partitions.remove_link(super::harness::LINK);
    store.permits.add_permits(100);
    run_until_idle().await;
    assert!(durable_bytes(&store) > 3 * LONG, "mail in front of the end is handled");
}
