//! Assignment of streams to sessions; a stopped, fenced or overloaded partition.

use std::sync::atomic::Ordering;

use minerva_proto::link::{Attach, CloseCause, CoreFrame, TransportId};
use minerva_proto::{
    EventNumber, KillReason, LogIndex, MessageNumber, PartitionHash, Payload, StreamNumber,
};

use super::harness::{
    Harness, LINK, hello, is_opened, messages, options, requesting, run_until_idle,
};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{
    LinkHandle, MAILBOX_ATTACH_LIMIT, Mail, PartitionOptions, PartitionTable, SessionEnd,
    output_channel,
};
use crate::store::{Epoch, Store, StoreError};
use crate::stream::AppOutput;

pub(super) async fn with_streams(store: &TestStore, count: u64) -> Harness {
    let harness = Harness::start(store).await;
    for stream in 1..=count {
        harness.attach(hello(stream, &format!("stream{stream}")));
    }
    run_until_idle().await;
    harness
}

pub(super) fn is_unavailable(output: &CoreFrame) -> bool {
    matches!(output.close_cause(), Some(CloseCause::Unavailable { .. }))
}

fn is_moved(output: &CoreFrame) -> bool {
    output.close_cause() == Some(&CloseCause::Moved)
}

#[tokio::test]
async fn the_least_loaded_session_gets_a_stream_and_keeps_it() {
    let harness = with_streams(&TestStore::free(), 2).await;
    let mut one = harness.join(1, "one", &[]);
    run_until_idle().await;
    let mut two = harness.join(2, "two", &[]);
    run_until_idle().await;
    assert_eq!(
        one.started(),
        [(1, false), (2, false)],
        "the first session gets the waiting streams"
    );
    assert_eq!(two.started(), []);
    harness.attach(hello(3, "stream3"));
    run_until_idle().await;
    assert_eq!(two.started(), [(3, false)]);
    assert_eq!(one.handle.load.load(Ordering::Relaxed), 2);
    assert_eq!(two.handle.load.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn streams_are_reassigned_after_the_grace_time() {
    let harness = with_streams(&TestStore::free(), 1).await;
    let first = harness.join(1, "one", &[]);
    let mut other = harness.join(2, "two", &[]);
    run_until_idle().await;
    harness.send(Mail::InstanceLeft(first.handle.id, SessionEnd::Left));
    run_until_idle().await;
    harness.wait(1999).await;
    assert_eq!(other.started(), []);
    let mut back = harness.join(3, "one", &[]);
    run_until_idle().await;
    assert_eq!(back.started(), [(1, true)]);
    harness.send(Mail::InstanceLeft(back.handle.id, SessionEnd::Left));
    run_until_idle().await;
    harness.wait(1999).await;
    assert_eq!(other.started(), []);
    harness.wait(1).await;
    assert_eq!(other.started(), [(1, true)]);
    assert_eq!(back.handle.load.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn held_streams_are_assigned_or_released() {
    let harness = with_streams(&TestStore::free(), 2).await;
    let first = harness.join(1, "one", &[]);
    run_until_idle().await;
    harness.send(Mail::InstanceLeft(first.handle.id, SessionEnd::Left));
    let mut other = harness.join(2, "two", &[1]);
    run_until_idle().await;
    let outputs = other.outputs();
    assert!(
        outputs.iter().any(|o| matches!(o, AppOutput::Started(s) if s.stream == StreamNumber(1)))
    );
    let mut late = harness.join(3, "three", &[1]);
    run_until_idle().await;
    assert_eq!(late.outputs(), [AppOutput::Released { stream: StreamNumber(1) }]);
}

#[tokio::test]
async fn a_new_session_of_an_instance_replaces_the_old_one() {
    let harness = with_streams(&TestStore::free(), 1).await;
    let mut first = harness.join(1, "one", &[]);
    run_until_idle().await;
    first.outputs();
    let mut again = harness.join(2, "one", &[]);
    run_until_idle().await;
    harness.wait(100).await;
    harness.send(Mail::InstanceLeft(first.handle.id, SessionEnd::Left));
    harness.batch(1, messages(0, 0, vec!["a".into()]));
    run_until_idle().await;
    assert_eq!(first.outputs(), []);
    assert_eq!(again.outputs().len(), 2, "Started and the message");
}

#[tokio::test]
async fn after_a_recovery_a_holder_gets_its_streams() {
    let store = TestStore::free();
    let harness = with_streams(&store, 2).await;
    let first = harness.join(1, "one", &[]);
    run_until_idle().await;
    drop(first);
    harness.attach(hello(3, "stream3"));
    run_until_idle().await;
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let mut any = harness.join(2, "two", &[]);
    let mut holder = harness.join(3, "three", &[2]);
    run_until_idle().await;
    assert_eq!(any.started(), []);
    assert_eq!(holder.started(), [(2, true)]);
    harness.wait(2000).await;
    assert_eq!(
        any.started(),
        [(1, true), (3, true)],
        "the less loaded session, then the first of two"
    );
    assert_eq!(holder.started(), []);
}

#[tokio::test]
async fn after_a_recovery_streams_return_to_their_instance() {
    let store = TestStore::free();
    let harness = with_streams(&store, 2).await;
    harness.join(1, "one", &[]);
    run_until_idle().await;
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let mut other = harness.join(2, "two", &[]);
    let mut back = harness.join(3, "one", &[]);
    run_until_idle().await;
    assert_eq!(other.started(), []);
    assert_eq!(back.started(), [(1, true), (2, true)]);
}

#[tokio::test]
async fn the_epoch_is_reported_after_all_streams_of_an_instance() {
    let store = TestStore::free();
    let harness = with_streams(&store, 1).await;
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let mut app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let outputs: Vec<_> = std::iter::from_fn(|| app.app.try_next()).collect();
    let [AppOutput::Started(started), AppOutput::PartitionOwned { partition: 0, epoch, .. }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((started.epoch, *epoch), (Epoch(2), Epoch(2)));
}

#[tokio::test]
async fn a_fenced_partition_stops_at_once() {
    let store = TestStore::free();
    let mut harness = with_streams(&store, 2).await;
    let mut app = harness.join(1, "one", &[]);
    run_until_idle().await;
    harness.edge_outputs();
    app.outputs();
    store.is_fenced.store(true, Ordering::Relaxed);
    harness.batch(1, messages(0, 0, vec!["a".into()]));
    run_until_idle().await;
    assert_eq!(harness.edge_outputs(), [], "the table notifies the edges");
    assert_eq!(app.outputs(), [], "the message was not delivered");
    harness.attach(hello(9, "late"));
    assert!(harness.edge_outputs().iter().all(is_moved));
    assert_eq!(harness.task.await.unwrap(), Err(StoreError::Fenced));
}

#[tokio::test]
async fn a_stopped_partition_leaves_a_checkpoint_and_no_lease() {
    let store = TestStore::free();
    let mut harness = with_streams(&store, 3).await;
    let mut app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let (done, is_done) = tokio::sync::oneshot::channel();
    harness.send(Mail::Stop { done });
    is_done.await.unwrap();
    let edge = harness.edge_outputs();
    assert!(!edge.iter().any(is_unavailable), "the edge keeps the transports: {edge:?}");
    assert!(!app.outputs().iter().any(|o| matches!(o, AppOutput::Released { .. })));
    let claimed = store.claim(0, "another core", Epoch(0)).await.unwrap();
    assert_eq!((claimed.streams.len(), claimed.log.len()), (3, 0));
}

#[tokio::test]
async fn checkpoints_are_written_when_the_log_is_long_enough() {
    for (entries, expected) in [(4, 0), (5, 1), (6, 1), (10, 2)] {
        let store = TestStore::free();
        let options = PartitionOptions { checkpoint_entries: 5, ..options() };
        let harness = Harness::start_with(&store, Limits::default(), options, false).await;
        for stream in 1..=entries {
            harness.attach(hello(stream, &format!("stream{stream}")));
            run_until_idle().await;
        }
        assert_eq!(store.checkpoints.lock().unwrap().len(), expected, "{entries}");
        harness.task.abort();
        let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
        let recovered = super::super::recovery::Recovered::from_claimed(0, &claimed).unwrap();
        assert_eq!(recovered.streams.len() as u64, entries);
        assert_eq!(recovered.meta.streams_made, entries);
    }
}

#[tokio::test]
async fn a_checkpoint_waits_for_the_appends_that_it_covers() {
    let store = TestStore::held();
    let options = PartitionOptions { checkpoint_entries: 2, ..options() };
    let harness = Harness::start_with(&store, Limits::default(), options, false).await;
    for stream in 1..=3 {
        harness.attach(hello(stream, &format!("stream{stream}")));
        run_until_idle().await;
    }
    store.permits.add_permits(1);
    run_until_idle().await;
    assert!(store.checkpoints.lock().unwrap().is_empty());
    store.permits.add_permits(1);
    run_until_idle().await;
    assert_eq!(*store.checkpoints.lock().unwrap(), [LogIndex(2)], "the third stream is not in it");
}

#[tokio::test]
async fn the_number_of_streams_is_bounded() {
    let limits = Limits { max_streams: 2, ..Limits::default() };
    let mut harness = Harness::start_with(&TestStore::free(), limits, options(), false).await;
    for stream in 1..=3 {
        harness.attach(hello(stream, &format!("stream{stream}")));
        run_until_idle().await;
        assert_eq!(harness.edge_outputs().iter().any(is_unavailable), stream > 2, "{stream}");
    }
    let known = Attach { create: false, ..hello(4, "stream1") };
    harness.attach(known);
    run_until_idle().await;
    assert!(!harness.edge_outputs().iter().any(is_unavailable), "existing streams are served");
}

#[tokio::test]
async fn an_id_can_be_reused_after_the_end() {
    let mut harness = with_streams(&TestStore::free(), 1).await;
    let mut app = harness.join(1, "one", &[]);
    run_until_idle().await;
    let reset = Mail::Reset {
        session: app.handle.id,
        stream: StreamNumber(1),
        reason: "over".to_owned(),
        application_level: true,
    };
    harness.send(reset);
    harness.attach(hello(2, "stream1"));
    run_until_idle().await;
    assert_eq!(
        app.started(),
        [(1, false), (2, false)],
        "a new stream, while the end of the first is unacknowledged"
    );
    harness.send(Mail::Acknowledge {
        session: app.handle.id,
        stream: StreamNumber(1),
        event: EventNumber(1),
    });
    run_until_idle().await;
    assert_eq!(harness.counters.streams.load(Ordering::Relaxed), 1);
    harness.edge_outputs();
    harness.attach(Attach { create: false, ..hello(3, "stream1") });
    run_until_idle().await;
    assert!(is_opened(&harness.edge_outputs()[0]));
}

#[tokio::test]
async fn services_do_not_share_streams() {
    let mut harness = with_streams(&TestStore::free(), 1).await;
    harness.edge_outputs();
    harness.attach(Attach { caller: requesting("other"), create: false, ..hello(2, "stream1") });
    run_until_idle().await;
    let kill = CloseCause::Kill(KillReason::StreamAttachFailure);
    assert_eq!(harness.edge_outputs(), [CoreFrame::close(TransportId(2), kill)]);
}

#[test]
fn a_full_mailbox_refuses_attaches() {
    let partitions = PartitionTable::new(1, PartitionHash::UNKEYED);
    let receiver = partitions.open(0, Epoch(1));
    let (outputs, mut edge) = output_channel();
    let link = LinkHandle { id: LINK, claim_tags: true, outputs };
    let attach = || Mail::Attach {
        link: link.clone(),
        transport: TransportId(1),
        attach: Box::new(hello(1, "stream")),
    };
    for _ in 0..MAILBOX_ATTACH_LIMIT - 1 {
        partitions.send(0, Mail::LinkLost(LINK));
    }
    partitions.send(0, attach());
    assert!(edge.try_next().is_none(), "the mailbox is not full");
    partitions.send(0, attach());
    assert!(is_unavailable(&edge.try_next().unwrap()));
    drop(receiver);
    assert!(is_moved(&edge.try_next().unwrap()), "a waiting attach is answered");
    partitions.send(0, attach());
    assert!(is_moved(&edge.try_next().unwrap()), "the receiver is dropped");
    partitions.close(0);
    partitions.send(0, attach());
    assert!(is_moved(&edge.try_next().unwrap()), "the partition is closed");
}

#[tokio::test]
async fn send_with_room_waits_for_capacity() {
    let partitions = PartitionTable::new(1, PartitionHash::UNKEYED);
    let mut receiver = partitions.open(0, Epoch(1));
    let send = |length: usize| Mail::Send {
        session: crate::partition::SessionId(1),
        stream: StreamNumber(1),
        first: MessageNumber(0),
        messages: vec![Payload::ascii_text(vec![b'x'; length])],
        acknowledge: None,
    };
    partitions.send_with_room(0, send((8 << 20) - 1024)).await;
    let more = partitions.send_with_room(0, send(1));
    tokio::pin!(more);
    assert!(futures_util::poll!(&mut more).is_pending());
    receiver.recv().await.unwrap();
    more.await;
}
