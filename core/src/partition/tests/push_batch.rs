//! Property test: stream calls have the same effect in one turn as in a turn each.

use std::collections::BTreeMap;

use minerva_proto::link::{CoreFrame, CoreMessage};
use minerva_proto::{Payload, Reset, StreamNumber};
use proptest::prelude::*;

use super::harness::{Harness, hello, options, run_until_idle};
use super::store::TestStore;
use super::stream_calls::{group, numbers, push, request};
use crate::limits::Limits;
use crate::partition::{StreamReply, StreamRequest, StreamSelector};

const STREAMS: u64 = 4;

/// The messages of each transport in order, and the replies.
type Effect = (BTreeMap<StreamNumber, Vec<(u64, Payload)>>, Vec<StreamReply>);

#[derive(Debug, Clone)]
enum Step {
    Push { to: u8, messages: usize, key: Option<u8> },
    Join(u64),
    Leave(u64),
    Reset(u64),
    Get,
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::option::weighted(0.2, 0..3_u8);
    prop_oneof![
        12 => (0..4_u8, 0..3_usize, key)
            .prop_map(|(to, messages, key)| Step::Push { to, messages, key }),
        1 => (1..=STREAMS).prop_map(Step::Join),
        1 => (1..=STREAMS).prop_map(Step::Leave),
        1 => (1..=STREAMS).prop_map(Step::Reset),
        1 => Just(Step::Get),
    ]
}

fn request_of(index: usize, step: &Step) -> StreamRequest {
    match step {
        Step::Push { to, messages, key } => {
            let to = match to {
                0..=1 => group("all"),
                2 => StreamSelector::Label("default".into(), "some".into()),
                _ => numbers([2]),
            };
            let messages: Vec<_> =
                (0..*messages).map(|number| format!("{index}.{number}")).collect();
            let key = key.map(|key| ["a", "b", "c"][usize::from(key)]);
            push(to, &messages.iter().map(String::as_str).collect::<Vec<_>>(), key)
        }
        Step::Join(number) => StreamRequest::Join(numbers([*number]), "all".into()),
        Step::Leave(number) => StreamRequest::Leave(numbers([*number]), "all".into()),
        Step::Reset(number) => StreamRequest::Reset(numbers([*number]), Reset::new("bye", true)),
        Step::Get => StreamRequest::Get(group("all")),
    }
}

/// The effect of the steps, and the recovered streams afterwards.
async fn effect(steps: &[Step], in_one_turn: bool) -> (Effect, StreamReply) {
    let store = TestStore::free();
    let limits = Limits { outbox_messages: 12, ..Limits::default() };
    let mut harness = Harness::start_with(&store, limits, options(), false).await;
    for number in 1..=STREAMS {
        harness.attach(hello(number, &format!("s{number}")));
    }
    request(&harness, StreamRequest::Join(numbers(1..=STREAMS - 1), "all".into())).await.unwrap();
    request(&harness, StreamRequest::SetLabel(numbers([1, STREAMS]), Some("some".into())))
        .await
        .unwrap();
    let mut waiting = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        waiting.push(request(&harness, request_of(index, step)));
        if !in_one_turn {
            run_until_idle().await;
        }
    }
    let mut replies = Vec::new();
    for replied in waiting {
        replies.push(replied.await.unwrap());
    }
    run_until_idle().await;
    let mut written: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for output in harness.edge_outputs() {
        if let CoreFrame::Transport { transport, message: CoreMessage::Messages(run) } = output {
            let numbered = (run.first.0..).zip(run.messages);
            written.entry(StreamNumber(transport.0)).or_default().extend(numbered);
        }
    }
    harness.task.abort();
    let harness = Harness::start(&store).await;
    let recovered = request(&harness, StreamRequest::Get(numbers(1..=STREAMS))).await.unwrap();
    let StreamReply::Infos(infos) = &recovered else { panic!("{recovered:?}") };
    for info in infos.iter().filter(|info| info.ended.is_some()) {
        // A reset drops the messages that its turn has not written.
        written.remove(&info.stream);
    }
    ((written, replies), recovered)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn calls_in_one_turn_have_the_same_effect(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (batched, single) =
            runtime.block_on(async { (effect(&steps, true).await, effect(&steps, false).await) });
        prop_assert_eq!(batched, single);
    }
}
