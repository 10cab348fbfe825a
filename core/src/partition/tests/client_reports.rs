//! Reports of clients about a loss: numbers and claim tags, which a client can invent, decide about its own stream only.

use minerva_proto::link::{Attach, Batch, CoreFrame, CreatedStream, Resume};
use minerva_proto::{ClaimTag, MessageNumber, MessageTag, ReceivedTags, Reset, Sack, StreamNumber};

use super::harness::{Harness, hello, messages, run_until_idle, send};
use super::rollback::{is_attach_failure, is_lost, push, reconnect};
use super::store::TestStore;

/// A claim that nobody has made.
fn invented() -> ClaimTag {
    ClaimTag::new(99, "nobody")
}

fn history() -> ReceivedTags {
    ReceivedTags::new(vec![MessageTag { first: MessageNumber(0), tag: invented() }]).unwrap()
}

/// The second owner of a partition with one stream, which has received one message and has no s2c message.
async fn second_owner(store: &TestStore) -> Harness {
    let harness = Harness::start(store).await;
    harness.stored_version.raise(2);
    harness.attach(hello(1, "stream1"));
    let _app = harness.join(1, "one", &[]);
    send(&harness, 0);
    run_until_idle().await;
    harness.stop().await.unwrap();
    let harness = Harness::start(store).await;
    harness.stored_version.raise(2);
    harness
}

/// The answer to a hello of an existing stream.
async fn answer(harness: &mut Harness, attach: Attach) -> CoreFrame {
    harness.attach(Attach { create: false, ..attach });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

/// The answer to another client, whose stream the partition does not hold.
async fn answer_to_another(harness: &mut Harness) -> CoreFrame {
    reconnect(harness, "another", Sack::NONE).await
}

#[tokio::test(start_paused = true)]
async fn invented_reports_end_their_own_stream_alone() {
    let created = |tag, count| Some(CreatedStream { stream: StreamNumber(count), tag });
    let beyond = || Some(Sack::up_to(5));
    let hello = |id| hello(7, id);
    for (shown, attach) in [
        ("a tag, unknown stream", Attach { tag_history: history(), ..hello("unknown") }),
        ("a creation, unknown", Attach { created: created(invented(), 1), ..hello("unknown") }),
        ("a number, unknown", Attach { created: created(invented(), 8), ..hello("unknown") }),
        ("a creation", Attach { created: created(invented(), 8), ..hello("stream1") }),
        ("seen messages", Attach { seen_ack: Sack::up_to(5), ..hello("stream1") }),
        ("a SACK", Attach { sack: beyond(), ..hello("stream1") }),
    ] {
        let store = TestStore::free();
        let mut harness = second_owner(&store).await;
        let own = answer(&mut harness, attach).await;
        assert!(is_lost(&own), "{shown}: {own:?}");
        let other = answer_to_another(&mut harness).await;
        assert!(is_attach_failure(&other), "{shown}: {other:?}");
        harness.stop().await.unwrap();
        let mut harness = Harness::start(&store).await;
        let other = answer_to_another(&mut harness).await;
        assert!(is_attach_failure(&other), "{shown}, next owner: {other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reports_on_an_attached_transport_change_no_answer_to_others() {
    let batch = || Batch { runs: Vec::new(), ..messages(0, 0, Vec::new()) };
    let lost = Reset::new("state lost", false);
    for (shown, batch) in [
        ("a tag", Batch { tag_history: history(), ..batch() }),
        ("a SACK", Batch { sacks: vec![Sack::up_to(5)], ..batch() }),
        ("a reset", Batch { reset: Some(lost), ..batch() }),
    ] {
        let store = TestStore::free();
        let mut harness = second_owner(&store).await;
        let tag_history = history();
        harness.attach(Attach { create: false, tag_history, ..hello(7, "stream1") });
        run_until_idle().await;
        harness.batch(7, batch);
        run_until_idle().await;
        let other = answer_to_another(&mut harness).await;
        assert!(is_attach_failure(&other), "{shown}: {other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_proves_a_rollback_to_others() {
    for (shown, next_s2c, tag) in
        [("a claim", None, invented()), ("a message", Some(MessageNumber(5)), ClaimTag::UNKNOWN)]
    {
        let store = TestStore::free();
        let mut harness = second_owner(&store).await;
        let resume = Some(Resume { stream: StreamNumber(1), next_s2c, tag });
        answer(&mut harness, Attach { resume, ..hello(7, "stream1") }).await;
        let other = answer_to_another(&mut harness).await;
        assert!(is_lost(&other), "{shown}: {other:?}");
    }
}

/// After a rollback that a client alone has reported, the next owner knows which numbers no client can have, and which
/// streams were lost.
#[tokio::test(start_paused = true)]
async fn the_next_owner_keeps_the_knowledge_about_each_stream() {
    let store = TestStore::free();
    let harness = Harness::start(&store).await;
    harness.attach(hello(1, "stream1"));
    harness.attach(hello(2, "stream2"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let backup = store.inner.backup();
    push(&harness, &app, "lost");
    run_until_idle().await;
    harness.task.abort();
    store.inner.restore(&backup);
    let mut harness = Harness::start(&store).await;
    let app = harness.join(2, "two", &[]);
    harness.wait(2_000).await;
    push(&harness, &app, "another");
    let reported = reconnect(&mut harness, "stream2", Sack::up_to(0)).await;
    assert!(is_lost(&reported), "{reported:?}");
    harness.stop().await.unwrap();
    let mut harness = Harness::start(&store).await;
    let sack = Some(Sack::up_to(0));
    let own = answer(&mut harness, Attach { sack, ..hello(4, "stream1") }).await;
    assert!(is_lost(&own), "{own:?}");
    let other = answer_to_another(&mut harness).await;
    assert!(is_attach_failure(&other), "{other:?}");
}
