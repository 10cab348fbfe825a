//! Detection of a store rollback by reports of clients and edges; ends without an acknowledgement.

use minerva_proto::ClaimTag;
use minerva_proto::StreamNumber;
use minerva_proto::link::{Attach, Resume};
use minerva_proto::{MessageNumber, Sack};

use super::harness::{Harness, batch, bytes, primary, push, sack, sacks, secondary};
use crate::limits::Limits;
use crate::stream::{PushOutcome, Stream};

/// A recovered stream with two received and two sent messages, and one received out of order.
fn recovered() -> Harness {
    let mut harness = live();
    harness.crash();
    harness
}

fn live() -> Harness {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.batch(batch(0, &["a", "b"]));
    harness.batch(batch(3, &["d"]));
    harness.send(0, &["x", "y"]);
    harness
}

fn resumed(next_s2c: u64) -> Attach {
    Attach {
        resume: Some(Resume {
            stream: StreamNumber(7),
            next_s2c: Some(MessageNumber(next_s2c)),
            tag: ClaimTag::UNKNOWN,
        }),
        ..primary(1)
    }
}

#[test]
fn a_report_beyond_the_stored_state_proves_a_loss() {
    let seen = |text| Attach { seen_ack: sack(text), ..secondary(1) };
    let has = |text| Attach { sack: Some(sack(text)), ..secondary(1) };
    let cases = [
        (seen("|1"), false),
        (seen("3|1"), false),
        (seen("|2"), true),
        (seen("4|1"), true),
        (seen("|3"), true),
        (has("|1"), false),
        (has("1|-1"), false),
        (has("|2"), true),
        (has("2|1"), true),
        (resumed(2), false),
        (resumed(3), true),
    ];
    for (attach, is_lost) in cases {
        let mut harness = recovered();
        let shown = format!("{attach:?}");
        let outputs = harness.attach(attach.clone());
        assert_eq!(outputs == ["1 close state lost|0!"], is_lost, "{shown}: {outputs:?}");
        assert_eq!(harness.stream.state().is_ended(), is_lost);
        let mut harness = live();
        harness.attach(attach);
        assert!(
            !harness.stream.state().is_ended(),
            "a stream that was not recovered cannot be lost: {shown}"
        );
    }
}

/// The numbers of lost messages may have been assigned again before the client reconnects.
#[test]
fn reassigned_numbers_hide_no_loss() {
    let has = |text| Attach { sack: Some(sack(text)), ..secondary(1) };
    for (attach, is_lost) in [
        (has("|1"), false),
        (has("|2"), true),
        (has("3|1"), true),
        (resumed(2), false),
        (resumed(3), true),
    ] {
        let mut harness = recovered();
        let messages = bytes(&["other 2", "other 3", "other 4"]);
        harness.outputs_of(|stream, turn| {
            assert_eq!(stream.on_push(&push(messages, None), turn), PushOutcome::Taken);
        });
        let shown = format!("{attach:?}");
        harness.attach(attach);
        assert_eq!(harness.stream.state().is_ended(), is_lost, "{shown}");
    }
    // A written message can be acknowledged.
    let mut harness = recovered();
    harness.outputs_of(|stream, turn| {
        assert_eq!(stream.on_push(&push(bytes(&["other 2"]), None), turn), PushOutcome::Taken);
    });
    harness.attach(primary(1));
    harness.batch_on(1, sacks(&["|2"]));
    assert!(!harness.stream.state().is_ended());
}

#[test]
fn a_sack_of_lost_messages_proves_the_loss() {
    let mut harness = recovered();
    harness.assign(1000);
    harness.attach(primary(1));
    let outputs = harness.batch_on(1, sacks(&["|2"]));
    assert_eq!(outputs[0], "1 close state lost|0!");
    let end = "app event 3: ended state lost|0 by Core".to_owned();
    assert!(outputs.contains(&end), "{outputs:?}");
}

#[test]
fn an_unacknowledged_end_is_forgotten_after_the_limit() {
    for is_recovered in [false, true] {
        let mut harness = live();
        harness.limits =
            Limits { keep_ended: std::time::Duration::from_secs(10), ..harness.limits };
        harness.reset("over");
        if is_recovered {
            harness.stream = Stream::recover(StreamNumber(7), harness.rebuilt(), harness.now);
        }
        assert_eq!(harness.wait(9_999), [""; 0]);
        assert!(!harness.stream.state().inbox().is_done());
        let outputs = harness.wait(1);
        assert_eq!(outputs, if is_recovered { vec![] } else { vec!["app released".to_owned()] });
        assert!(harness.stream.state().inbox().is_done());
        assert_eq!(harness.stream.next_deadline(&harness.limits), None);
        assert!(harness.rebuilt().inbox().is_done(), "after a crash too");
    }
}

#[test]
fn a_long_sack_frees_only_queued_messages() {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    let messages: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    harness.send(0, &messages.iter().map(String::as_str).collect::<Vec<_>>());
    let list = |numbers: Vec<u64>| Sack::from_numbers(None, numbers);
    let records = harness.records.len();
    let first: Vec<u64> = (1..50).rev().chain(60..99).chain([70, 1]).collect();
    let mut one = sacks(&[]);
    one.sacks = vec![list(first.clone())];
    harness.batch(one.clone());
    let held: Vec<u64> =
        harness.stream.state().outbox().iter_from(MessageNumber(0)).map(|(n, _)| n.0).collect();
    let expected: Vec<u64> = (0..100).filter(|number| !first.contains(number)).collect();
    assert_eq!(held, expected);
    assert_eq!(harness.records.len(), records + 1);
    one.sacks = vec![list(vec![1; 4096])];
    harness.batch(one);
    assert_eq!(harness.records.len(), records + 1, "a repeated SACK makes no record");
}
