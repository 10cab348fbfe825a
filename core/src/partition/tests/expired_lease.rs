//! Clients that come back while the lease of the owner is expired, as in an outage of the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::link::{Attach, TransportId};
use tokio::sync::oneshot;

use super::harness::{Harness, LINK, hello, is_opened, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{LinkId, Mail, Recovered};
use crate::store::{Epoch, Store};

/// Mails of one turn.
const TURN: usize = 1000;

/// A partition whose only client has left, and whose lease has expired: the client is gone for longer than the idle
/// limit, but nothing was handled since.
async fn with_an_expired_lease(store: &TestStore) -> Harness {
    let mut harness = Harness::start(store).await;
    harness.attach(hello(1, "stream1"));
    run_until_idle().await;
    harness.send(Mail::Detach { link: LINK, transport: TransportId(1) });
    run_until_idle().await;
    store.are_renewals_lost.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_millis(2500)).await;
    run_until_idle().await;
    harness.clock.fetch_add(Limits::default().max_idle_ms() + 1, Ordering::Relaxed);
    harness.edge_outputs();
    harness
}

async fn renew(store: &TestStore) {
    store.are_renewals_lost.store(false, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(1)).await;
    run_until_idle().await;
}

/// Streams that have not ended, as the next owner recovers them.
async fn live_streams(store: &TestStore) -> usize {
    let claimed = store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap();
    let streams = Recovered::from_claimed(0, &claimed).unwrap().streams;
    streams.values().filter(|stream| !stream.is_ended()).count()
}

fn returns(harness: &Harness) {
    harness.attach(Attach { create: false, ..hello(2, "stream1") });
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_in_the_mailbox_is_not_idle() {
    for before in [0, TURN - 1, TURN, 3 * TURN] {
        let store = TestStore::free();
        let mut harness = with_an_expired_lease(&store).await;
        (0..before).for_each(|_| harness.send(Mail::LinkLost(LinkId(99))));
        returns(&harness);
        renew(&store).await;
        let outputs = harness.edge_outputs();
        assert!(outputs.iter().any(is_opened), "{before} mails in front: {outputs:?}");
        assert_eq!(live_streams(&store).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_behind_a_hand_over_is_not_idle() {
    let store = TestStore::free();
    let harness = with_an_expired_lease(&store).await;
    let (done, is_done) = oneshot::channel();
    harness.send(Mail::Stop { done });
    returns(&harness);
    renew(&store).await;
    assert!(is_done.await.is_ok());
    assert_eq!(live_streams(&store).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_away_is_idle() {
    let store = TestStore::free();
    let harness = with_an_expired_lease(&store).await;
    (0..3 * TURN).for_each(|_| harness.send(Mail::LinkLost(LinkId(99))));
    renew(&store).await;
    assert_eq!(live_streams(&store).await, 0);
}
