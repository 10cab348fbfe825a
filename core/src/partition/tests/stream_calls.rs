//! Calls from outside: answered when durable, one write for many streams, and all of it there after a crash.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use minerva_proto::Reset;
use tokio::sync::oneshot;

use super::bench::{Bench, hello, options, settle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{
    AttributeChange, Mail, SessionId, StreamCall, StreamCallId, StreamReply, StreamRequest,
    StreamSelector,
};
use crate::stream::{AppOutput, EdgeOutput, JoinOutcome, PushOutcome};

pub(super) fn request(bench: &Bench, request: StreamRequest) -> oneshot::Receiver<StreamReply> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (reply, replied) = oneshot::channel();
    let id = StreamCallId(NEXT.fetch_add(1, Ordering::Relaxed));
    bench.send(Mail::StreamCall(Box::new(StreamCall { id, request, reply })));
    replied
}

pub(super) fn push(
    to: StreamSelector,
    messages: &[&str],
    key: Option<&'static str>,
) -> StreamRequest {
    let messages = messages.iter().map(|text| Bytes::from((*text).to_owned())).collect();
    StreamRequest::Push { to, messages, key: key.map(Bytes::from) }
}

pub(super) fn group(name: &str) -> StreamSelector {
    StreamSelector::Group("default".into(), name.into())
}

pub(super) fn numbers(numbers: impl IntoIterator<Item = u64>) -> StreamSelector {
    StreamSelector::Numbers(numbers.into_iter().collect())
}

/// Streams 1 to `count`, each with the transport of its number, all in the group `all`.
async fn members(store: &TestStore, count: u64) -> Bench {
    let mut bench = Bench::start(store).await;
    for number in 1..=count {
        bench.attach(hello(number, &format!("s{number}")));
    }
    let joined =
        request(&bench, StreamRequest::Join(numbers(1..=count), "all".into())).await.unwrap();
    assert_eq!(joined, StreamReply::Joined((1..=count).map(|n| (n, JoinOutcome::Done)).collect()));
    settle().await;
    bench.edge_outputs();
    bench
}

