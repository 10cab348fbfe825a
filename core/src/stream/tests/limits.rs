//! Each limit of a stream: one below, at the limit, one above.

use minerva_proto::link::{Attach, Batch, Run};
use minerva_proto::{BatchNumber, MessageNumber};

use super::harness::{Harness, batch, bytes, primary, sack, secondary, upload};
use crate::limits::Limits;
use crate::stream::c2s_batches::{MAX_PARKED, UPLOAD_WAIT_MS};
use crate::stream::{Intake, Stream};

fn limits() -> Limits {
    Limits::default()
}

/// Messages of these lengths.
fn sized(lengths: &[usize]) -> Vec<String> {
    lengths.iter().map(|&length| "x".repeat(length)).collect()
}

fn refs(messages: &[String]) -> Vec<&str> {
    messages.iter().map(String::as_str).collect()
}

#[test]
fn out_of_order_messages_are_bounded_by_number() {
    for (count, is_killed) in [(49, false), (50, false), (51, true)] {
        let (mut harness, _) = Harness::open(primary(0), limits());
        let messages = sized(&vec![1; count]);
        let outputs = harness.batch(batch(1, &refs(&messages)));
        assert_eq!(outputs.last().unwrap().ends_with("rwin_overflowK"), is_killed, "{count}");
    }
}

#[test]
fn out_of_order_messages_are_bounded_by_bytes() {
    for (length, is_killed) in [(469, false), (470, false), (471, true)] {
        let limits = Limits { rwin_bytes: 1000, ..limits() };
        let (mut harness, _) = Harness::open(primary(0), limits);
        let messages = sized(&[470, length]);
        let outputs = harness.batch(batch(1, &refs(&messages)));
        assert_eq!(outputs.last().unwrap().ends_with("rwin_overflowK"), is_killed, "{length}");
    }
}

#[test]
fn a_full_window_accepts_duplicates_and_the_next_message() {
    let limits = Limits { rwin_messages: 2, ..limits() };
    let (mut harness, _) = Harness::open(primary(0), limits);
    assert_eq!(harness.batch(batch(1, &["1", "2"]))[0], "0 1,2|-1A");
    assert_eq!(harness.batch(batch(1, &["1"]))[0], "0 1,2|-1A");
    assert_eq!(harness.batch(batch(0, &["0"]))[0], "0 |2A");
}

#[test]
fn the_inbox_is_bounded_by_number() {
    for (held, is_taken) in [(2, true), (3, false), (4, false)] {
        let (mut harness, _) = Harness::open(primary(0), Limits { inbox_messages: 3, ..limits() });
        harness.batch(batch(0, &refs(&sized(&vec![1; held]))));
        let more = Batch { number: BatchNumber(1), ..batch(held as u64, &["more"]) };
        assert_eq!(harness.batch(more).contains(&"0 taken 1".to_owned()), is_taken, "{held}");
    }
}

#[test]
fn the_inbox_is_bounded_by_bytes() {
    for (held, is_taken) in [(99, true), (100, false), (101, false)] {
        let (mut harness, _) = Harness::open(primary(0), Limits { inbox_bytes: 100, ..limits() });
        harness.batch(batch(0, &refs(&sized(&[held]))));
        let more = Batch { number: BatchNumber(1), ..batch(1, &["more"]) };
        assert_eq!(harness.batch(more).contains(&"0 taken 1".to_owned()), is_taken, "{held}");
    }
}

#[test]
fn without_intake_batches_wait_until_the_budgets_have_room() {
    for (intake, is_taken) in
        [(Intake::Nothing, false), (Intake::InOrder, true), (Intake::All, true)]
    {
        let (mut harness, _) = Harness::open(primary(0), limits());
        harness.intake = intake;
        let taken = "0 taken 0".to_owned();
        assert_eq!(harness.batch(batch(0, &["a"])).contains(&taken), is_taken, "{intake:?}");
        assert_eq!(harness.stream.has_parked(), !is_taken, "{intake:?}");
        harness.intake = Intake::All;
        let later = harness.outputs_of(Stream::on_intake);
        assert_eq!(later.contains(&taken), !is_taken, "{intake:?}");
        assert_eq!(harness.stream.state().inbox().messages(), 1);
    }
}

