//! Budgets by address and by service: refused streams, waiting messages, freed and ended streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use minerva_proto::link::{Attach, Batch, Caller, CloseCause, CoreFrame};
use minerva_proto::{
    AddressKey, ClientProtocol, EventNumber, Generation, KeyHash, KeyProof, MessageNumber, Payload,
    Reset, Sack, StreamNumber,
};

use super::harness::{Harness, TestSession, hello, messages, options, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{Mail, SessionId};
use crate::state::{OutboxLimits, RetentionChange};
use crate::store::{STORED_VERSION, StoreFill};
use crate::stream::ABOVE_BUDGET;

const ONE: &str = "192.0.2.1";
const TWO: &str = "192.0.2.2";

pub(super) fn key(address: &str) -> AddressKey {
    AddressKey::of(address.parse().unwrap())
}

/// A `new` hello of a client with this address.
pub(super) fn hello_from(address: &str, transport: u64, stream: &str) -> Attach {
    let (peer_address, address) = (address.to_owned(), key(address));
    let caller = Caller { peer_address, address, ..Caller::default() };
    Attach { caller: Arc::new(caller), ..hello(transport, stream) }
}

async fn start(limits: Limits) -> Harness {
    Harness::start_with(&TestStore::free(), limits, options(), false).await
}

fn inbox_bytes(harness: &Harness) -> u64 {
    harness.counters.inbox_bytes.load(Ordering::Relaxed)
}

fn streams(harness: &Harness) -> u64 {
    harness.counters.streams.load(Ordering::Relaxed)
}

#[tokio::test]
async fn the_streams_of_an_address_are_limited() {
    for (count, is_refused) in [(2, false), (3, true), (4, true)] {
        let mut harness = start(Limits { max_streams_per_address: 3, ..Limits::default() }).await;
        for stream in 1..=count {
            harness.attach(hello_from(ONE, stream, &format!("stream{stream}")));
        }
        run_until_idle().await;
        harness.edge_outputs();
        harness.attach(hello_from(ONE, 10, "another"));
        run_until_idle().await;
        let refusal = ("too many streams of this address".to_owned(), 10);
        let expected = if is_refused { vec![refusal] } else { Vec::new() };
        assert_eq!(harness.refusals(), expected, "{count}");
        harness.attach(Attach { create: false, ..hello_from(ONE, 11, "stream1") });
        harness.attach(hello_from(TWO, 12, "of another address"));
        harness.attach(hello(13, "of an exempt client"));
        run_until_idle().await;
        assert_eq!(harness.refusals(), [], "{count}");
    }
}

#[tokio::test]
async fn no_message_is_taken_beyond_the_bytes_of_an_address() {
    for (held, is_taken) in [(99, true), (100, false), (101, false)] {
        let limits = Limits { max_held_bytes_per_address: 100, ..Limits::default() };
        let harness = start(limits).await;
        let _app = harness.join(1, "one", &[]);
        harness.attach(hello_from(ONE, 1, "stream1"));
        harness.attach(hello_from(ONE, 2, "stream2"));
        harness.attach(hello_from(TWO, 3, "stream3"));
        harness.batch(1, messages(0, 0, vec!["x".repeat(held).into()]));
        harness.batch(2, messages(0, 0, vec!["more".into()]));
        run_until_idle().await;
        let taken = held as u64 + if is_taken { 4 } else { 0 };
        assert_eq!(inbox_bytes(&harness), taken, "{held}");
        harness.batch(3, messages(0, 0, vec!["x".into()]));
        run_until_idle().await;
        assert_eq!(inbox_bytes(&harness), taken + 1, "{held}: another address");
        assert_eq!(harness.counters.blocked.load(Ordering::Relaxed), u64::from(!is_taken));
        let (session, stream, event) = (SessionId(1), StreamNumber(1), EventNumber(1));
        harness.send(Mail::Acknowledge { session, stream, event });
        harness.wait(200).await;
        assert_eq!(inbox_bytes(&harness), 5, "{held}: there is room again");
        assert_eq!(harness.counters.blocked.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_gap_is_filled_beyond_the_bytes_of_an_address() {
    let mut harness = start(Limits { max_held_bytes_per_address: 40, ..Limits::default() }).await;
    harness.attach(hello_from(ONE, 1, "stream1"));
    harness.attach(hello_from(ONE, 2, "stream2"));
    harness.batch(1, messages(0, 1, vec!["x".repeat(10).into()]));
    run_until_idle().await;
    harness.batch(2, messages(0, 1, vec!["waits".into()]));
    harness.batch(1, messages(1, 3, vec!["refused".into()]));
    run_until_idle().await;
    let gap = harness.counters.held_bytes.load(Ordering::Relaxed);
    assert_eq!((gap, inbox_bytes(&harness)), (40, 0), "nothing more waits behind a gap");
    assert_eq!(harness.refusals(), [("no room behind a gap".to_owned(), 1)]);
    harness.attach(Attach { create: false, ..hello_from(ONE, 3, "stream1") });
    harness.batch(3, messages(0, 0, vec!["first".into()]));
    run_until_idle().await;
    assert_eq!(inbox_bytes(&harness), 15);
}

#[tokio::test]
async fn the_inboxes_of_a_service_without_an_instance_are_limited() {
    for (held, is_taken) in [(99, true), (100, false), (101, false)] {
        let limits = Limits { max_inbox_bytes_per_service: 100, ..Limits::default() };
        let harness = start(limits).await;
        harness.attach(hello_from(ONE, 1, "stream1"));
        harness.attach(hello_from(TWO, 2, "stream2"));
        harness.batch(1, messages(0, 0, vec!["x".repeat(held).into()]));
        harness.batch(2, messages(0, 0, vec!["more".into()]));
        run_until_idle().await;
        let (before, all) = (held as u64, held as u64 + 4);
        assert_eq!(inbox_bytes(&harness), if is_taken { all } else { before }, "{held}");
        let _app = harness.join(1, "one", &[]);
        harness.wait(200).await;
        assert_eq!(inbox_bytes(&harness), all, "{held}: an instance serves the streams");
    }
}

fn end(harness: &Harness, transport: u64) {
    let reset = Some(Reset::new("bye", true));
    harness.batch(transport, Batch { reset, ..messages(0, 0, vec!["message".into()]) });
}

#[tokio::test]
async fn an_ended_stream_of_an_unknown_service_is_freed() {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.attach(hello_from(ONE, 1, "stream1"));
    harness.attach(hello_from(ONE, 2, "stream2"));
    end(&harness, 1);
    run_until_idle().await;
    harness.wait(4_999).await;
    assert_eq!((streams(&harness), inbox_bytes(&harness)), (2, 7), "an instance may return");
    harness.wait(1).await;
    assert_eq!((streams(&harness), inbox_bytes(&harness)), (1, 0));
    end(&harness, 2);
    run_until_idle().await;
    assert_eq!(streams(&harness), 0, "no instance is expected any more");
    assert_eq!(harness.counters.freed_unserved.load(Ordering::Relaxed), 2);
    harness.task.abort();
    let again = Harness::start(&store).await;
    assert_eq!(streams(&again), 0, "the store has freed the streams, too");
    let mut app = again.join(1, "one", &[]);
    run_until_idle().await;
    assert_eq!(app.started(), [], "a later instance has none of them");
}

#[tokio::test]
async fn an_ended_stream_of_a_known_service_is_kept() {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.send(Mail::KnownServices(["default".into()].into()));
    harness.attach(hello_from(ONE, 1, "stream1"));
    end(&harness, 1);
    harness.wait(5_000).await;
    assert_eq!((streams(&harness), inbox_bytes(&harness)), (1, 7));
    harness.task.abort();
    let again = Harness::start(&store).await;
    again.wait(60_000).await;
    assert_eq!(streams(&again), 1, "an earlier owner may have known the service");
    let mut app = again.join(1, "one", &[]);
    run_until_idle().await;
    assert_eq!(app.started(), [(1, false)]);
}

/// Streams of two addresses, each with this many bytes behind a gap.
async fn with_gaps(limits: Limits, of_one: &[usize], of_two: &[usize]) -> Harness {
    let mut harness = start(limits).await;
    let one = of_one.iter().map(|bytes| (ONE, bytes));
    for (number, (address, &bytes)) in (1..).zip(one.chain(of_two.iter().map(|b| (TWO, b)))) {
        harness.attach(hello_from(address, number, &format!("stream{number}")));
        harness.batch(number, messages(0, 1, vec!["x".repeat(bytes).into()]));
        run_until_idle().await;
    }
    harness.edge_outputs();
    harness
}

/// The transports closed by an end for lack of memory.
fn ended(harness: &mut Harness) -> Vec<u64> {
    let of = |frame: CoreFrame| {
        let CoreFrame::Transport { transport, .. } = frame else { return None };
        let Some(CloseCause::Reset(reset)) = frame.close_cause() else { return None };
        (reset.reason == ABOVE_BUDGET).then_some(transport.0)
    };
    harness.edge_outputs().into_iter().filter_map(of).collect()
}

/// Sets the used share of the store's memory, in per mille.
async fn fill(harness: &Harness, used: u64) {
    harness.memory.note_sample(Some(StoreFill { used, limit: 1000 }), u64::MAX);
    harness.memory.publish();
    run_until_idle().await;
}

#[tokio::test]
async fn only_streams_of_addresses_above_their_budget_are_ended() {
    // With 30 bytes of overhead for each message.
    for (budget, expected) in [(99, vec![1]), (100, vec![]), (101, vec![])] {
        let limits = Limits { max_held_bytes_per_address: budget, ..Limits::default() };
        let mut harness = with_gaps(limits, &[70], &[10, 10]).await;
        fill(&harness, 949).await;
        assert_eq!(ended(&mut harness), [0; 0], "{budget}");
        fill(&harness, 950).await;
        assert_eq!(ended(&mut harness), expected, "{budget}");
        harness.wait(5_000).await;
        assert_eq!(ended(&mut harness), [0; 0], "{budget}");
    }
}

#[tokio::test]
async fn the_largest_streams_are_ended_first_until_the_address_is_within_its_budget() {
    for (sizes, expected) in [([10, 20, 30], [3]), ([30, 10, 20], [1]), ([10, 30, 20], [2])] {
        let limits = Limits { max_held_bytes_per_address: 101, ..Limits::default() };
        let mut harness = with_gaps(limits, &sizes, &[]).await;
        fill(&harness, 950).await;
        assert_eq!(ended(&mut harness), expected, "{sizes:?}");
        harness.wait(5_000).await;
        assert_eq!(ended(&mut harness), [0; 0], "{sizes:?}");
    }
}

#[tokio::test]
async fn a_step_ends_few_streams_and_none_once_memory_is_free() {
    for (memory, further) in [(899, 0), (900, 1), (901, 1)] {
        let mut harness =
            start(Limits { max_held_bytes_per_address: 1, ..Limits::default() }).await;
        for number in 1..=17 {
            let stream = format!("stream{number}");
            harness.attach(hello(number, &stream));
            harness.batch(number, messages(0, 1, vec!["x".into()]));
            run_until_idle().await;
            harness.attach(Attach { create: false, ..hello_from(ONE, 100 + number, &stream) });
        }
        run_until_idle().await;
        harness.edge_outputs();
        fill(&harness, 950).await;
        assert_eq!(ended(&mut harness).len(), 16);
        harness.wait(499).await;
        assert_eq!(ended(&mut harness), [0; 0]);
        fill(&harness, memory).await;
        harness.wait(1).await;
        assert_eq!(ended(&mut harness).len(), further, "{memory}");
    }
}

/// A client with a session that has acknowledged messages of `bytes`, on a stream that retains all.
async fn retaining(harness: &Harness, app: &TestSession, address: &str, stream: u64, bytes: usize) {
    let proof = KeyProof { key: KeyHash([7; 16]), next: None, generation: Generation::default() };
    let protocol = ClientProtocol::V3(proof);
    harness.attach(Attach { protocol, ..hello_from(address, stream, &format!("stream{stream}")) });
    run_until_idle().await;
    let (session, number) = (app.handle.id, StreamNumber(stream));
    harness.send(Mail::SetLimits {
        session,
        stream: number,
        max_idle_ms: None,
        outbox: OutboxLimits::default(),
        retention: RetentionChange {
            messages: Some(100),
            bytes: Some(1000),
            age_ms: Some(1_000_000),
            hold: None,
        },
        ack_timeout_ms: None,
        compress: None,
    });
    let messages = vec!["x".repeat(10).into(); bytes / 10];
    let count = messages.len() as u64;
    let first = MessageNumber(0);
    harness.send(Mail::Send { session, stream: number, first, messages, acknowledge: None });
    run_until_idle().await;
    let sacks = vec![Sack::up_to(count - 1)];
    harness.batch(stream, Batch { sacks, ..messages_of(Vec::new()) });
    run_until_idle().await;
}

fn messages_of(list: Vec<Payload>) -> Batch {
    Batch { runs: Vec::new(), ..messages(0, 0, list) }
}

#[tokio::test]
async fn retained_messages_count_for_the_address_of_the_client() {
    let limits = Limits { max_retained_bytes_per_address: 100, ..Limits::default() };
    let mut harness = start(limits).await;
    harness.stored_version.raise(STORED_VERSION);
    let app = harness.join(1, "one", &[]);
    let retained = |harness: &Harness, address: &str| {
        harness.usage.retained.sums().get(&key(address)).map_or(0, |sums| sums.1)
    };
    for (stream, expected) in [(1, 60), (2, 100), (3, 100)] {
        retaining(&harness, &app, ONE, stream, 60).await;
        assert_eq!(retained(&harness, ONE), expected, "{stream}");
    }
    retaining(&harness, &app, TWO, 4, 70).await;
    assert_eq!((retained(&harness, ONE), retained(&harness, TWO)), (100, 70));
    harness.send(Mail::Reset {
        session: app.handle.id,
        stream: StreamNumber(1),
        reason: "over".to_owned(),
        application_level: true,
    });
    run_until_idle().await;
    assert_eq!(retained(&harness, ONE), 40, "an ended stream retains nothing");
    harness.edge_outputs();
    let usage = harness.usage.clone();
    harness.stop().await.unwrap();
    assert!(usage.retained.sums().is_empty());
}
