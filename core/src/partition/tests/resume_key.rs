//! Attach of transports of version 3: the version of a stream, the resume key, and the ends of streams.

use minerva_proto::link::{Attach, Batch, CloseCause, CoreFrame};
use minerva_proto::mutation::{Mutation, activate};
use minerva_proto::{
    ClientProtocol, EventNumber, Generation, KeyHash, KeyProof, Payload, Reset, Sack, StreamNumber,
};

use super::harness::{
    Harness, TestSession, hello, is_opened, messages, options, requesting, run_until_idle,
};
use super::rollback::{is_attach_failure, is_lost, is_undecided};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::Mail;
use crate::stream::AppOutput;

const KEY: [u8; 16] = [7; 16];

/// Proofs without the key of the stream: no key, another first byte, another last byte.
fn wrong_proofs() -> [ClientProtocol; 3] {
    let [mut first, mut last] = [KEY; 2];
    (first[0], last[15]) = (0, 0);
    [ClientProtocol::V2, proof(first), proof(last)]
}

fn proof(key: [u8; 16]) -> ClientProtocol {
    ClientProtocol::V3(KeyProof {
        key: KeyHash(key),
        next: None,
        generation: Generation::default(),
    })
}

/// A `new` hello of version 3.
fn new(transport: u64, stream: &str) -> Attach {
    Attach { protocol: proof(KEY), ..hello(transport, stream) }
}

/// A later hello.
fn later(transport: u64, stream: &str) -> Attach {
    Attach { create: false, ..new(transport, stream) }
}

/// A later hello of a client that has received a SACK.
fn with_history(transport: u64, stream: &str) -> Attach {
    Attach { seen_ack: Sack::up_to(0), ..later(transport, stream) }
}

fn is_wrong_version(frame: &CoreFrame) -> bool {
    frame.close_cause() == Some(&CloseCause::WrongVersion)
}

fn is_reset(frame: &CoreFrame, reason: &str) -> bool {
    frame.close_cause() == Some(&CloseCause::Reset(Reset::new(reason, true)))
}

async fn start(store: &TestStore) -> Harness {
    let harness = Harness::start(store).await;
    harness.stored_version.raise(5);
    harness
}

async fn answer(harness: &mut Harness, attach: Attach) -> CoreFrame {
    harness.edge_outputs();
    harness.attach(attach);
    run_until_idle().await;
    harness.edge_outputs().into_iter().next().unwrap()
}

