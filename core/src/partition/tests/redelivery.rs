//! Deaths of app instances: redeliveries are counted, suspects follow the other streams, and failed streams end.

use std::sync::atomic::Ordering;

use minerva_proto::link::CloseCause;
use minerva_proto::{EventNumber, Reset, StreamNumber};

use super::assignment::with_streams;
use super::harness::{Harness, TestSession, hello, messages, options, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::assignment::spread_ms;
use crate::partition::{Mail, PartitionOptions, SessionEnd};
use crate::store::STORED_VERSION;
use crate::stream::AppOutput;

/// A stream that is deadly for the instance, and a stream without events in delivery.
const POISON: u64 = 1;
const OTHER: u64 = 2;
/// `--app-crash-grace` in milliseconds.
const CRASH_GRACE: u64 = 400;

/// Two streams at the instance `one`, which has acknowledged all but a message of POISON.
async fn with_poison(store: &TestStore, options: PartitionOptions) -> (Harness, TestSession) {
    let harness = Harness::start_with(store, Limits::default(), options, true).await;
    let mut one = harness.join(1, "one", &[]);
    for stream in [POISON, OTHER] {
        harness.attach(hello(stream, &format!("stream{stream}")));
        run_until_idle().await;
        acknowledge(&harness, &one, stream, 0).await;
    }
    harness.batch(POISON, messages(0, 0, vec!["poison".into()]));
    // A death is no longer due to the start of the streams.
    harness.wait(250).await;
    one.outputs();
    (harness, one)
}

async fn acknowledge(harness: &Harness, session: &TestSession, stream: u64, event: u64) {
    let (session, stream) = (session.handle.id, StreamNumber(stream));
    harness.send(Mail::Acknowledge { session, stream, event: EventNumber(event) });
    run_until_idle().await;
}

async fn end(harness: &Harness, session: &TestSession, end: SessionEnd) {
    harness.send(Mail::InstanceLeft(session.handle.id, end));
    run_until_idle().await;
}

/// The started streams with their counts of deliveries.
fn attempts(session: &mut TestSession) -> Vec<(u64, u32)> {
    let started = |output| {
        let AppOutput::Started(started) = output else { return None };
        Some((started.stream.0, started.attempts))
    };
    session.outputs().into_iter().filter_map(started).collect()
}

#[tokio::test]
async fn a_stream_in_delivery_at_a_death_follows_the_other_streams() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    let mut two = harness.join(2, "two", &[]);
    let three = harness.join(3, "three", &[]);
    run_until_idle().await;
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE - 1).await;
    assert_eq!(attempts(&mut two), []);
    harness.wait(1).await;
    assert_eq!(attempts(&mut two), [(OTHER, 1)]);
    end(&harness, &three, SessionEnd::Left).await;
    let mut four = harness.join(4, "four", &[]);
    run_until_idle().await;
    harness.wait(99).await;
    assert_eq!(attempts(&mut four), []);
    harness.wait(1).await;
    let outputs = four.outputs();
    let [
        AppOutput::Started(started),
        AppOutput::Messages { attempts, first_event: EventNumber(1), .. },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((started.attempts, *attempts), (2, 2));
    harness.batch(POISON, messages(1, 1, vec!["a new message".into()]));
    run_until_idle().await;
    let outputs = four.outputs();
    assert!(matches!(outputs[..], [AppOutput::Messages { attempts: 1, .. }]), "{outputs:?}");
}

#[tokio::test]
async fn a_suspect_spares_the_last_instance_until_a_second_one_joins() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    let mut two = harness.join(2, "two", &[]);
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE + 100).await;
    harness.wait(999).await;
    assert_eq!(attempts(&mut two), [(OTHER, 1)]);
    harness.wait(1).await;
    assert_eq!(attempts(&mut two), [(POISON, 2)], "after a second");
    end(&harness, &two, SessionEnd::Died).await;
    let mut three = harness.join(3, "three", &[]);
    let mut four = harness.join(4, "four", &[]);
    run_until_idle().await;
    assert_eq!(attempts(&mut three), [(OTHER, 1)]);
    harness.wait(CRASH_GRACE + 1_000 + spread_ms(StreamNumber(POISON))).await;
    assert_eq!(attempts(&mut four), [(POISON, 3)], "beside a second instance");
}

