//! Tests of the output gate: no output is released before the append that implies it is confirmed.
//!
//! A checker compares all outputs with the stored records. It must detect an open gate.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use minerva_proto::link::{Attach, Batch, CoreFrame, CoreMessage};
use minerva_proto::{EventNumber, LogIndex, MessageNumber, Reset, Sack, StreamNumber};

use super::harness::{Harness, TestSession, hello, messages, options, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::state::{Record, StreamState, decode_entry};
use crate::stream::AppOutput;

/// Collects the outputs that were released too early.
#[derive(Default)]
struct Checker {
    violations: Vec<String>,
    /// Number of checked outputs.
    outputs: usize,
}

/// The streams rebuilt from the stored records.
fn durable(store: &TestStore) -> BTreeMap<StreamNumber, StreamState> {
    let mut streams = BTreeMap::new();
    for (index, blob) in (0..).map(LogIndex).zip(store.durable.lock().unwrap().iter()) {
        let entry = decode_entry(0, index, blob.clone()).unwrap();
        for (number, record) in entry.records {
            if let Record::Opened { origin, max_idle_ms } = &record {
                streams.insert(number, StreamState::new(origin.clone(), *max_idle_ms, entry.tag));
                continue;
            }
            let state: &mut StreamState = streams.get_mut(&number).unwrap();
            state.apply(&record, entry.tag).unwrap();
        }
    }
    streams
}

impl Checker {
    fn expect(&mut self, is_durable: bool, output: impl std::fmt::Debug) {
        self.outputs += 1;
        if !is_durable {
            self.violations.push(format!("{output:?}"));
        }
    }

    /// Transport `n` belongs to stream `n`, and batch `n` contains message `n`.
    fn check(&mut self, store: &TestStore, edge: Vec<CoreFrame>, app: Vec<AppOutput>) {
        let streams = durable(store);
        let acked = |stream: StreamNumber, sack: &Sack| {
            let stored = streams.get(&stream).map(|state| state.sack().acked);
            stored.is_some_and(|stored| sack.acked <= stored)
        };
        for frame in edge {
            let is_durable = match &frame {
                CoreFrame::Transport { transport, message } => {
                    let stream = StreamNumber(transport.0);
                    match message {
                        CoreMessage::Renew(_) => true,
                        CoreMessage::Opened { .. } => streams.contains_key(&stream),
                        CoreMessage::Sack(sack) => acked(stream, sack),
                        CoreMessage::Close(close) => match &close.sack {
                            Some(sack) => acked(stream, sack),
                            None => streams.get(&stream).is_some_and(StreamState::is_ended),
                        },
                        CoreMessage::Taken(batch) => acked(stream, &Sack::up_to(batch.0)),
                        CoreMessage::Tag(_) | CoreMessage::Compress(_) => true,
                        CoreMessage::Messages(run) => {
                            let state = streams.get(&stream);
                            state.is_some_and(|state| run.end() <= state.outbox().next())
                        }
                    }
                }
                CoreFrame::Owned(_) | CoreFrame::Released(_) => true,
            };
            self.expect(is_durable, frame);
        }
        for output in app {
            let is_durable = match &output {
                AppOutput::Started(started) => {
                    streams.get(&started.stream).is_some_and(StreamState::was_assigned)
                }
                AppOutput::Messages { stream, first_event, messages, .. } => {
                    let state = streams.get(stream);
                    state.is_some_and(|s| *first_event + messages.len() as u64 <= s.inbox().next())
                }
                AppOutput::Rejoined { stream, event, .. } => {
                    streams.get(stream).is_some_and(|s| *event < s.inbox().next())
                }
                AppOutput::Ended { stream, .. } => {
                    streams.get(stream).is_some_and(StreamState::is_ended)
                }
                AppOutput::SendState { stream, state, .. } => {
                    streams.get(stream).is_some_and(|s| state.next_send <= s.outbox().next())
                }
                AppOutput::TransportChanged { .. }
                | AppOutput::SendRefused { .. }
                | AppOutput::Released { .. }
                | AppOutput::Lost { .. }
                | AppOutput::PartitionOwned { .. }
                | AppOutput::PartitionLeft { .. }
                | AppOutput::GroupRefused { .. }
                | AppOutput::Renewed { .. }
                | AppOutput::Synced { .. }
                | AppOutput::CommandRefused { .. } => true,
            };
            self.expect(is_durable, output);
        }
    }
}

/// One step of the client and the application on the streams 1 to 3.
fn act(harness: &Harness, app: &TestSession, step: u64) {
    let stream = step % 3 + 1;
    let round = step / 3;
    if round == 0 {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    let message = format!("c{round}").into();
    let sacks = round.checked_sub(3).map(Sack::up_to).into_iter().collect();
    let reset = (round == 12).then(|| Reset::new("bye", true));
    harness.batch(stream, Batch { sacks, reset, ..messages(round, round, vec![message]) });
    harness.send(Mail::Send {
        session: app.handle.id,
        stream: StreamNumber(stream),
        first: MessageNumber(round),
        messages: vec![format!("s{round}").into()],
        acknowledge: round.checked_sub(4).map(EventNumber),
    });
}

/// A conversation over a store whose appends are released one by one.
async fn converse(is_gate_open: bool) -> Checker {
    let store = TestStore::held();
    // No checkpoints: the checker reads the records.
    let mut harness = Harness::start_with(&store, Limits::default(), options(), is_gate_open).await;
    let mut app = harness.join(5, "instance", &[]);
    let mut checker = Checker::default();
    for step in 0..3 * 13 {
        act(&harness, &app, step);
        run_until_idle().await;
        checker.check(&store, harness.edge_outputs(), app.outputs());
        if step % 2 == 0 {
            store.permits.add_permits(1);
            run_until_idle().await;
            checker.check(&store, harness.edge_outputs(), app.outputs());
        }
    }
    store.permits.add_permits(1000);
    run_until_idle().await;
    checker.check(&store, harness.edge_outputs(), app.outputs());
    assert!(durable(&store).values().all(StreamState::is_ended));
    checker
}

#[tokio::test]
async fn no_output_is_released_before_its_records_are_durable() {
    let checker = converse(false).await;
    assert_eq!(checker.violations, [""; 0]);
    assert!(checker.outputs > 150, "{}", checker.outputs);
}

#[tokio::test]
async fn the_checker_detects_an_open_gate() {
    let checker = converse(true).await;
    assert!(checker.violations.len() > 20, "{:?}", checker.violations);
}

#[tokio::test]
async fn the_number_of_turns_in_flight_is_bounded() {
    let store = TestStore::held();
    let mut harness = Harness::start(&store).await;
    for stream in 1..=20 {
        harness.attach(hello(stream, &format!("stream{stream}")));
        run_until_idle().await;
    }
    assert_eq!(harness.counters.appends.load(Ordering::Relaxed), 8);
    store.permits.add_permits(1000);
    run_until_idle().await;
    assert_eq!(harness.edge_outputs().len(), 20, "all attaches are answered");
    assert_eq!(
        harness.counters.appends.load(Ordering::Relaxed),
        9,
        "the waiting attaches share one turn"
    );
}

#[tokio::test]
async fn a_turn_without_records_waits_for_earlier_turns() {
    let store = TestStore::held();
    let mut harness = Harness::start(&store).await;
    harness.attach(hello(1, "one"));
    run_until_idle().await;
    let unknown = Attach { create: false, ..hello(2, "unknown") };
    harness.attach(unknown);
    run_until_idle().await;
    assert_eq!(harness.edge_outputs(), []);
    store.permits.add_permits(1);
    run_until_idle().await;
    assert_eq!(harness.edge_outputs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_retried() {
    for fails_after in [false, true] {
        let store = TestStore::free();
        store.failures.store(5, Ordering::Relaxed);
        store.fails_after.store(fails_after, Ordering::Relaxed);
        let mut harness = Harness::start(&store).await;
        for stream in 1..=4 {
            harness.attach(hello(stream, &format!("stream{stream}")));
            run_until_idle().await;
        }
        assert_eq!(harness.edge_outputs(), []);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert_eq!(harness.edge_outputs().len(), 4);
        harness.stop().await.unwrap();
        let claimed =
            crate::store::Store::claim(&store, 0, "core", crate::store::Epoch(0)).await.unwrap();
        assert_eq!(claimed.streams.len(), 4, "each stream once");
    }
}
