//! The owner dies at every append, in the middle of a conversation, and another one goes on.

use super::bench::{Bench, options};
use super::conversation::{App, Client, step};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::PartitionOptions;

fn with_checkpoints() -> PartitionOptions {
    PartitionOptions { checkpoint_entries: 3, ..options() }
}

/// Talks until the owner of `store` can append no more, or all is said; `true`: all is said.
async fn talk(
    store: &TestStore,
    options: PartitionOptions,
    clients: &mut [Client],
    app: &mut App,
) -> bool {
    let mut bench = Bench::start_with(store, Limits::default(), options, false).await;
    let mut session = app.dial(&bench);
    clients.iter_mut().for_each(|client| client.dial(&bench));
    let mut is_done = false;
    for _ in 0..40 {
        step(&mut bench, clients, app, &mut session).await;
        is_done = clients.iter().all(Client::is_done) && app.is_done(clients.len());
        if is_done {
            break;
        }
    }
    // A crash: nothing is finished, and what was said last is not heard.
    bench.task.abort();
    let _ = bench.task.await;
    is_done
}

#[tokio::test]
async fn without_a_crash_all_is_said() {
    let mut clients = [Client::new("one", 100), Client::new("two", 200)];
    let store = TestStore::free();
    assert!(talk(&store, options(), &mut clients, &mut App::default()).await);
    let appends = store.durable.lock().unwrap().len();
    assert!((8..14).contains(&appends), "{appends} places to crash at");
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_reordered_wherever_the_owner_dies() {
    for options in [options(), with_checkpoints()] {
        for first in 0..14 {
            for (second, is_mute) in [(0, false), (1, false), (1, true), (4, true)] {
                let store = TestStore::free();
                let mut clients = [Client::new("one", 100), Client::new("two", 200)];
                let mut app = App::default();
                for appends in [first, second] {
                    let dying = store.dies_after(appends, is_mute);
                    talk(&dying, options.clone(), &mut clients, &mut app).await;
                }
                let is_done = talk(&store, options.clone(), &mut clients, &mut app).await;
                assert!(is_done, "crashes after {first} and {second} appends");
            }
        }
    }
}