/// The strings that transports got, as `transport first string`.
fn written(bench: &mut Bench) -> Vec<String> {
    let outputs = bench.edge_outputs().into_iter();
    let messages = outputs.filter_map(|output| {
        let EdgeOutput::Messages { transport, first, messages } = output else { return None };
        Some(format!("{} {first} {}", transport.0, String::from_utf8_lossy(&messages.concat())))
    });
    messages.collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_or_written_before_it_is_durable() {
    let store = TestStore::held();
    let mut bench = Bench::start(&store).await;
    bench.attach(hello(1, "s1"));
    settle().await;
    store.permits.add_permits(1);
    settle().await;
    bench.edge_outputs();
    let mut answered = request(&bench, push(numbers([1]), &["a"], None));
    settle().await;
    assert!(answered.try_recv().is_err() && written(&mut bench).is_empty());
    store.permits.add_permits(1);
    assert_eq!(answered.await.unwrap(), StreamReply::Pushed(vec![(1, PushOutcome::Taken)]));
    settle().await;
    assert_eq!(written(&mut bench), ["1 0 a"]);
}

#[tokio::test(start_paused = true)]
async fn a_send_to_a_group_is_one_append_with_the_string_once() {
    let store = TestStore::free();
    let mut bench = members(&store, 1000).await;
    let string = "x".repeat(5000);
    let before = store.durable.lock().unwrap().len();
    let answer = request(&bench, push(group("all"), &[&string], None)).await.unwrap();
    assert_eq!(answer, StreamReply::Pushed((1..=1000).map(|n| (n, PushOutcome::Taken)).collect()));
    settle().await;
    let appends = store.durable.lock().unwrap()[before..].to_vec();
    assert_eq!(appends.len(), 1);
    assert!(appends[0].len() < 5000 + 1000 + 100, "{} bytes", appends[0].len());
    assert_eq!(written(&mut bench).len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn sends_to_a_group_at_once_are_one_append_with_each_string_once() {
    const KEYS: [Option<&str>; 3] = [Some("1"), None, Some("3")];
    for (keys, full) in [([None; 3], 0), (KEYS, 0), (KEYS, 500), ([Some("key"); 3], 0)] {
        let store = TestStore::free();
        let mut bench = members(&store, 1000).await;
        for number in 0..full {
            // Has no room for all of them.
            request(&bench, push(numbers([2 * number + 1]), &["x"; 998], None)).await.unwrap();
        }
        bench.edge_outputs();
        let before = store.durable.lock().unwrap().len();
        let string = "x".repeat(5000);
        let send = |key| request(&bench, push(group("all"), &[&string], key));
        let answers: Vec<_> = keys.into_iter().map(send).collect();
        for answered in answers {
            let StreamReply::Pushed(said) = answered.await.unwrap() else { panic!() };
            assert!(said.iter().map(|(number, _)| *number).eq(1..=1000));
        }
        settle().await;
        let appends = store.durable.lock().unwrap()[before..].to_vec();
        assert_eq!(appends.len(), 1);
        let limit = 2 * 3 * (5000 + 1000 + 100);
        assert!(appends[0].len() < limit, "{} bytes, {keys:?}, {full} full", appends[0].len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_session_counts_is_its_own() {
    let store = TestStore::free();
    let mut bench = members(&store, 1).await;
    let mut session = bench.join(1, "one", &[]);
    settle().await;
    assert_eq!(session.started(), [(1, false)]);
    let send = |first, string: &str| Mail::Send {
        session: SessionId(1),
        stream: 1,
        first,
        messages: vec![Bytes::from(string.to_owned())],
        acknowledge: None,
    };
    request(&bench, push(group("all"), &["outside"], None)).await.unwrap();
    bench.send(send(0, "own 0"));
    settle().await;
    request(&bench, push(numbers([1]), &["again"], None)).await.unwrap();
    bench.send(send(1, "own 1"));
    settle().await;
    assert_eq!(written(&mut bench), ["1 0 outside", "1 1 own 0", "1 2 again", "1 3 own 1"]);
    let confirmed = session.outputs().into_iter().filter_map(|output| {
        let AppOutput::SendState { state, .. } = output else { return None };
        Some(state.next_send)
    });
    assert_eq!(confirmed.max(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_taken_once_also_after_a_crash_and_a_checkpoint() {
    let store = TestStore::free();
    let bench = members(&store, 2).await;
    let send = |bench: &Bench, key| request(bench, push(group("all"), &["a"], Some(key)));
    let both = |pushed| StreamReply::Pushed(vec![(1, pushed), (2, pushed)]);
    assert_eq!(send(&bench, "k").await.unwrap(), both(PushOutcome::Taken));
    assert_eq!(send(&bench, "k").await.unwrap(), both(PushOutcome::Repeated));
    bench.task.abort();
    let bench = Bench::start(&store).await;
    assert_eq!(send(&bench, "k").await.unwrap(), both(PushOutcome::Repeated), "from the log");
    bench.stop().await.unwrap();
    let bench = Bench::start(&store).await;
    assert_eq!(send(&bench, "k").await.unwrap(), both(PushOutcome::Repeated), "from a checkpoint");
    for (others, expected) in [(31, PushOutcome::Repeated), (1, PushOutcome::Taken)] {
        for _ in 0..others {
            let key: &'static str = Box::leak(format!("{:?}", fresh()).into_boxed_str());
            assert_eq!(send(&bench, key).await.unwrap(), both(PushOutcome::Taken));
        }
        assert_eq!(send(&bench, "k").await.unwrap(), both(expected), "after {others} others");
    }
}

fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn labels_and_groups_find_streams_until_they_are_left() {
    let store = TestStore::free();
    let bench = members(&store, 3).await;
    let label = StreamSelector::Label("default".into(), "ann".into());
    let labelled = request(&bench, StreamRequest::SetLabel(numbers([1, 3]), Some("ann".into())))
        .await
        .unwrap();
    assert_eq!(labelled, StreamReply::Done(vec![1, 3]));
    request(&bench, StreamRequest::Leave(numbers([2]), "all".into())).await.unwrap();
    bench.task.abort();
    let mut bench = Bench::start(&store).await;
    let found = |bench: &Bench, target| {
        let answer = request(bench, StreamRequest::Get(target));
        async {
            let StreamReply::Infos(infos) = answer.await.unwrap() else { panic!() };
            infos.iter().map(|info| info.stream).collect::<Vec<_>>()
        }
    };
    assert_eq!(found(&bench, label.clone()).await, [1, 3]);
    assert_eq!(found(&bench, group("all")).await, [1, 3]);
    request(&bench, StreamRequest::SetLabel(numbers([3]), Some("bob".into()))).await.unwrap();
    assert_eq!(found(&bench, label.clone()).await, [1]);
    let other_service = StreamSelector::Label("other".into(), "ann".into());
    assert_eq!(found(&bench, other_service).await, [0; 0]);
    // An ended stream is no member; it is forgotten when its application knows.
    let reset = request(&bench, StreamRequest::Reset(label.clone(), Reset::new("bye", true)))
        .await
        .unwrap();
    assert_eq!(reset, StreamReply::Done(vec![1]));
    assert_eq!(found(&bench, label).await, [0; 0]);
    assert_eq!(found(&bench, group("all")).await, [3]);
    assert_eq!(found(&bench, numbers([1])).await, [1]);
    let late = request(&bench, push(numbers([1, 99]), &["a"], None)).await.unwrap();
    assert_eq!(late, StreamReply::Pushed(vec![(1, PushOutcome::Ended)]));
    let mut session = bench.join(1, "one", &[]);
    settle().await;
    let ended = session.outputs().into_iter().find_map(|output| {
        let AppOutput::Ended { stream, event, .. } = output else { return None };
        Some((stream, event))
    });
    assert_eq!(ended, Some((1, 1)));
    bench.send(Mail::Acknowledge { session: SessionId(1), stream: 1, event: 1 });
    settle().await;
    assert_eq!(found(&bench, numbers([1])).await, [0; 0]);
    bench.edge_outputs();
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_takes_nothing_from_outside() {
    let store = TestStore::free();
    let limits = Limits { outbox_messages: 3, ..Limits::default() };
    let bench = Bench::start_with(&store, limits, options(), false).await;
    bench.attach(hello(1, "s1"));
    for (messages, taken) in [(2, true), (2, false), (1, true), (1, false)] {
        let answer = request(&bench, push(numbers([1]), &vec!["a"; messages], None)).await.unwrap();
        let full = PushOutcome::Full { bytes: 1 << 20, messages: 3 };
        let expected = if taken { PushOutcome::Taken } else { full };
        assert_eq!(answer, StreamReply::Pushed(vec![(1, expected)]), "{messages}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_in_so_many_groups_at_most() {
    let store = TestStore::free();
    let bench = members(&store, 1).await;
    let mut session = bench.join(1, "one", &[]);
    for number in 1..64 {
        let join = StreamRequest::Join(numbers([1]), format!("g{number}").into());
        assert_eq!(
            request(&bench, join).await.unwrap(),
            StreamReply::Joined(vec![(1, JoinOutcome::Done)])
        );
    }
    let more = request(&bench, StreamRequest::Join(numbers([1]), "more".into())).await.unwrap();
    assert_eq!(more, StreamReply::Joined(vec![(1, JoinOutcome::TooMany)]));
    let again = request(&bench, StreamRequest::Join(numbers([1]), "g1".into())).await.unwrap();
    assert_eq!(again, StreamReply::Joined(vec![(1, JoinOutcome::Done)]));
    session.outputs();
    let join = |group: &str| Mail::ChangeAttributes {
        session: SessionId(1),
        stream: 1,
        change: AttributeChange::Join(group.into()),
    };
    bench.send(join("g1"));
    bench.send(join("more"));
    settle().await;
    let outputs = session.outputs();
    assert_eq!(outputs, [AppOutput::GroupRefused { stream: 1, group: "more".into() }]);
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_it_ended() {
    let store = TestStore::free();
    let bench = members(&store, 5).await;
    let list = async |service: &str, after, limit| {
        let reply = request(&bench, StreamRequest::List { service: service.into(), after, limit });
        let StreamReply::Infos(infos) = reply.await.unwrap() else { panic!() };
        infos.iter().map(|info| info.stream).collect::<Vec<_>>()
    };
    assert_eq!(list("default", 0, 2).await, [1, 2]);
    assert_eq!(list("default", 2, 10).await, [3, 4, 5]);
    assert_eq!(list("default", 5, 10).await, [0; 0]);
    assert_eq!(list("other", 0, 10).await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_partition_is_not_answered() {
    let store = TestStore::held();
    let bench = Bench::start(&store).await;
    bench.attach(hello(1, "s1"));
    settle().await;
    let answered = request(&bench, push(numbers([1]), &["a"], None));
    settle().await;
    bench.task.abort();
    assert!(answered.await.is_err());
}
