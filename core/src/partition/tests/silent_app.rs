//! An app instance that acknowledges nothing: reported while more events wait, and left by the stream only by option.

use std::sync::atomic::Ordering;
use std::time::Duration;

use minerva_proto::link::CloseCause;
use minerva_proto::{EventNumber, Reset, StreamNumber};

use super::harness::{Harness, TestSession, hello, options, run_until_idle, send};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{Mail, SessionEnd};
use crate::state::OutboxLimits;
use crate::stream::{AppOutput, SessionId};

const STREAM: StreamNumber = StreamNumber(1);
/// Limit for acknowledgements in the tests with a limit.
const LIMIT: u64 = 5_000;

/// A partition with one stream and one session, to which Started and a message are delivered.
async fn with_limit(limit_ms: u64) -> (Harness, TestSession) {
    let ack_timeout = Duration::from_millis(limit_ms);
    let limits = Limits { ack_timeout, ..Limits::default() };
    let harness = Harness::start_with(&TestStore::free(), limits, options(), false).await;
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    (harness, app)
}

fn silent(harness: &Harness) -> u64 {
    harness.counters.silent.load(Ordering::Relaxed)
}

fn acknowledge(harness: &Harness, session: SessionId, event: u64) {
    harness.send(Mail::Acknowledge { session, stream: STREAM, event: EventNumber(event) });
}

fn set_limit(harness: &Harness, session: SessionId, limit_ms: u64) {
    harness.send(Mail::SetLimits {
        retention: crate::state::RetentionChange::default(),
        session,
        stream: STREAM,
        max_idle_ms: None,
        outbox: OutboxLimits::default(),
        ack_timeout_ms: Some(limit_ms),
        compress: None,
    });
}

fn is_released(app: &mut TestSession) -> bool {
    app.outputs().contains(&AppOutput::Released { stream: STREAM })
}

/// The resets that the client has received.
fn resets(harness: &mut Harness) -> Vec<Reset> {
    let reset = |frame: minerva_proto::link::CoreFrame| match frame.close_cause() {
        Some(CloseCause::Reset(reset)) => Some(reset.clone()),
        _ => None,
    };
    harness.edge_outputs().into_iter().filter_map(reset).collect()
}

#[tokio::test]
async fn a_silent_instance_is_counted_while_more_events_wait() {
    let (harness, app) = with_limit(0).await;
    harness.wait(60_000).await;
    assert_eq!(silent(&harness), 0, "only Started is delivered");
    send(&harness, 0);
    run_until_idle().await;
    harness.wait(19_999).await;
    assert_eq!(silent(&harness), 0);
    harness.wait(1).await;
    assert_eq!(silent(&harness), 1);
    acknowledge(&harness, app.handle.id, 0);
    run_until_idle().await;
    harness.wait(600_000).await;
    assert_eq!(silent(&harness), 0, "the handler of the last message takes long");
    send(&harness, 1);
    run_until_idle().await;
    harness.wait(20_000).await;
    assert_eq!(silent(&harness), 1);
    harness.send(Mail::InstanceLeft(app.handle.id, SessionEnd::Left));
    run_until_idle().await;
    assert_eq!(silent(&harness), 0, "the stream has no instance");
}

#[tokio::test]
async fn a_stream_moves_beyond_the_limit_and_ends_after_a_second_one() {
    let (mut harness, mut one) = with_limit(LIMIT).await;
    let mut two = harness.join(2, "two", &[]);
    run_until_idle().await;
    harness.wait(LIMIT - 1).await;
    assert!(!is_released(&mut one));
    harness.wait(1).await;
    assert!(is_released(&mut one));
    assert_eq!(two.started(), [(1, true)]);
    assert_eq!(one.handle.load.load(Ordering::Relaxed), 0);
    assert_eq!(two.handle.load.load(Ordering::Relaxed), 1);
    harness.wait(LIMIT - 1).await;
    assert_eq!(resets(&mut harness), []);
    harness.wait(1).await;
    assert_eq!(resets(&mut harness), [Reset::new("application timeout", false)]);
    assert_eq!(harness.counters.ended[6].load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_acknowledgement_after_a_move_permits_another_move() {
    let (mut harness, mut one) = with_limit(LIMIT).await;
    let mut two = harness.join(2, "two", &[]);
    run_until_idle().await;
    harness.wait(LIMIT).await;
    assert!(is_released(&mut one));
    acknowledge(&harness, two.handle.id, 0);
    run_until_idle().await;
    harness.wait(10 * LIMIT).await;
    assert!(!is_released(&mut two), "nothing is unacknowledged");
    send(&harness, 0);
    run_until_idle().await;
    harness.wait(LIMIT).await;
    assert!(is_released(&mut two));
    assert_eq!((one.started(), resets(&mut harness)), (vec![(1, true)], vec![]));
}

#[tokio::test]
async fn without_another_instance_the_stream_ends_at_the_limit() {
    let (mut harness, _app) = with_limit(LIMIT).await;
    harness.wait(LIMIT).await;
    assert_eq!(resets(&mut harness), [Reset::new("application timeout", false)]);
}

#[tokio::test]
async fn an_application_sets_the_limit_of_a_stream() {
    let (mut harness, app) = with_limit(0).await;
    set_limit(&harness, app.handle.id, LIMIT);
    run_until_idle().await;
    harness.wait(LIMIT).await;
    assert_eq!(resets(&mut harness).len(), 1);
    let (mut harness, app) = with_limit(LIMIT).await;
    set_limit(&harness, app.handle.id, 0);
    run_until_idle().await;
    harness.wait(100 * LIMIT).await;
    assert_eq!(resets(&mut harness), [], "the stream has no limit");
}
