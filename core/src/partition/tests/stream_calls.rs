//! Stream calls: durable before the reply, one append for many streams, recovered after a crash.

use std::sync::atomic::{AtomicU64, Ordering};

use minerva_proto::link::{CoreFrame, CoreMessage};
use minerva_proto::{EventNumber, MessageNumber, Payload, Reset, StreamNumber};
use tokio::sync::oneshot;

use super::harness::{Harness, hello, options, run_until_idle};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{
    AttributeChange, Mail, SessionId, StreamCall, StreamCallId, StreamReply, StreamRequest,
    StreamSelector,
};
use crate::stream::{AppOutput, JoinOutcome, PushOutcome};

pub(super) fn request(harness: &Harness, request: StreamRequest) -> oneshot::Receiver<StreamReply> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (reply, replied) = oneshot::channel();
    let id = StreamCallId(NEXT.fetch_add(1, Ordering::Relaxed));
    harness.send(Mail::StreamCall(Box::new(StreamCall { id, request, reply })));
    replied
}

pub(super) fn push(
    to: StreamSelector,
    messages: &[&str],
    key: Option<&'static str>,
) -> StreamRequest {
    let messages = messages.iter().map(|text| Payload::from((*text).to_owned())).collect();
    StreamRequest::Push { to, messages, key: key.map(bytes::Bytes::from) }
}

pub(super) fn group(name: &str) -> StreamSelector {
    StreamSelector::Group("default".into(), name.into(), StreamNumber(0))
}

pub(super) fn numbers(numbers: impl IntoIterator<Item = u64>) -> StreamSelector {
    StreamSelector::Numbers(numbers.into_iter().map(StreamNumber).collect())
}

/// Streams 1 to `count`, each with the transport of its number, all in the group `all`.
async fn members(store: &TestStore, count: u64) -> Harness {
    let mut harness = Harness::start(store).await;
    for number in 1..=count {
        harness.attach(hello(number, &format!("s{number}")));
    }
    let joined =
        request(&harness, StreamRequest::Join(numbers(1..=count), "all".into())).await.unwrap();
    assert_eq!(
        joined,
        StreamReply::Joined((1..=count).map(|n| (StreamNumber(n), JoinOutcome::Done)).collect())
    );
    run_until_idle().await;
    harness.edge_outputs();
    harness
}

/// The messages written to transports, as `transport first message`.
fn written(harness: &mut Harness) -> Vec<String> {
    let outputs = harness.edge_outputs().into_iter();
    let messages = outputs.filter_map(|frame| {
        let CoreFrame::Transport { transport, message: CoreMessage::Messages(run) } = frame else {
            return None;
        };
        let text = |message: &Payload| String::from_utf8_lossy(message).into_owned();
        let text: String = run.messages.iter().map(text).collect();
        Some(format!("{transport} {} {text}", run.first))
    });
    messages.collect()
}

#[tokio::test(start_paused = true)]
async fn replies_and_messages_wait_until_the_turn_is_durable() {
    let store = TestStore::held();
    let mut harness = Harness::start(&store).await;
    harness.attach(hello(1, "s1"));
    run_until_idle().await;
    store.permits.add_permits(1);
    run_until_idle().await;
    harness.edge_outputs();
    let mut replied = request(&harness, push(numbers([1]), &["a"], None));
    run_until_idle().await;
    assert!(replied.try_recv().is_err() && written(&mut harness).is_empty());
    store.permits.add_permits(1);
    assert_eq!(
        replied.await.unwrap(),
        StreamReply::Pushed(vec![(StreamNumber(1), PushOutcome::Taken)])
    );
    run_until_idle().await;
    assert_eq!(written(&mut harness), ["1 0 a"]);
}