#[test]
fn an_intake_in_order_closes_a_transport_with_a_message_beyond_a_gap() {
    let (mut harness, _) = Harness::open(primary(0), limits());
    harness.intake = Intake::InOrder;
    let outputs = harness.batch(Batch {
        runs: vec![
            Run { first: MessageNumber(0), messages: bytes(&["0"]) },
            Run { first: MessageNumber(2), messages: bytes(&["2"]) },
        ],
        ..batch(0, &[])
    });
    assert_eq!(outputs, ["0 close unavailable: no room behind a gap"]);
    assert_eq!(harness.stream.state().sack().to_string(), "|0");
}

#[test]
fn an_intake_in_order_fills_a_gap() {
    let (mut harness, _) = Harness::open(primary(0), limits());
    harness.batch(batch(1, &["1", "2"]));
    harness.intake = Intake::InOrder;
    assert_eq!(harness.batch(batch(0, &["0"]))[0], "0 |2A");
}

#[test]
fn an_acknowledgement_of_the_application_accepts_parked_batches() {
    let (mut harness, _) = Harness::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    harness.assign(1000);
    harness.batch(batch(0, &["a"]));
    harness.send(0, &["x"]);
    let sacks = vec![sack("|0")];
    let waiting = Batch { number: BatchNumber(1), sacks, ..batch(1, &["b"]) };
    let outputs = harness.batch(waiting);
    assert!(!outputs.iter().any(|output| output.contains("taken")), "{outputs:?}");
    assert!(
        harness.stream.state().outbox().is_empty(),
        "the SACK of a parked batch is applied at once"
    );
    let last = Batch { number: BatchNumber(2), ..batch(2, &["c"]) };
    assert_eq!(harness.batch(last), [""; 0]);
    assert_eq!(harness.acknowledge(1), ["app event 2: b"]);
    assert_eq!(harness.wait(20), ["0 |1A", "0 taken 1"], "no message to piggyback on");
    assert_eq!(harness.acknowledge(2), ["0 |2A", "0 taken 2", "app event 3: c"]);
}

/// Both directions are full: an HTTP client has one upload at a time, and sends its SACK with the next one.
#[test]
fn a_parked_upload_ends_while_messages_are_unacknowledged() {
    for (wait, is_over) in
        [(UPLOAD_WAIT_MS - 1, false), (UPLOAD_WAIT_MS, true), (UPLOAD_WAIT_MS + 1, true)]
    {
        let (mut harness, _) = Harness::open(primary(0), Limits { inbox_messages: 1, ..limits() });
        harness.assign(1000);
        harness.batch(batch(0, &["a"]));
        harness.send(0, &["x"]);
        harness.attach(upload(1, 1, &["b"]));
        assert_eq!(
            harness.stream.next_deadline(&harness.limits).map(|at| at.0 - harness.now.0),
            Some(UPLOAD_WAIT_MS)
        );
        let outputs = harness.wait(wait);
        assert_eq!(outputs.contains(&"1 close |0A |-1T gently".to_owned()), is_over, "{outputs:?}");
        assert_eq!(outputs.is_empty(), !is_over, "{outputs:?}");
        let next = Attach { sack: Some(sack("|0")), ..upload(2, 1, &["b"]) };
        harness.attach(next);
        assert!(harness.stream.state().outbox().is_empty());
        assert_eq!(harness.wait(100 * UPLOAD_WAIT_MS), [""; 0], "no message is unacknowledged");
        let outputs = harness.acknowledge(1);
        assert!(outputs.contains(&"app event 2: b".to_owned()), "{outputs:?}");
    }
}

#[test]
fn a_parked_batch_of_a_primary_transport_has_no_time_limit() {
    let (mut harness, _) = Harness::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    harness.assign(1000);
    harness.batch(batch(0, &["a"]));
    harness.send(0, &["x"]);
    harness.batch(Batch { number: BatchNumber(1), ..batch(1, &["b"]) });
    assert_eq!(harness.wait(2 * UPLOAD_WAIT_MS), [""; 0], "its SACKs are applied");
}

