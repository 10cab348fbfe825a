//! Acknowledgements piggybacked on messages, for the client and for the application.

use minerva_proto::link::{Attach, Batch};
use minerva_proto::{BatchNumber, TransportNumber};

use super::harness::{Harness, batch, poll, primary, sack, secondary, upload};
use crate::limits::Limits;
use crate::stream::delayed_ack::{MAX_ACK_DELAY_MS, MAX_MESSAGES};

/// A message of the client with a SACK of the previous answer.
fn question(number: u64) -> Batch {
    let sacks = number.checked_sub(1).map(|last| sack(&format!("|{last}"))).into_iter().collect();
    Batch { number: BatchNumber(number), sacks, ..batch(number, &["q"]) }
}

/// A stream whose first message was answered after `ms` milliseconds.
fn answered_after(ms: u64) -> Harness {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    assert_eq!(harness.batch(question(0)), ["0 |0A", "0 taken 0", "app event 1: q"]);
    harness.now.0 += ms;
    let outputs = harness.send_and_acknowledge(0, &["a"], Some(1));
    assert_eq!(outputs, ["0 0N a", "app send 1 room 1048575/999"]);
    harness
}

#[test]
fn a_sack_is_piggybacked_on_a_prompt_answer() {
    for (ms, is_delayed) in
        [(MAX_ACK_DELAY_MS - 1, true), (MAX_ACK_DELAY_MS, true), (MAX_ACK_DELAY_MS + 1, false)]
    {
        let mut harness = answered_after(ms);
        let outputs = harness.batch(question(1));
        assert_eq!(outputs.contains(&"0 |1A".to_owned()), !is_delayed, "{ms}");
        let answer = harness.send_and_acknowledge(1, &["b"], Some(2));
        let piggybacked = ["0 |1A", "0 taken 1", "0 1N b"];
        assert_eq!(
            answer.starts_with(&piggybacked.map(str::to_owned)),
            is_delayed,
            "{ms}: {answer:?}"
        );
    }
}

#[test]
fn a_sack_delayed_in_vain_is_sent_alone_and_the_next_one_at_once() {
    let mut harness = answered_after(0);
    assert_eq!(harness.batch(question(1)), ["app event 2: q"]);
    assert_eq!(
        harness.stream.next_deadline(&harness.limits).unwrap().0,
        harness.now.0 + MAX_ACK_DELAY_MS
    );
    assert_eq!(harness.wait(MAX_ACK_DELAY_MS - 1), [""; 0]);
    assert_eq!(harness.wait(1), ["0 |1A", "0 taken 1"]);
    assert!(harness.batch(Batch { sacks: vec![], ..question(2) }).contains(&"0 |2A".to_owned()));
}

#[test]
fn many_messages_are_acknowledged_at_once() {
    for (count, is_delayed) in
        [(MAX_MESSAGES - 1, true), (MAX_MESSAGES, false), (MAX_MESSAGES + 1, false)]
    {
        let mut harness = answered_after(0);
        let outputs =
            harness.batch(Batch { number: BatchNumber(1), ..batch(1, &vec!["q"; count]) });
        assert_eq!(outputs.contains(&format!("0 |{count}A")), !is_delayed, "{count}");
    }
}

#[test]
fn a_send_is_confirmed_with_the_next_message_to_the_application() {
    let mut harness = answered_after(0);
    assert_eq!(harness.batch(question(1)), ["app event 2: q"]);
    assert_eq!(harness.send_and_acknowledge(1, &["b"], Some(2)).last().unwrap(), "0 1N b");
    let outputs = harness.batch(question(2));
    assert_eq!(outputs, ["app event 3: q", "app send 2 room 1048576/1000"]);
    harness.send_and_acknowledge(2, &["c"], Some(3));
    assert_eq!(harness.wait(MAX_ACK_DELAY_MS), ["app send 3 room 1048575/999"]);
    let undelayed = harness.send(3, &["d"]);
    assert_eq!(undelayed.last().unwrap(), "app send 4 room 1048574/998");
}

#[test]
fn the_end_of_a_stream_flushes_the_acknowledgement() {
    let mut harness = answered_after(0);
    harness.batch(question(1));
    assert_eq!(harness.reset("bye")[..3], ["0 |1A", "0 taken 1", "0 close bye|1!"]);
    let mut harness = answered_after(0);
    harness.batch(question(1));
    let end = Batch {
        number: BatchNumber(2),
        reset: Some(minerva_proto::Reset::new("bye", true)),
        ..batch(2, &[])
    };
    assert_eq!(harness.batch(end)[..2], ["0 |1A", "0 taken 2"]);
}

#[test]
fn the_end_of_a_stream_confirms_a_pending_send() {
    let mut harness = answered_after(0);
    harness.batch(question(1));
    harness.send(1, &["b"]);
    assert_eq!(harness.reset("bye").last().unwrap(), "app send 2 room 1048576/1000");
}

#[test]
fn a_pending_acknowledgement_is_sent_before_the_close_and_dropped_with_a_lost_transport() {
    let mut harness = answered_after(0);
    harness.batch(question(1));
    harness.detach(0);
    assert_eq!(harness.wait(MAX_ACK_DELAY_MS), [""; 0]);
    let mut harness = answered_after(0);
    harness.batch(question(1));
    let next = harness.attach(Attach { succeeds: Some(TransportNumber(0)), ..primary(1) });
    assert_eq!(next[..4], ["1 opened |1A", "0 |1A", "0 taken 1", "0 close |1A |0T gently"]);
    assert_eq!(harness.wait(MAX_ACK_DELAY_MS), [""; 0]);
}

#[test]
fn uploads_and_polls_are_acknowledged_at_once() {
    let mut harness = answered_after(0);
    let outputs = harness.attach(upload(1, 1, &["q"]));
    assert!(outputs.contains(&"1 |1A".to_owned()), "{outputs:?}");
    let (mut harness, _) = Harness::open(secondary(0), Limits::default());
    harness.assign(1000);
    harness.attach(poll(1));
    assert_eq!(harness.batch_on(1, batch(0, &["q"]))[..2], ["1 |0A", "1 taken 0"]);
}
