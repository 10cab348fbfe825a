//! Exchanges that were played to the original server; `tests/conformance/exchanges.json` has them under these names.

use minerva_proto::link::{Attach, Batch, CoreFrame, CoreMessage, NO_HEARTBEAT};
use minerva_proto::{MessageNumber, Reset, TransportNumber};

use super::harness::{Harness, batch, key, poll, primary, sack, sacks, secondary};
use crate::limits::Limits;
use crate::stream::Output;

/// A stream with five queued s2c messages and an open upload transport 0.
fn with_queued() -> Harness {
    let (mut harness, _) = Harness::open(secondary(0), Limits::default());
    harness.assign(1000);
    harness.send(0, &["0", "1", "2", "3", "4"]);
    harness
}

/// A stream with five s2c messages, written to the primary transport 0.
fn with_written() -> Harness {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.send(0, &["0", "1", "2", "3", "4"]);
    harness
}

// sack/socket/queued_never_written*
#[test]
fn queued_messages_that_were_never_written_may_be_acknowledged() {
    for (text, rest) in
        [("|2", &["1 3N 3,4"][..]), ("|4", &[]), ("1,3|-1", &["1 0N 0", "1 2N 2", "1 4N 4"])]
    {
        let mut harness = with_queued();
        assert_eq!(harness.batch_on(0, sacks(&[text]))[0], "0 taken 0");
        let outputs = harness.attach(primary(1));
        assert_eq!(outputs[1..=rest.len()], *rest, "{text}");
    }
}

// sack/socket/queued_never_written_in_hello
#[test]
fn a_hello_may_acknowledge_queued_messages_that_were_never_written() {
    let mut harness = with_queued();
    let next = Attach { sack: Some(sack("4|1")), ..primary(1) };
    assert_eq!(harness.attach(next)[..2], ["1 opened", "1 2N 2,3"]);
}

// An acknowledged message counts as written when the partition moves.
#[test]
fn acknowledged_messages_count_as_written() {
    let mut harness = with_queued();
    harness.batch_on(0, sacks(&["|2"]));
    assert_eq!(harness.stream.unwritten_from().map(|number| number.0), Some(3));
    harness.batch_on(0, sacks(&["4|2"]));
    assert_eq!(harness.stream.unwritten_from(), None);
}

// sack/socket/valid_ack_bad_list, partly_valid_list, valid_frame_then_bad_frame, bad_ack_frees_all,
// bad_ack_with_valid_list, bad_then_valid
#[test]
fn the_valid_part_of_an_invalid_sack_is_applied() {
    for (texts, status, rest) in [
        (&["7|1"][..], "7|1", &["1 2N 2,3,4"][..]),
        (&["3,9|0"], "3,9|0", &["1 1N 1,2", "1 4N 4"]),
        (&["|1", "9|1"], "9|1", &["1 2N 2,3,4"]),
        (&["|9"], "|9", &[]),
        (&["2|9"], "2|9", &[]),
        (&["5|-1", "|0"], "5|-1", &["1 0N 0,1,2,3,4"]),
    ] {
        let mut harness = with_written();
        let outputs = harness.batch(sacks(texts));
        let kill = format!("0 close |-1A {status}T acked_unsent_stringsK");
        assert_eq!(outputs[0], kill, "{texts:?}");
        assert_eq!(harness.attach(primary(1))[1..=rest.len()], *rest, "{texts:?}");
    }
}

// sack/socket/partly_valid_in_hello
#[test]
fn the_valid_part_of_an_invalid_sack_in_the_hello_is_applied() {
    let mut harness = with_written();
    let bad = Attach { sack: Some(sack("9|1")), ..primary(1) };
    assert_eq!(harness.attach(bad), ["1 opened", "1 close acked_unsent_stringsK"]);
    assert_eq!(
        harness.attach(primary(2))[1..3],
        ["0 close |-1A 9|1T gently".to_owned(), "2 2N 2,3,4".to_owned()]
    );
}

