//! A stream whose end is acknowledged takes no more records in the rest of the turn: recovery does not know the stream.

use std::sync::Arc;
use std::time::Duration;

use minerva_proto::{EventNumber, StreamNumber};

use super::harness::{Harness, TestSession, hello, run_until_idle};
use super::store::TestStore;
use crate::partition::mailbox::AttributeChange;
use crate::partition::{Mail, Recovered, SessionEnd};
use crate::store::{Epoch, Store};

const STREAM: StreamNumber = StreamNumber(1);

/// A stream in a group that its instance has reset, with the end in delivery.
async fn with_ended(store: &TestStore) -> (Harness, TestSession) {
    let harness = Harness::start(store).await;
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let session = app.handle.id;
    let change = AttributeChange::Join("group".into());
    harness.send(Mail::ChangeAttributes { session, stream: STREAM, change });
    let reason = "over".to_owned();
    harness.send(Mail::Reset { session, stream: STREAM, reason, application_level: true });
    run_until_idle().await;
    (harness, app)
}

fn acknowledge(harness: &Harness, app: &TestSession) {
    let (session, event) = (app.handle.id, EventNumber(1));
    harness.send(Mail::Acknowledge { session, stream: STREAM, event });
}

/// Recovers the partition after a crash of the owner.
async fn recover(store: &TestStore, harness: Harness) -> Recovered {
    harness.task.abort();
    // Beyond the lease of the aborted owner.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let claimed = store.inner.claim(0, "next", Epoch(0)).await.unwrap();
    Recovered::from_claimed(0, &claimed).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_next_instance_does_not_get_the_stream() {
    for instance in ["one", "two"] {
        let store = TestStore::free();
        let (harness, app) = with_ended(&store).await;
        let load = Arc::clone(&app.handle.load);
        acknowledge(&harness, &app);
        harness.send(Mail::InstanceLeft(app.handle.id, SessionEnd::Died));
        let mut next = harness.join(2, instance, &[STREAM.0]);
        run_until_idle().await;
        assert_eq!(next.started(), [], "{instance}");
        let loads =
            [&load, &next.handle.load].map(|one| one.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(loads, [0, 0], "{instance}");
        let recovered = recover(&store, harness).await;
        assert!(recovered.damage().is_none(), "{instance}: {:?}", recovered.damage());
        assert!(recovered.streams().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_leaves_no_group() {
    let store = TestStore::free();
    let (harness, app) = with_ended(&store).await;
    acknowledge(&harness, &app);
    let change = AttributeChange::Leave("group".into());
    harness.send(Mail::ChangeAttributes { session: app.handle.id, stream: STREAM, change });
    run_until_idle().await;
    let recovered = recover(&store, harness).await;
    assert!(recovered.damage().is_none(), "{:?}", recovered.damage());
}