#[tokio::test]
async fn only_the_suspect_in_delivery_is_blamed_and_the_others_move_at_once() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    let mut two = harness.join(2, "two", &[]);
    let mut three = harness.join(3, "three", &[]);
    for stream in [3, 4] {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    for (session, stream) in [(&two, 3), (&three, 4)] {
        acknowledge(&harness, session, stream, 0).await;
    }
    harness.wait(250).await;
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE).await;
    harness.wait(100).await;
    assert_eq!(attempts(&mut two), [(3, 1), (OTHER, 1)]);
    assert_eq!(attempts(&mut three), [(4, 1), (POISON, 2)]);
    harness.attach(hello(5, "stream5"));
    harness.attach(hello(6, "stream6"));
    run_until_idle().await;
    assert_eq!(attempts(&mut three), [], "new streams avoid an instance with a suspect");
    assert_eq!(attempts(&mut two), [(5, 1), (6, 1)]);
    end(&harness, &three, SessionEnd::Died).await;
    assert_eq!(attempts(&mut two), [(4, 1)], "without a grace time");
    let mut four = harness.join(4, "four", &[]);
    run_until_idle().await;
    let spread = spread_ms(StreamNumber(POISON));
    harness.wait(CRASH_GRACE + spread + 999).await;
    assert_eq!(attempts(&mut four), []);
    harness.wait(1).await;
    assert_eq!(attempts(&mut four), [(POISON, 3)], "a second later");
    let mut five = harness.join(5, "five", &[]);
    end(&harness, &four, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE + spread + 1_999).await;
    assert_eq!(attempts(&mut five), []);
    harness.wait(1).await;
    assert_eq!(attempts(&mut five), [(POISON, 4)], "two seconds later");
    assert_eq!(attempts(&mut two), []);
}

#[tokio::test]
async fn the_streams_of_killed_healthy_instances_wait_for_less_than_a_second() {
    let harness = with_streams(&TestStore::free(), 40).await;
    let mut dead = harness.join(1, "one", &[]);
    run_until_idle().await;
    harness.wait(10).await;
    let mut others = [harness.join(2, "two", &[]), harness.join(3, "three", &[])];
    run_until_idle().await;
    // Nothing is acknowledged, so all streams are in delivery at each death.
    for death in 1..=5 {
        let streams = dead.handle.load.load(Ordering::Relaxed);
        end(&harness, &dead, SessionEnd::Died).await;
        let (mut moved, mut ms) = (0, 0);
        while moved < streams {
            harness.wait(10).await;
            ms += 10;
            moved += others.iter_mut().map(|other| attempts(other).len()).sum::<usize>();
            assert!(ms < 1_000, "death {death}: {moved} of {streams} streams after a second");
        }
        // The next instance dies of another cause.
        harness.wait(60_000).await;
        let next = harness.join(10 + death, &format!("next {death}"), &[]);
        run_until_idle().await;
        dead = std::mem::replace(&mut others[0], next);
        others.rotate_left(1);
    }
}

#[tokio::test]
async fn the_only_instance_serves_the_other_streams_first() {
    let store = TestStore::free();
    let (harness, one) = with_poison(&store, options()).await;
    end(&harness, &one, SessionEnd::Died).await;
    let mut again = harness.join(2, "two", &[]);
    run_until_idle().await;
    harness.wait(CRASH_GRACE).await;
    assert_eq!(attempts(&mut again), [(OTHER, 1)]);
    harness.wait(100).await;
    assert_eq!(attempts(&mut again), [(POISON, 2)]);
    end(&harness, &again, SessionEnd::Died).await;
    harness.wait(60_000).await;
    let mut again = harness.join(3, "three", &[]);
    run_until_idle().await;
    assert_eq!(attempts(&mut again), [(OTHER, 1)]);
    harness.wait(999).await;
    assert_eq!(attempts(&mut again), []);
    harness.wait(1).await;
    assert_eq!(attempts(&mut again), [(POISON, 3)]);
}

