//! Which session gets which stream, and what happens when a partition is stopped, fenced or overloaded.

use std::sync::atomic::Ordering;

use super::bench::{Bench, LINK, hello, messages, options, settle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{
    LinkHandle, MAILBOX_ATTACH_LIMIT, Mail, PartitionOptions, PartitionTable, output_channel,
};
use crate::store::{Epoch, Store, StoreError};
use crate::stream::{AppOutput, Attach, CloseCause, EdgeOutput};

pub(super) async fn with_streams(store: &TestStore, count: u64) -> Bench {
    let bench = Bench::start(store).await;
    for stream in 1..=count {
        bench.attach(hello(stream, &format!("stream{stream}")));
    }
    settle().await;
    bench
}

pub(super) fn is_unavailable(output: &EdgeOutput) -> bool {
    matches!(output, EdgeOutput::Close { cause: CloseCause::Unavailable { .. }, .. })
}

fn is_moved(output: &EdgeOutput) -> bool {
    matches!(output, EdgeOutput::Close { cause: CloseCause::Moved, .. })
}

#[tokio::test]
async fn the_least_loaded_session_gets_a_stream_and_keeps_it() {
    let bench = with_streams(&TestStore::free(), 2).await;
    let mut one = bench.join(1, "one", &[]);
    settle().await;
    let mut two = bench.join(2, "two", &[]);
    settle().await;
    assert_eq!(one.started(), [(1, false), (2, false)], "what waits goes to the first");
    assert_eq!(two.started(), []);
    bench.attach(hello(3, "stream3"));
    settle().await;
    assert_eq!(two.started(), [(3, false)]);
    assert_eq!(one.handle.load.load(Ordering::Relaxed), 2);
    assert_eq!(two.handle.load.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn streams_wait_for_their_instance_then_go_to_another() {
    let bench = with_streams(&TestStore::free(), 1).await;
    let first = bench.join(1, "one", &[]);
    let mut other = bench.join(2, "two", &[]);
    settle().await;
    bench.send(Mail::InstanceLeft(first.handle.id));
    settle().await;
    bench.wait(1999).await;
    assert_eq!(other.started(), []);
    let mut back = bench.join(3, "one", &[]);
    settle().await;
    assert_eq!(back.started(), [(1, true)]);
    bench.send(Mail::InstanceLeft(back.handle.id));
    settle().await;
    bench.wait(1999).await;
    assert_eq!(other.started(), []);
    bench.wait(1).await;
    assert_eq!(other.started(), [(1, true)]);
    assert_eq!(back.handle.load.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn held_streams_are_given_back_or_released() {
    let bench = with_streams(&TestStore::free(), 2).await;
    let first = bench.join(1, "one", &[]);
    settle().await;
    bench.send(Mail::InstanceLeft(first.handle.id));
    let mut other = bench.join(2, "two", &[1]);
    settle().await;
    let outputs = other.outputs();
    assert!(outputs.iter().any(|o| matches!(o, AppOutput::Started(s) if s.stream == 1)));
    let mut late = bench.join(3, "three", &[1]);
    settle().await;
    assert_eq!(late.outputs(), [AppOutput::Released { stream: 1 }]);
}

#[tokio::test]
async fn the_same_instance_again_takes_over_from_itself() {
    let bench = with_streams(&TestStore::free(), 1).await;
    let mut first = bench.join(1, "one", &[]);
    settle().await;
    first.outputs();
    let mut again = bench.join(2, "one", &[]);
    settle().await;
    bench.send(Mail::InstanceLeft(first.handle.id));
    bench.batch(messages(1, 0, 0, vec!["a".into()]));
    settle().await;
    assert_eq!(first.outputs(), []);
    assert_eq!(again.outputs().len(), 2, "Started and the string");
}

#[tokio::test]
async fn after_a_start_streams_wait_for_who_held_them() {
    let store = TestStore::free();
    let bench = with_streams(&store, 2).await;
    let first = bench.join(1, "one", &[]);
    settle().await;
    drop(first);
    bench.attach(hello(3, "stream3"));
    settle().await;
    bench.task.abort();
    let bench = Bench::start(&store).await;
    let mut any = bench.join(2, "two", &[]);
    let mut holder = bench.join(3, "three", &[2]);
    settle().await;
    assert_eq!(any.started(), []);
    assert_eq!(holder.started(), [(2, true)]);
    bench.wait(2000).await;
    assert_eq!(any.started(), [(1, true), (3, true)], "the less loaded one, then the first of two");
    assert_eq!(holder.started(), []);
}

#[tokio::test]
async fn after_a_start_streams_go_back_to_the_instance_that_had_them() {
    let store = TestStore::free();
    let bench = with_streams(&store, 2).await;
    bench.join(1, "one", &[]);
    settle().await;
    bench.task.abort();
    let bench = Bench::start(&store).await;
    let mut other = bench.join(2, "two", &[]);
    let mut back = bench.join(3, "one", &[]);
    settle().await;
    assert_eq!(other.started(), []);
    assert_eq!(back.started(), [(1, true), (2, true)]);
}

#[tokio::test]
async fn an_instance_is_told_when_it_has_all_its_streams_and_under_which_epoch() {
    let store = TestStore::free();
    let bench = with_streams(&store, 1).await;
    bench.task.abort();
    let bench = Bench::start(&store).await;
    let mut app = bench.join(1, "one", &[]);
    settle().await;
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
    let mut bench = with_streams(&store, 2).await;
    let mut app = bench.join(1, "one", &[]);
    settle().await;
    bench.edge_outputs();
    app.outputs();
    store.is_fenced.store(true, Ordering::Relaxed);
    bench.batch(messages(1, 0, 0, vec!["a".into()]));
    settle().await;
    assert_eq!(bench.edge_outputs(), [], "the table tells");
    assert_eq!(app.outputs(), [], "the string was not delivered");
    bench.attach(hello(9, "late"));
    assert!(bench.edge_outputs().iter().all(is_moved));
    assert_eq!(bench.task.await.unwrap(), Err(StoreError::Fenced));
}

#[tokio::test]
async fn a_stopped_partition_leaves_a_checkpoint_and_no_lease() {
    let store = TestStore::free();
    let mut bench = with_streams(&store, 3).await;
    let mut app = bench.join(1, "one", &[]);
    settle().await;
    let (done, is_done) = tokio::sync::oneshot::channel();
    bench.send(Mail::Stop { done });
    is_done.await.unwrap();
    let edge = bench.edge_outputs();
    assert!(!edge.iter().any(is_unavailable), "transports live on and come again: {edge:?}");
    assert!(!app.outputs().iter().any(|o| matches!(o, AppOutput::Released { .. })));
    let claimed = store.claim(0, "somebody else", Epoch(0)).await.unwrap();
    assert_eq!((claimed.streams.len(), claimed.log.len()), (3, 0));
}

#[tokio::test]
async fn checkpoints_are_written_when_the_log_is_long_enough() {
    for (entries, expected) in [(4, 0), (5, 1), (6, 1), (10, 2)] {
        let store = TestStore::free();
        let options = PartitionOptions { checkpoint_entries: 5, ..options() };
        let bench = Bench::start_with(&store, Limits::default(), options, false).await;
        for stream in 1..=entries {
            bench.attach(hello(stream, &format!("stream{stream}")));
            settle().await;
        }
        assert_eq!(store.checkpoints.lock().unwrap().len(), expected, "{entries}");
        bench.task.abort();
        let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
        let recovered = super::super::recovery::Recovered::from_claimed(&claimed).unwrap();
        assert_eq!(recovered.streams.len() as u64, entries);
        assert_eq!(recovered.meta.streams_made, entries);
    }
}

#[tokio::test]
async fn a_checkpoint_waits_until_what_it_covers_is_stored() {
    let store = TestStore::held();
    let options = PartitionOptions { checkpoint_entries: 2, ..options() };
    let bench = Bench::start_with(&store, Limits::default(), options, false).await;
    for stream in 1..=3 {
        bench.attach(hello(stream, &format!("stream{stream}")));
        settle().await;
    }
    store.permits.add_permits(1);
    settle().await;
    assert_eq!(*store.checkpoints.lock().unwrap(), [0; 0]);
    store.permits.add_permits(1);
    settle().await;
    assert_eq!(*store.checkpoints.lock().unwrap(), [2], "the third stream is not in it");
}

#[tokio::test]
async fn no_more_streams_than_the_limit() {
    let limits = Limits { max_streams: 2, ..Limits::default() };
    let mut bench = Bench::start_with(&TestStore::free(), limits, options(), false).await;
    for stream in 1..=3 {
        bench.attach(hello(stream, &format!("stream{stream}")));
        settle().await;
        assert_eq!(bench.edge_outputs().iter().any(is_unavailable), stream > 2, "{stream}");
    }
    let known = Attach { create: false, ..hello(4, "stream1") };
    bench.attach(known);
    settle().await;
    assert!(!bench.edge_outputs().iter().any(is_unavailable), "known streams are still served");
}

#[tokio::test]
async fn an_id_may_be_used_again_after_the_end() {
    let mut bench = with_streams(&TestStore::free(), 1).await;
    let mut app = bench.join(1, "one", &[]);
    settle().await;
    let reset = Mail::Reset {
        session: app.handle.id,
        stream: 1,
        reason: "over".to_owned(),
        application_level: true,
    };
    bench.send(reset);
    bench.attach(hello(2, "stream1"));
    settle().await;
    assert_eq!(app.started(), [(1, false), (2, false)], "another stream, though the first waits");
    bench.send(Mail::Acknowledge { session: app.handle.id, stream: 1, event: 1 });
    settle().await;
    assert_eq!(bench.counters.streams.load(Ordering::Relaxed), 1);
    bench.edge_outputs();
    bench.attach(Attach { create: false, ..hello(3, "stream1") });
    settle().await;
    assert!(matches!(bench.edge_outputs()[0], EdgeOutput::Opened { .. }));
}

#[tokio::test]
async fn services_do_not_share_streams() {
    let mut bench = with_streams(&TestStore::free(), 1).await;
    bench.edge_outputs();
    bench.attach(Attach { service: "other".into(), create: false, ..hello(2, "stream1") });
    settle().await;
    assert!(matches!(
        bench.edge_outputs()[..],
        [EdgeOutput::Close { cause: CloseCause::Kill(_), sack: None, status: None, .. }]
    ));
}

#[test]
fn a_full_mailbox_turns_attaches_away() {
    let partitions = PartitionTable::new(1);
    let receiver = partitions.open(0, Epoch(1));
    let (outputs, mut edge) = output_channel();
    let link = LinkHandle { id: LINK, outputs };
    let attach = || Mail::Attach { link: link.clone(), attach: Box::new(hello(1, "stream")) };
    for _ in 0..MAILBOX_ATTACH_LIMIT - 1 {
        partitions.send(0, Mail::LinkLost(LINK));
    }
    partitions.send(0, attach());
    assert!(edge.try_next().is_none(), "the last place");
    partitions.send(0, attach());
    assert!(is_unavailable(&edge.try_next().unwrap()));
    drop(receiver);
    assert!(is_moved(&edge.try_next().unwrap()), "what waited is answered");
    partitions.send(0, attach());
    assert!(is_moved(&edge.try_next().unwrap()), "nobody is there");
    partitions.close(0);
    partitions.send(0, attach());
    assert!(is_moved(&edge.try_next().unwrap()), "nor is it expected");
}

#[tokio::test]
async fn mail_with_room_waits_for_room() {
    let partitions = PartitionTable::new(1);
    let mut receiver = partitions.open(0, Epoch(1));
    let send = |length: usize| Mail::Send {
        session: crate::partition::SessionId(1),
        stream: 1,
        first: 0,
        messages: vec![vec![b'x'; length].into()],
        acknowledge: None,
    };
    partitions.send_with_room(0, send((8 << 20) - 1024)).await;
    let more = partitions.send_with_room(0, send(1));
    tokio::pin!(more);
    assert!(futures_util::poll!(&mut more).is_pending());
    receiver.recv().await.unwrap();
    more.await;
}
