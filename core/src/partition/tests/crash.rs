//! The owner crashes at every append of a conversation, and another owner continues.

use super::conversation::{App, Client, step};
use super::harness::{Harness, options};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::PartitionOptions;

fn with_checkpoints() -> PartitionOptions {
    PartitionOptions { checkpoint_entries: 3, ..options() }
}

/// Runs the conversation until the owner of `store` can append no more; returns true if it is complete.
async fn converse(
    store: &TestStore,
    options: PartitionOptions,
    clients: &mut [Client],
    app: &mut App,
) -> bool {
    let mut harness = Harness::start_with(store, Limits::default(), options, false).await;
    let mut session = app.connect(&harness);
    clients.iter_mut().for_each(|client| client.connect(&harness));
    let mut is_done = false;
    for _ in 0..40 {
        step(&mut harness, clients, app, &mut session).await;
        is_done = clients.iter().all(Client::is_done) && app.is_done(clients.len());
        if is_done {
            break;
        }
    }
    // A crash: no turn is finished, and the last outputs are lost.
    harness.task.abort();
    let _ = harness.task.await;
    is_done
}

#[tokio::test]
async fn without_a_crash_the_conversation_is_complete() {
    let mut clients = [Client::new("one", 100), Client::new("two", 200)];
    let store = TestStore::free();
    assert!(converse(&store, options(), &mut clients, &mut App::default()).await);
    let appends = store.durable.lock().unwrap().len();
    assert!((8..14).contains(&appends), "{appends} appends to crash at");
}

#[tokio::test]
async fn no_message_is_lost_duplicated_or_reordered_at_any_crash() {
    for options in [options(), with_checkpoints()] {
        for first in 0..14 {
            for (second, is_reply_lost) in [(0, false), (1, false), (1, true), (4, true)] {
                let store = TestStore::free();
                let mut clients = [Client::new("one", 100), Client::new("two", 200)];
                let mut app = App::default();
                for appends in [first, second] {
                    let dying = store.dies_after(appends, is_reply_lost);
                    converse(&dying, options.clone(), &mut clients, &mut app).await;
                }
                let is_done = converse(&store, options.clone(), &mut clients, &mut app).await;
                assert!(is_done, "crashes after {first} and {second} appends");
            }
        }
    }
}