#[tokio::test]
async fn a_death_shortly_after_started_counts_for_streams_without_messages() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    acknowledge(&harness, &one, POISON, 1).await;
    end(&harness, &one, SessionEnd::Left).await;
    harness.wait(2_000).await;
    let mut two = harness.join(2, "two", &[]);
    run_until_idle().await;
    assert_eq!(attempts(&mut two), [(POISON, 1), (OTHER, 1)]);
    harness.wait(249).await;
    end(&harness, &two, SessionEnd::Died).await;
    let mut three = harness.join(3, "three", &[]);
    run_until_idle().await;
    harness.wait(CRASH_GRACE + 100).await;
    harness.wait(50).await;
    assert_eq!(attempts(&mut three), [(POISON, 2), (OTHER, 2)]);
    harness.wait(250).await;
    acknowledge(&harness, &three, POISON, 0).await;
    end(&harness, &three, SessionEnd::Died).await;
    let mut four = harness.join(4, "four", &[]);
    run_until_idle().await;
    harness.wait(CRASH_GRACE + 100).await;
    harness.wait(50).await;
    assert_eq!(attempts(&mut four), [(POISON, 2), (OTHER, 2)], "later deaths have other causes");
}

#[tokio::test]
async fn an_instance_that_returns_with_its_streams_has_not_died() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    end(&harness, &one, SessionEnd::Died).await;
    let mut back = harness.join(2, "one", &[POISON, OTHER]);
    run_until_idle().await;
    assert_eq!(attempts(&mut back), [(POISON, 1), (OTHER, 1)]);
    end(&harness, &back, SessionEnd::Left).await;
    let mut other = harness.join(3, "two", &[]);
    run_until_idle().await;
    harness.wait(2_000).await;
    assert_eq!(attempts(&mut other), [(POISON, 1), (OTHER, 1)], "a call that ended in order");
}

#[tokio::test]
async fn an_acknowledgement_ends_the_suspicion() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    let mut two = harness.join(2, "two", &[]);
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE + 100).await;
    harness.wait(1_000).await;
    assert_eq!(attempts(&mut two), [(OTHER, 1), (POISON, 2)]);
    assert_eq!(two.handle.suspect.to_blame().streams, [StreamNumber(POISON)].into());
    acknowledge(&harness, &two, POISON, 1).await;
    assert!(two.handle.suspect.to_blame().streams.is_empty());
    harness.wait(250).await;
    end(&harness, &two, SessionEnd::Died).await;
    let mut three = harness.join(3, "three", &[]);
    run_until_idle().await;
    assert_eq!(attempts(&mut three), [(POISON, 1), (OTHER, 1)]);
}

#[tokio::test]
async fn the_count_survives_a_recovery_from_the_log_and_from_a_checkpoint() {
    let store = TestStore::free();
    let (harness, one) = with_poison(&store, options()).await;
    harness.stored_version.raise(STORED_VERSION);
    let two = harness.join(2, "two", &[]);
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE).await;
    drop(two);
    harness.task.abort();
    let harness = Harness::start(&store).await;
    harness.stored_version.raise(STORED_VERSION);
    let mut two = harness.join(2, "two", &[POISON]);
    run_until_idle().await;
    assert_eq!(attempts(&mut two), [(POISON, 2), (OTHER, 1)], "from the log");
    harness.stop().await.unwrap();
    let harness = Harness::start(&store).await;
    let mut three = harness.join(3, "three", &[]);
    run_until_idle().await;
    harness.wait(2_250).await;
    assert_eq!(attempts(&mut three), [(OTHER, 1), (POISON, 2)], "from the checkpoint");
}