#[test]
fn a_reset_accepts_the_parked_batches() {
    let (mut harness, _) = Harness::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    harness.batch(batch(0, &["a"]));
    harness.batch(Batch { number: BatchNumber(1), ..batch(1, &["b"]) });
    let reset = Some(minerva_proto::Reset::new("bye", true));
    harness.batch(Batch { number: BatchNumber(2), reset, ..batch(2, &["c"]) });
    assert_eq!(harness.assign(1000).last().unwrap(), "app event 4: ended bye|1 by Client");
}

#[test]
fn the_outbox_is_bounded_by_number() {
    for (count, is_taken) in [(2, true), (3, true), (4, false)] {
        let (mut harness, _) =
            Harness::open(secondary(0), Limits { outbox_messages: 3, ..limits() });
        harness.assign(1000);
        let messages = sized(&vec![1; count]);
        let outputs = harness.send(0, &refs(&messages));
        assert_eq!(outputs[0] != "app refused 0 ResourceExhausted next 0", is_taken, "{count}");
    }
}

#[test]
fn the_outbox_is_bounded_by_bytes() {
    for (held, is_taken) in [(99, true), (100, false), (101, false)] {
        let (mut harness, _) =
            Harness::open(secondary(0), Limits { outbox_bytes: 100, ..limits() });
        harness.assign(1000);
        harness.send(0, &refs(&sized(&[held])));
        let outputs = harness.send(1, &["a longer one"]);
        assert_eq!(outputs[0] != "app refused 1 ResourceExhausted next 1", is_taken, "{held}");
    }
}

#[test]
fn a_half_full_outbox_pauses_the_application() {
    for (held, is_paused) in [(49, false), (50, true), (51, true)] {
        let (mut harness, _) =
            Harness::open(secondary(0), Limits { outbox_bytes: 100, ..limits() });
        harness.assign(1000);
        let outputs = harness.send(0, &refs(&sized(&[held])));
        assert_eq!(outputs[0].ends_with("paused"), is_paused, "{held}");
    }
}

#[test]
fn selectively_acknowledged_messages_count_behind_a_gap() {
    let (mut harness, _) = Harness::open(primary(0), Limits { outbox_messages: 3, ..limits() });
    harness.assign(1000);
    harness.send(0, &["0", "1", "2"]);
    harness.batch(super::harness::sacks(&["1,2|-1"]));
    assert_eq!(harness.send(3, &["3"]), ["app refused 3 ResourceExhausted next 3"]);
}

#[test]
fn the_number_of_transports_is_bounded() {
    let limits = Limits { transports_per_stream: 3, ..limits() };
    let (mut harness, _) = Harness::open(primary(0), limits);
    assert_eq!(harness.attach(secondary(1)), ["1 opened"]);
    assert_eq!(harness.attach(secondary(2)), ["2 opened"]);
    assert_eq!(harness.attach(secondary(3)), ["3 close unavailable: too many transports"]);
    assert_eq!(
        harness.attach(primary(4)),
        ["4 opened", "0 close |-1A |-1T gently"],
        "a new primary transport replaces the old one"
    );
    harness.detach(4);
    harness.attach(secondary(5));
    assert_eq!(
        harness.attach(primary(6)),
        ["6 opened", "1 close |-1A |-1T gently"],
        "the oldest transport is closed"
    );
}

#[test]
fn parked_batches_are_bounded() {
    let (mut harness, _) = Harness::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    harness.batch(batch(0, &["a"]));
    let waiting = |number| Batch {
        number: BatchNumber(number),
        runs: vec![Run { first: MessageNumber(number), messages: bytes(&["b"]) }],
        ..batch(0, &[])
    };
    for number in 1..=MAX_PARKED as u64 {
        assert_eq!(harness.batch(waiting(number)), [""; 0]);
    }
    let more = waiting(MAX_PARKED as u64 + 1);
    assert_eq!(harness.batch(more), ["0 close unavailable: too many batches wait"]);
}
