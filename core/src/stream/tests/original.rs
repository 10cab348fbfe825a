//! Exchanges that were played to the original server; `tests/conformance/exchanges.json` has them under these names.

use minerva_proto::link::{Attach, Batch};
use minerva_proto::{Reset, TransportNumber};

use super::harness::{Harness, batch, poll, primary, sack, sacks, secondary};
use crate::limits::Limits;

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