#[tokio::test]
async fn a_death_counts_although_the_core_dies_before_the_next_assignment() {
    let store = TestStore::free();
    let (harness, one) = with_poison(&store, options()).await;
    harness.stored_version.raise(STORED_VERSION);
    end(&harness, &one, SessionEnd::Died).await;
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let mut two = harness.join(2, "two", &[]);
    run_until_idle().await;
    harness.wait(2_250).await;
    assert_eq!(attempts(&mut two), [(OTHER, 1), (POISON, 2)]);
}

#[tokio::test]
async fn the_return_of_an_instance_takes_the_recorded_death_back() {
    let store = TestStore::free();
    let (harness, one) = with_poison(&store, options()).await;
    harness.stored_version.raise(STORED_VERSION);
    end(&harness, &one, SessionEnd::Died).await;
    let mut back = harness.join(2, "one", &[POISON, OTHER]);
    run_until_idle().await;
    assert_eq!(attempts(&mut back), [(POISON, 1), (OTHER, 1)]);
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let mut two = harness.join(3, "two", &[]);
    run_until_idle().await;
    harness.wait(2_000).await;
    assert_eq!(attempts(&mut two), [(POISON, 1), (OTHER, 1)]);
}

#[tokio::test]
async fn a_holder_of_an_earlier_assignment_does_not_take_the_death_of_the_next_instance_back() {
    let (harness, one) = with_poison(&TestStore::free(), options()).await;
    end(&harness, &one, SessionEnd::Died).await;
    // This instance has had the stream before, and has not received the release.
    let mut two = harness.join(2, "two", &[POISON]);
    run_until_idle().await;
    assert_eq!(attempts(&mut two), [(POISON, 2)]);
}

#[tokio::test]
async fn below_version_3_the_count_is_kept_in_memory_only() {
    let store = TestStore::free();
    let (harness, one) = with_poison(&store, options()).await;
    harness.stored_version.raise(2);
    let mut two = harness.join(2, "two", &[]);
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE + 100).await;
    harness.wait(1_000).await;
    assert_eq!(attempts(&mut two), [(OTHER, 1), (POISON, 2)]);
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let mut two = harness.join(2, "two", &[POISON]);
    run_until_idle().await;
    assert_eq!(attempts(&mut two), [(POISON, 1), (OTHER, 1)]);
}

#[tokio::test]
async fn a_stream_ends_after_the_greatest_count_of_attempts() {
    let options = PartitionOptions { max_attempts: 2, ..options() };
    let (mut harness, one) = with_poison(&TestStore::free(), options).await;
    let mut two = harness.join(2, "two", &[]);
    end(&harness, &one, SessionEnd::Died).await;
    harness.wait(CRASH_GRACE + 100).await;
    harness.wait(1_000).await;
    assert_eq!(attempts(&mut two), [(OTHER, 1), (POISON, 2)]);
    harness.edge_outputs();
    let mut three = harness.join(3, "three", &[]);
    end(&harness, &two, SessionEnd::Died).await;
    assert_eq!(attempts(&mut three), [(OTHER, 1)]);
    harness.wait(CRASH_GRACE).await;
    let mut outputs = three.outputs();
    outputs.retain(|output| !matches!(output, AppOutput::TransportChanged { .. }));
    let [AppOutput::Started(started), AppOutput::Ended { event: EventNumber(2), end: ended, .. }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(started.attempts, 1, "the message is dropped");
    let reset = Reset::new("application failed", false);
    assert_eq!(ended.reset, reset);
    let edge = harness.edge_outputs();
    let is_reset = |cause: Option<&CloseCause>| cause == Some(&CloseCause::Reset(reset.clone()));
    assert!(edge.iter().any(|frame| is_reset(frame.close_cause())), "{edge:?}");
    assert_eq!(harness.counters.ended[8].load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_new_session_gets_the_waiting_streams_in_batches() {
    let harness = with_streams(&TestStore::free(), 65).await;
    let mut one = harness.join(1, "one", &[]);
    run_until_idle().await;
    let mut counts = vec![one.started().len()];
    for _ in 0..2 {
        harness.wait(10).await;
        counts.push(one.started().len());
    }
    assert_eq!(counts, [32, 32, 1]);
}