#[tokio::test(start_paused = true)]
async fn a_push_to_a_group_is_one_append_with_one_copy() {
    let store = TestStore::free();
    let mut harness = members(&store, 1000).await;
    let message = "x".repeat(5000);
    let before = store.durable.lock().unwrap().len();
    let reply = request(&harness, push(group("all"), &[&message], None)).await.unwrap();
    assert_eq!(
        reply,
        StreamReply::Pushed((1..=1000).map(|n| (StreamNumber(n), PushOutcome::Taken)).collect())
    );
    run_until_idle().await;
    let appends = store.durable.lock().unwrap()[before..].to_vec();
    assert_eq!(appends.len(), 1);
    assert!(appends[0].len() < 5000 + 2 * 1000 + 100, "{} bytes", appends[0].len());
    assert_eq!(written(&mut harness).len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn batched_pushes_are_one_append_with_one_copy_each() {
    const KEYS: [Option<&str>; 3] = [Some("1"), None, Some("3")];
    for (keys, full) in [([None; 3], 0), (KEYS, 0), (KEYS, 500), ([Some("key"); 3], 0)] {
        let store = TestStore::free();
        let mut harness = members(&store, 1000).await;
        for number in 0..full {
            // This stream has no room for the whole batch.
            request(&harness, push(numbers([2 * number + 1]), &["x"; 998], None)).await.unwrap();
        }
        harness.edge_outputs();
        let before = store.durable.lock().unwrap().len();
        let message = "x".repeat(5000);
        let send = |key| request(&harness, push(group("all"), &[&message], key));
        let replies: Vec<_> = keys.into_iter().map(send).collect();
        for replied in replies {
            let StreamReply::Pushed(outcomes) = replied.await.unwrap() else { panic!() };
            assert!(outcomes.iter().map(|(number, _)| number.0).eq(1..=1000));
        }
        run_until_idle().await;
        let appends = store.durable.lock().unwrap()[before..].to_vec();
        assert_eq!(appends.len(), 1);
        let limit = 2 * 3 * (5000 + 1000 + 100);
        assert!(appends[0].len() < limit, "{} bytes, {keys:?}, {full} full", appends[0].len());
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_do_not_count_in_the_numbers_of_a_session() {
    let store = TestStore::free();
    let mut harness = members(&store, 1).await;
    let mut session = harness.join(1, "one", &[]);
    run_until_idle().await;
    assert_eq!(session.started(), [(1, false)]);
    let send = |first, message: &str| Mail::Send {
        session: SessionId(1),
        stream: StreamNumber(1),
        first,
        messages: vec![Payload::from(message.to_owned())],
        acknowledge: None,
    };
    request(&harness, push(group("all"), &["outside"], None)).await.unwrap();
    harness.send(send(MessageNumber(0), "own 0"));
    run_until_idle().await;
    request(&harness, push(numbers([1]), &["again"], None)).await.unwrap();
    harness.send(send(MessageNumber(1), "own 1"));
    run_until_idle().await;
    assert_eq!(written(&mut harness), ["1 0 outside", "1 1 own 0", "1 2 again", "1 3 own 1"]);
    let confirmed = session.outputs().into_iter().filter_map(|output| {
        let AppOutput::SendState { state, .. } = output else { return None };
        Some(state.next_send)
    });
    assert_eq!(confirmed.max(), Some(MessageNumber(2)));
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_survives_a_crash_and_a_checkpoint() {
    let store = TestStore::free();
    let harness = members(&store, 2).await;
    let send = |harness: &Harness, key| request(harness, push(group("all"), &["a"], Some(key)));
    let both =
        |pushed| StreamReply::Pushed(vec![(StreamNumber(1), pushed), (StreamNumber(2), pushed)]);
    assert_eq!(send(&harness, "k").await.unwrap(), both(PushOutcome::Taken));
    assert_eq!(send(&harness, "k").await.unwrap(), both(PushOutcome::Repeated));
    harness.task.abort();
    let harness = Harness::start(&store).await;
    assert_eq!(send(&harness, "k").await.unwrap(), both(PushOutcome::Repeated), "from the log");
    harness.stop().await.unwrap();
    let harness = Harness::start(&store).await;
    assert_eq!(
        send(&harness, "k").await.unwrap(),
        both(PushOutcome::Repeated),
        "from a checkpoint"
    );
    for (others, expected) in [(31, PushOutcome::Repeated), (1, PushOutcome::Taken)] {
        for _ in 0..others {
            let key: &'static str = Box::leak(format!("{:?}", fresh()).into_boxed_str());
            assert_eq!(send(&harness, key).await.unwrap(), both(PushOutcome::Taken));
        }
        assert_eq!(send(&harness, "k").await.unwrap(), both(expected), "after {others} others");
    }
}

fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn streams_are_selected_by_label_and_group() {
    let store = TestStore::free();
    let harness = members(&store, 3).await;
    let label = StreamSelector::Label("default".into(), "ann".into());
    let labelled = request(&harness, StreamRequest::SetLabel(numbers([1, 3]), Some("ann".into())))
        .await
        .unwrap();
    assert_eq!(labelled, StreamReply::Done(vec![StreamNumber(1), StreamNumber(3)]));
    request(&harness, StreamRequest::Leave(numbers([2]), "all".into())).await.unwrap();
    harness.task.abort();
    let mut harness = Harness::start(&store).await;
    let found = |harness: &Harness, target| {
        let reply = request(harness, StreamRequest::Get(target));
        async {
            let StreamReply::Infos(infos) = reply.await.unwrap() else { panic!() };
            infos.iter().map(|info| info.stream.0).collect::<Vec<_>>()
        }
    };
    assert_eq!(found(&harness, label.clone()).await, [1, 3]);
    assert_eq!(found(&harness, group("all")).await, [1, 3]);
    request(&harness, StreamRequest::SetLabel(numbers([3]), Some("bob".into()))).await.unwrap();
    assert_eq!(found(&harness, label.clone()).await, [1]);
    let other_service = StreamSelector::Label("other".into(), "ann".into());
    assert_eq!(found(&harness, other_service).await, [0; 0]);
    // An ended stream is no member, and is forgotten once the end is acknowledged.
    let reset = request(&harness, StreamRequest::Reset(label.clone(), Reset::new("bye", true)))
        .await
        .unwrap();
    assert_eq!(reset, StreamReply::Done(vec![StreamNumber(1)]));
    assert_eq!(found(&harness, label).await, [0; 0]);
    assert_eq!(found(&harness, group("all")).await, [3]);
    assert_eq!(found(&harness, numbers([1])).await, [1]);
    let late = request(&harness, push(numbers([1, 99]), &["a"], None)).await.unwrap();
    assert_eq!(late, StreamReply::Pushed(vec![(StreamNumber(1), PushOutcome::Ended)]));
    let mut session = harness.join(1, "one", &[]);
    run_until_idle().await;
    let ended = session.outputs().into_iter().find_map(|output| {
        let AppOutput::Ended { stream, event, .. } = output else { return None };
        Some((stream.0, event))
    });
    assert_eq!(ended, Some((1, EventNumber(1))));
    harness.send(Mail::Acknowledge {
        session: SessionId(1),
        stream: StreamNumber(1),
        event: EventNumber(1),
    });
    run_until_idle().await;
    assert_eq!(found(&harness, numbers([1])).await, [0; 0]);
    harness.edge_outputs();
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_refuses_a_push() {
    let store = TestStore::free();
    let limits = Limits { outbox_messages: 3, ..Limits::default() };
    let harness = Harness::start_with(&store, limits, options(), false).await;
    harness.attach(hello(1, "s1"));
    for (messages, taken) in [(2, true), (2, false), (1, true), (1, false)] {
        let reply =
            request(&harness, push(numbers([1]), &vec!["a"; messages], None)).await.unwrap();
        let full = PushOutcome::Full { bytes: 1 << 20, messages: 3 };
        let expected = if taken { PushOutcome::Taken } else { full };
        assert_eq!(reply, StreamReply::Pushed(vec![(StreamNumber(1), expected)]), "{messages}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_groups_is_bounded() {
    let store = TestStore::free();
    let harness = members(&store, 1).await;
    let mut session = harness.join(1, "one", &[]);
    for number in 1..64 {
        let join = StreamRequest::Join(numbers([1]), format!("g{number}").into());
        assert_eq!(
            request(&harness, join).await.unwrap(),
            StreamReply::Joined(vec![(StreamNumber(1), JoinOutcome::Done)])
        );
    }
    let more = request(&harness, StreamRequest::Join(numbers([1]), "more".into())).await.unwrap();
    assert_eq!(more, StreamReply::Joined(vec![(StreamNumber(1), JoinOutcome::TooMany)]));
    let again = request(&harness, StreamRequest::Join(numbers([1]), "g1".into())).await.unwrap();
    assert_eq!(again, StreamReply::Joined(vec![(StreamNumber(1), JoinOutcome::Done)]));
    session.outputs();
    let join = |group: &str| Mail::ChangeAttributes {
        session: SessionId(1),
        stream: StreamNumber(1),
        change: AttributeChange::Join(group.into()),
    };
    harness.send(join("g1"));
    harness.send(join("more"));
    run_until_idle().await;
    let outputs = session.outputs();
    assert_eq!(
        outputs,
        [AppOutput::GroupRefused { stream: StreamNumber(1), group: "more".into() }]
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_continues_behind_a_stream_number() {
    let store = TestStore::free();
    let harness = members(&store, 5).await;
    let list = async |service: &str, after, limit| {
        let reply =
            request(&harness, StreamRequest::List { service: service.into(), after, limit });
        let StreamReply::Infos(infos) = reply.await.unwrap() else { panic!() };
        infos.iter().map(|info| info.stream.0).collect::<Vec<_>>()
    };
    assert_eq!(list("default", StreamNumber(0), 2).await, [1, 2]);
    assert_eq!(list("default", StreamNumber(2), 10).await, [3, 4, 5]);
    assert_eq!(list("default", StreamNumber(5), 10).await, [0; 0]);
    assert_eq!(list("other", StreamNumber(0), 10).await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_crashed_partition_gets_no_reply() {
    let store = TestStore::held();
    let harness = Harness::start(&store).await;
    harness.attach(hello(1, "s1"));
    run_until_idle().await;
    let replied = request(&harness, push(numbers([1]), &["a"], None));
    run_until_idle().await;
    harness.task.abort();
    assert!(replied.await.is_err());
}