/// The application ends stream 1, and acknowledges the end if `is_forgotten`.
async fn end(harness: &Harness, app: &TestSession, is_forgotten: bool) {
    let (session, stream, reason) = (app.handle.id, StreamNumber(1), "over".to_owned());
    harness.send(Mail::Reset { session, stream, reason, application_level: true });
    if is_forgotten {
        run_until_idle().await;
        harness.send(Mail::Acknowledge { session, stream, event: EventNumber(1) });
    }
    run_until_idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_one_version_for_life() {
    let mut harness = start(&TestStore::free()).await;
    let _app = harness.join(1, "one", &[]);
    assert!(is_opened(&answer(&mut harness, hello(1, "old")).await));
    assert!(is_opened(&answer(&mut harness, new(2, "new")).await));
    for create in [true, false] {
        let to_old = answer(&mut harness, Attach { create, ..new(3, "old") }).await;
        assert!(is_wrong_version(&to_old), "{to_old:?}");
        let to_new = answer(&mut harness, Attach { create, ..hello(4, "new") }).await;
        assert!(is_attach_failure(&to_new), "{to_new:?}");
    }
    assert!(is_opened(&answer(&mut harness, Attach { create: false, ..hello(5, "old") }).await));
    assert!(is_opened(&answer(&mut harness, Attach { create: false, ..new(6, "new") }).await));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_new_hello_finds_its_own_stream() {
    let mut harness = start(&TestStore::free()).await;
    let mut app = harness.join(1, "one", &[]);
    for transport in 1..=3 {
        assert!(is_opened(&answer(&mut harness, new(transport, "stream1")).await));
    }
    assert_eq!(app.started(), [(1, false)]);
    for protocol in wrong_proofs() {
        let foreign = answer(&mut harness, Attach { protocol, ..new(4, "stream1") }).await;
        assert!(is_attach_failure(&foreign), "{foreign:?}");
    }
    assert_eq!(app.started(), []);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_and_an_unknown_id_get_the_same_answer() {
    // A live stream, one that is over, and a forgotten one.
    for state in 0..3 {
        let store = TestStore::free();
        let harness = start(&store).await;
        let app = harness.join(1, "one", &[]);
        harness.attach(new(1, "stream1"));
        run_until_idle().await;
        if state > 0 {
            end(&harness, &app, state == 2).await;
        }
        let mut harness = if state == 2 {
            harness
        } else {
            harness.stop().await.unwrap();
            start(&store).await
        };
        // During the grace time of a new owner and afterwards.
        for after in [0, Limits::default().max_idle_ms() / 2] {
            harness.wait(after).await;
            for protocol in wrong_proofs() {
                let foreign = Attach { protocol, ..with_history(5, "stream1") };
                let unknown = Attach { protocol, ..with_history(5, "unknown") };
                let expected = answer(&mut harness, unknown).await;
                assert_eq!(answer(&mut harness, foreign).await, expected, "{state} {protocol:?}");
                let in_grace = after == 0;
                assert!(is_undecided(&expected) == in_grace, "{expected:?}");
                assert!(is_attach_failure(&expected) != in_grace, "{expected:?}");
            }
        }
        let own = answer(&mut harness, later(6, "stream1")).await;
        assert!(if state == 0 { is_opened(&own) } else { is_reset(&own, "over") }, "{own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_a_stream_that_is_over_gets_the_reason() {
    for is_forgotten in [false, true] {
        let mut harness = start(&TestStore::free()).await;
        let mut app = harness.join(1, "one", &[]);
        harness.attach(new(1, "stream1"));
        run_until_idle().await;
        end(&harness, &app, is_forgotten).await;
        app.outputs();
        // Also a `new` hello, whose first answer was lost.
        for attach in [new(2, "stream1"), later(3, "stream1")] {
            let own = answer(&mut harness, attach.clone()).await;
            assert!(is_reset(&own, "over"), "{own:?}");
            for protocol in wrong_proofs() {
                let foreign = answer(&mut harness, Attach { protocol, ..attach.clone() }).await;
                assert!(is_attach_failure(&foreign), "{protocol:?}: {foreign:?}");
            }
        }
        assert_eq!(app.started(), [], "no second stream");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_reset_changes_nothing() {
    let mut harness = start(&TestStore::free()).await;
    let app = harness.join(1, "one", &[]);
    harness.attach(new(1, "stream1"));
    run_until_idle().await;
    let reset = Some(Reset::new("foreign", true));
    let batch = Batch { reset, ..messages(0, 0, Vec::new()) };
    let foreign = |transport| {
        let batch = Some(batch.clone());
        Attach { protocol: wrong_proofs()[1], batch, ..later(transport, "stream1") }
    };
    assert!(is_attach_failure(&answer(&mut harness, foreign(2)).await));
    assert!(is_opened(&answer(&mut harness, later(3, "stream1")).await));
    end(&harness, &app, true).await;
    assert!(is_attach_failure(&answer(&mut harness, foreign(4)).await));
    assert!(is_reset(&answer(&mut harness, later(5, "stream1")).await, "over"));
}

/// The tombstones of a partition outlive the owner after a rollback.
#[tokio::test(start_paused = true)]
async fn a_later_owner_knows_the_keys_of_forgotten_streams() {
    let store = TestStore::free();
    let harness = start(&store).await;
    let app = harness.join(1, "one", &[]);
    harness.attach(new(1, "stream1"));
    run_until_idle().await;
    end(&harness, &app, true).await;
    // An instance holds a stream that the store has never recorded.
    let _other = harness.join(2, "two", &[9]);
    run_until_idle().await;
    harness.stop().await.unwrap();
    let mut harness = start(&store).await;
    let own = answer(&mut harness, with_history(2, "stream1")).await;
    assert!(is_attach_failure(&own), "{own:?}");
    let foreign = Attach { protocol: wrong_proofs()[1], ..with_history(3, "stream1") };
    let foreign = answer(&mut harness, foreign).await;
    assert!(is_lost(&foreign), "as for an unknown id: {foreign:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_kinds_of_messages_survives_its_owner() {
    let store = TestStore::free();
    let contents: Vec<Payload> =
        vec!["\u{e9}\0\n".into(), Payload::binary(&[0, 0xff][..]), "".into()];
    // From the log, and from a checkpoint.
    for is_stopped in [false, true] {
        let harness = start(&store).await;
        let name = format!("stream{is_stopped}");
        let batch = Some(messages(0, 0, contents.clone()));
        harness.attach(Attach { batch, ..new(1, &name) });
        run_until_idle().await;
        if is_stopped {
            harness.stop().await.unwrap();
        } else {
            harness.task.abort();
        }
        let mut harness = start(&store).await;
        let mut app = harness.join(1, "one", &[]);
        run_until_idle().await;
        let received = app.outputs().into_iter().find_map(|output| {
            if let AppOutput::Messages { messages, .. } = output { Some(messages) } else { None }
        });
        assert_eq!(received.as_ref(), Some(&contents));
        let own = later(2, &name);
        assert!(is_opened(&answer(&mut harness, own.clone()).await));
        let foreign = Attach { protocol: wrong_proofs()[2], ..own };
        assert!(is_attach_failure(&answer(&mut harness, foreign).await));
        end(&harness, &app, false).await;
        harness.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn streams_of_version_3_are_created_from_stored_version_5_on() {
    let mut harness = Harness::start(&TestStore::free()).await;
    let _app = harness.join(1, "one", &[]);
    for (version, is_created) in [(1, false), (4, false), (5, true)] {
        harness.stored_version.raise(version);
        let created = answer(&mut harness, new(version.into(), "stream1")).await;
        assert_eq!((is_opened(&created), is_wrong_version(&created)), (is_created, !is_created));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_version_3_is_served_by_instances_with_message_kinds() {
    let mut harness = start(&TestStore::free()).await;
    let mut old = harness.join_without_kinds(1, "old");
    let refused = answer(&mut harness, new(1, "stream1")).await;
    assert!(is_wrong_version(&refused), "no instance has the feature: {refused:?}");
    let mut able = harness.join(2, "able", &[]);
    for stream in 1..=4 {
        harness.attach(new(stream, &format!("stream{stream}")));
    }
    run_until_idle().await;
    assert_eq!((old.started(), able.started().len()), (vec![], 4));
    // The other instance does not get them, even if it reports to hold one.
    harness.send(Mail::InstanceLeft(able.handle.id, crate::partition::SessionEnd::Left));
    harness.wait(10_000).await;
    assert_eq!(old.started(), []);
    let mut next = harness.join(3, "next", &[]);
    harness.wait(10_000).await;
    assert_eq!((old.started(), next.started().len()), (vec![], 4));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_version_3_waits_for_the_first_instance_of_its_service() {
    let options = options();
    let limits = Limits { max_unserved: 1, ..Limits::default() };
    let mut harness = Harness::start_with(&TestStore::free(), limits, options, false).await;
    harness.stored_version.raise(5);
    assert!(is_opened(&answer(&mut harness, new(1, "stream1")).await));
    let full = answer(&mut harness, new(2, "stream2")).await;
    assert!(is_undecided(&full), "{full:?}");
    harness.wait(60_000).await;
    let caller = requesting("another");
    assert!(is_undecided(&answer(&mut harness, Attach { caller, ..new(3, "stream3") }).await));
}

#[tokio::test(start_paused = true)]
async fn a_key_of_equal_prefix_is_another_key() {
    let mut harness = start(&TestStore::free()).await;
    let _app = harness.join(1, "one", &[]);
    harness.attach(new(1, "stream1"));
    run_until_idle().await;
    let similar = || Attach { protocol: wrong_proofs()[2], ..later(2, "stream1") };
    activate(Some(Mutation::ComparePrefix));
    let admitted = answer(&mut harness, similar()).await;
    activate(None);
    assert!(is_opened(&admitted), "the mutation has an effect");
    assert!(is_attach_failure(&answer(&mut harness, similar()).await));
}

/// Whether a hello opens its transport; an adoption closes others before.
async fn opens(harness: &mut Harness, attach: Attach) -> bool {
    harness.edge_outputs();
    harness.attach(attach);
    run_until_idle().await;
    harness.edge_outputs().iter().any(is_opened)
}

/// A hello of a generation that has received no welcome if there is a key `next`.
fn of_generation(transport: u64, number: u32, key: [u8; 16], next: Option<[u8; 16]>) -> Attach {
    let generation = Generation { number, ..Generation::default() };
    let proof = KeyProof { key: KeyHash(key), next: next.map(KeyHash), generation };
    Attach { protocol: ClientProtocol::V3(proof), ..later(transport, "stream1") }
}

#[tokio::test(start_paused = true)]
async fn the_key_rotates_with_each_generation() {
    const NEXT: [u8; 16] = [1; 16];
    let mut harness = start(&TestStore::free()).await;
    let _app = harness.join(1, "one", &[]);
    assert!(is_opened(&answer(&mut harness, new(1, "stream1")).await));
    let early = answer(&mut harness, of_generation(2, 1, KEY, Some(NEXT))).await;
    assert!(is_wrong_version(&early), "a live core cannot read sessions: {early:?}");
    harness.stored_version.raise(6);
    for transport in [3, 4] {
        // The second hello has not received the answer to the first one.
        let adopting = of_generation(transport, 1, KEY, Some(NEXT));
        assert!(opens(&mut harness, adopting).await, "{transport}");
    }
    assert!(is_opened(&answer(&mut harness, of_generation(5, 1, NEXT, None)).await));
    let older = answer(&mut harness, later(6, "stream1")).await;
    assert_eq!(older.close_cause(), Some(&CloseCause::Superseded));
    for foreign in [
        of_generation(7, 1, KEY, None),
        of_generation(8, 1, KEY, Some([9; 16])),
        of_generation(9, 2, KEY, Some([9; 16])),
        of_generation(10, 2, NEXT, None),
    ] {
        let refused = answer(&mut harness, foreign).await;
        assert!(is_attach_failure(&refused), "{refused:?}");
    }
    // A page load behind one that has not received its welcome.
    assert!(opens(&mut harness, of_generation(11, 3, KEY, Some(NEXT))).await);
}