// reset/mixed/client_reset_ends_long_poll_and_socket
#[test]
fn a_reset_of_the_client_ends_every_transport_with_a_status() {
    let mut harness = Harness::with_primary();
    harness.attach(secondary(1));
    harness.attach(poll(2));
    let reset = Batch { reset: Some(Reset::new("gone", false)), ..batch(0, &["x"]) };
    assert_eq!(
        harness.batch_on(1, reset),
        ["1 |0A", "1 taken 0", "1 close |0A |-1T gently", "2 close |0A |-1T gently"]
    );
}

// events/socket/succession_*
#[test]
fn a_primary_transport_comes_before_its_predecessor_goes() {
    for succeeds in [None, Some(TransportNumber(0)), Some(TransportNumber(7))] {
        let mut harness = Harness::with_primary();
        harness.assign(1000);
        let outputs = harness.attach(Attach { succeeds, ..primary(1) });
        assert_eq!(outputs[2..], ["app +1 primary of 2", "app -0 primary of 1"]);
    }
}

// s2c/socket/presumed_all
#[test]
fn messages_behind_presumed_ones_are_written_again_with_the_first_sack() {
    let mut harness = with_written();
    harness.attach(Attach { succeeds: Some(TransportNumber(0)), ..primary(1) });
    harness.send(5, &["n"]);
    assert_eq!(harness.batch_on(1, sacks(&["|4"])), ["1 taken 0", "1 5N n"]);
    harness.batch_on(1, sacks(&["|5"]));
    assert!(harness.stream.state().outbox().is_empty());
}

/// The place of the initial heartbeat of a new transport.
fn heartbeat_after(harness: &mut Harness, attach: Attach) -> MessageNumber {
    let attach = Attach { heartbeat: true, ..attach };
    let key = key(attach.transport_number.0);
    let (_, outputs) = harness.turn(|stream, turn| stream.on_attach(key, attach, turn));
    let after = |output: &Output| {
        let Output::Edge(_, CoreFrame::Transport { message, .. }) = output else { return None };
        let CoreMessage::Opened { heartbeat_after, .. } = message else { return None };
        Some(*heartbeat_after)
    };
    outputs.iter().find_map(after).unwrap()
}

// timer/socket/heartbeat_queued*, heartbeat_bad_sack, heartbeat_succeeds
#[test]
fn the_initial_heartbeat_follows_the_queued_messages() {
    for (attach, expected) in [
        (primary(1), MessageNumber(5)),
        (secondary(1), MessageNumber(0)),
        (Attach { sack: Some(sack("|4")), ..primary(1) }, MessageNumber(0)),
        (Attach { sack: Some(sack("|5")), ..primary(1) }, NO_HEARTBEAT),
    ] {
        assert_eq!(heartbeat_after(&mut with_queued(), attach), expected);
    }
    let next = Attach { succeeds: Some(TransportNumber(0)), ..primary(1) };
    assert_eq!(heartbeat_after(&mut with_written(), next), MessageNumber(0), "nothing to write");
}

// timer/http_poll/heartbeat_*
#[test]
fn a_long_poll_has_a_heartbeat_only_if_nothing_else_is_written() {
    let all = Some(sack("|4"));
    let idle = Attach { sack: all, ..poll(1) };
    let with = |batch| Attach { batch: Some(batch), ..idle.clone() };
    let reset = Batch { reset: Some(Reset::new("bye", true)), ..batch(0, &[]) };
    for (attach, expected) in [
        (idle.clone(), MessageNumber(0)),
        (with(sacks(&["|4"])), MessageNumber(0)),
        (poll(1), NO_HEARTBEAT),
        (Attach { create: true, ..idle.clone() }, NO_HEARTBEAT),
        (Attach { seen_ack: sack("|7"), ..idle.clone() }, NO_HEARTBEAT),
        (with(batch(0, &["x"])), NO_HEARTBEAT),
        (with(reset), NO_HEARTBEAT),
    ] {
        assert_eq!(heartbeat_after(&mut with_queued(), attach.clone()), expected, "{attach:?}");
    }
}

// c2s/socket/hello_queued_with_strings
#[test]
fn queued_messages_precede_the_sack_of_the_messages_of_the_hello() {
    let mut harness = with_queued();
    let next = Attach { batch: Some(batch(0, &["x"])), ..primary(1) };
    assert_eq!(harness.attach(next)[..4], ["1 opened", "1 0N 0,1,2,3,4", "1 |0A", "1 taken 0"]);
}
