//! Timeouts while mail waits in the mailbox: mail that may cancel a timeout goes first.

use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::link::{Attach, Batch, CloseCause, CoreFrame, TransportId};
use minerva_proto::{EventNumber, MessageNumber, ReceivedTags, Sack, StreamNumber};
use tokio::time::sleep;

use super::harness::{Harness, LINK, TestSession, hello, is_opened, options, run_until_idle, send};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::partition::gate::MAX_TURNS;

/// All time limits in the tests.
const LIMIT: Duration = Duration::from_secs(120);
const STREAM: StreamNumber = StreamNumber(2);

/// Two served streams; stream 2 has sent nothing and received one message.
async fn with_message(store: &TestStore) -> (Harness, TestSession) {
    let limits = Limits { ack_timeout: LIMIT, ..Limits::default() };
    let harness = Harness::start_with(store, limits, options(), false).await;
    for stream in 1..=2 {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    let app = harness.join(1, "one", &[]);
    let (session, first) = (app.handle.id, MessageNumber(0));
    harness.send(Mail::Acknowledge { session, stream: StreamNumber(1), event: EventNumber(0) });
    let messages = vec!["a message".into()];
    harness.send(Mail::Send { session, stream: STREAM, first, messages, acknowledge: None });
    run_until_idle().await;
    (harness, app)
}

/// Fills the store and the gate, so that turns handle deadlines but take no mail.
async fn fill(store: &TestStore, harness: &Harness) {
    store.is_full.store(true, Ordering::Relaxed);
    for number in 0..MAX_TURNS as u64 {
        send(harness, number);
        run_until_idle().await;
    }
}

/// The client acknowledges the message and the application its events, except for one of both.
fn acknowledge(harness: &Harness, app: &TestSession, by_client: bool, by_app: bool) {
    if by_client {
        let sack = Sack { acked: Some(MessageNumber(0)), beyond: Vec::new() };
        let (number, tag_history) = (minerva_proto::BatchNumber(0), ReceivedTags::default());
        let (runs, sacks) = (Vec::new(), vec![sack]);
        harness.batch(2, Batch { number, runs, sacks, tag_history, ..Batch::default() });
    }
    if by_app {
        let (session, event) = (app.handle.id, EventNumber(0));
        harness.send(Mail::Acknowledge { session, stream: STREAM, event });
    }
}

/// Lets the time limits pass, then empties the store. Returns whether stream 2 ended.
async fn ends(store: &TestStore, harness: &mut Harness) -> bool {
    let limit = u64::try_from(LIMIT.as_millis()).unwrap();
    harness.clock.fetch_add(limit, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    store.is_full.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    let is_end = |frame: &CoreFrame| {
        let CoreFrame::Transport { transport, .. } = frame else { return false };
        *transport != TransportId(1)
            && matches!(frame.close_cause(), Some(CloseCause::Reset(_) | CloseCause::Kill(_)))
    };
    harness.edge_outputs().iter().any(is_end)
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_has_returned_does_not_end_as_idle() {
    for returns in [true, false] {
        let store = TestStore::free();
        let (mut harness, app) = with_message(&store).await;
        acknowledge(&harness, &app, true, true);
        harness.send(Mail::Detach { link: LINK, transport: TransportId(2) });
        run_until_idle().await;
        fill(&store, &harness).await;
        if returns {
            harness.attach(Attach { create: false, ..hello(3, "stream2") });
        }
        harness.edge_outputs();
        assert!(!ends(&store, &mut harness).await);
        harness.attach(Attach { create: false, ..hello(4, "stream2") });
        run_until_idle().await;
        assert_eq!(harness.edge_outputs().iter().any(is_opened), returns);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_acknowledgements_wait_does_not_time_out() {
    for (late_client, late_app, is_late) in
        [(true, false, true), (false, true, true), (true, true, true), (true, false, false)]
    {
        let store = TestStore::free();
        let (mut harness, app) = with_message(&store).await;
        acknowledge(&harness, &app, !late_client, !late_app);
        run_until_idle().await;
        fill(&store, &harness).await;
        if is_late {
            acknowledge(&harness, &app, late_client, late_app);
        }
        harness.edge_outputs();
        let has_ended = ends(&store, &mut harness).await;
        assert_eq!(has_ended, !is_late, "{late_client} {late_app}");
    }
}
