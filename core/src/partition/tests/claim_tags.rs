//! Claim tags: which records, streams and counts carry the tag of which owner.

use std::time::Duration;

use minerva_proto::link::{Attach, CoreFrame, CoreMessage};
use minerva_proto::{
    ClaimTag, LogIndex, MessageNumber, MessageTag, ReceivedTags, Sack, StreamNumber,
};

use super::harness::{Harness, TestSession, hello, run_until_idle, send};
use super::rollback::{is_attach_failure, is_lost, push};
use super::store::TestStore;
use crate::partition::Recovered;
use crate::state::{CreatedTags, StreamState, decode_entry};
use crate::store::{Epoch, Store as _};

/// The tag of the claim of `epoch` by the owner of the harness.
fn tag(epoch: u64) -> ClaimTag {
    ClaimTag::new(epoch, "core")
}

async fn start(store: &TestStore, version: u32) -> (Harness, TestSession) {
    let harness = Harness::start(store).await;
    harness.stored_version.raise(version);
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    (harness, app)
}

/// The state of stream 1 and the tags of the stream counts, as the next owner would recover them.
async fn recovered(store: &TestStore) -> (StreamState, CreatedTags, u64) {
    let claimed = store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap();
    let mut recovered = Recovered::from_claimed(0, &claimed).unwrap();
    let state = recovered.streams.remove(&StreamNumber(1)).unwrap();
    (state, recovered.meta.created_tags, recovered.meta.streams_made)
}

/// The tags of the received messages 0, 1, ….
fn received(state: &StreamState) -> Vec<Option<ClaimTag>> {
    let numbers = (0..).map(MessageNumber).take_while(|number| state.has_received(*number));
    numbers.map(|number| state.tag_of_received(number)).collect()
}

#[tokio::test(start_paused = true)]
async fn records_are_tagged_as_soon_as_the_version_in_force_permits_it() {
    let store = TestStore::free();
    let (harness, _app) = start(&store, 1).await;
    send(&harness, 0);
    run_until_idle().await;
    let untagged = store.durable.lock().unwrap().len();
    harness.stored_version.raise(2);
    send(&harness, 1);
    harness.attach(hello(2, "stream2"));
    run_until_idle().await;
    let entries = store.durable.lock().unwrap().clone();
    for (index, blob) in entries.into_iter().enumerate() {
        let entry = decode_entry(0, LogIndex(index as u64), blob).unwrap();
        let expected = if index < untagged { ClaimTag::UNKNOWN } else { tag(1) };
        assert_eq!(entry.tag, expected, "entry {index}");
    }
    let (state, created, made) = recovered(&store).await;
    assert_eq!(
        (state.created_tag(), received(&state)),
        (ClaimTag::UNKNOWN, vec![None, Some(tag(1))])
    );
    assert_eq!([created.of(1, made), created.of(2, made)], [None, Some(tag(1))]);
}

#[tokio::test(start_paused = true)]
async fn only_an_edge_with_the_feature_gets_tags() {
    for has_feature in [false, true] {
        let store = TestStore::free();
        let mut harness = Harness::start(&store).await;
        harness.link.claim_tags = has_feature;
        harness.stored_version.raise(2);
        harness.attach(hello(1, "stream1"));
        let app = harness.join(1, "one", &[]);
        run_until_idle().await;
        push(&harness, &app, "x");
        run_until_idle().await;
        let frames = harness.edge_outputs();
        let messages: Vec<_> = frames.iter().filter_map(|frame| frame.message()).collect();
        assert!(messages.iter().any(|message| matches!(message, CoreMessage::Messages(_))));
        assert_eq!(messages.contains(&&CoreMessage::Tag(tag(1))), has_feature);
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_keep_the_tag_of_the_owner_that_assigned_them() {
    let store = TestStore::free();
    let (harness, _app) = start(&store, 2).await;
    send(&harness, 0);
    run_until_idle().await;
    harness.stop().await.unwrap();
    let (harness, _app) = start(&store, 2).await;
    harness.batch(1, super::harness::messages(0, 1, vec!["next".into()]));
    harness.attach(hello(2, "stream2"));
    run_until_idle().await;
    let (state, created, made) = recovered(&store).await;
    assert_eq!(state.created_tag(), tag(1));
    assert_eq!(received(&state), [Some(tag(1)), Some(tag(2))]);
    assert_eq!([created.of(1, made), created.of(2, made)], [Some(tag(1)), Some(tag(2))]);
    harness.stop().await.unwrap();
    let (checkpointed, tags, _) = recovered(&store).await;
    assert_eq!(checkpointed.snapshot(), state.snapshot(), "a checkpoint keeps the tags");
    assert_eq!(tags, created);
}

#[tokio::test(start_paused = true)]
async fn a_rewrite_after_a_rollback_keeps_the_tags_of_old_numbers() {
    let store = TestStore::free();
    let (harness, _app) = start(&store, 2).await;
    let backup = store.inner.backup();
    send(&harness, 0);
    run_until_idle().await;
    store.inner.restore(&backup);
    send(&harness, 1);
    for _ in 0..50 {
        tokio::time::advance(Duration::from_millis(100)).await;
        run_until_idle().await;
    }
    send(&harness, 2);
    run_until_idle().await;
    let (state, ..) = recovered(&store).await;
    let epoch = store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap().epoch.0 - 1;
    assert!(epoch > 1, "the owner has claimed again");
    assert_eq!(received(&state), [Some(tag(1)), Some(tag(1)), Some(tag(epoch))]);
}

/// The answer to a client of an unknown stream that has received a message of a claim.
async fn answer_to(harness: &mut Harness, received: ClaimTag) -> CoreFrame {
    let tags = vec![MessageTag { first: MessageNumber(0), tag: received }];
    harness.attach(Attach {
        create: false,
        sack: Some(Sack::up_to(0)),
        tag_history: ReceivedTags::new(tags).unwrap(),
        ..hello(9, "forgotten")
    });
    run_until_idle().await;
    harness.edge_outputs().pop().unwrap()
}

/// The history of the store lacks the claim before the rewrite, although the rewrite has kept the messages of the claim.
#[tokio::test(start_paused = true)]
async fn a_claim_before_a_rewrite_is_no_proof_of_a_loss() {
    let store = TestStore::free();
    start(&store, 2).await.0.stop().await.unwrap();
    let backup = store.inner.backup();
    let (harness, _app) = start(&store, 2).await;
    send(&harness, 0);
    run_until_idle().await;
    store.inner.restore(&backup);
    send(&harness, 1);
    for _ in 0..50 {
        tokio::time::advance(Duration::from_millis(100)).await;
        run_until_idle().await;
    }
    harness.stop().await.unwrap();
    let claims = store.inner.backup().claim(0, "core", Epoch(0)).await.unwrap().claims;
    let epochs: Vec<u64> = claims.iter().map(|claim| claim.epoch.0).collect();
    assert!(epochs.contains(&1) && !epochs.contains(&2), "{epochs:?}");
    let mut harness = Harness::start(&store).await;
    harness.wait(2_000).await;
    let answer = answer_to(&mut harness, tag(2)).await;
    assert!(is_attach_failure(&answer), "{answer:?}");
    let answer = answer_to(&mut harness, ClaimTag::new(2, "other")).await;
    assert!(is_lost(&answer), "{answer:?}");
}
