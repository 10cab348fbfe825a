//! Outputs to transports, after the recorded vectors; their names are above the tests.

use minerva_proto::ClaimTag;
use minerva_proto::link::{Attach, Batch, End, Resume, Run};
use minerva_proto::{KillReason, MessageNumber, Reset, StreamNumber, TransportNumber};

use super::harness::{
    Harness, LINK, TAG, batch, bytes, key, poll, primary, sack, sacks, secondary, upload,
};
use crate::limits::Limits;
use crate::stream::TransportKey;

/// A stream with these s2c messages, written to the primary transport 0.
fn with_sent(messages: &[&str]) -> Harness {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.send(0, messages);
    harness
}

// stream/http/new_on_existing_id
#[test]
fn a_new_hello_for_an_existing_stream_is_answered_by_created() {
    let (mut harness, outputs) = Harness::open(upload(0, 0, &["x"]), Limits::default());
    assert_eq!(outputs, ["0 opened C", "0 |0A", "0 taken 0", "0 close |0A |-1T gently"]);
    let again = Attach { create: true, ..upload(1, 0, &[]) };
    assert_eq!(harness.attach(again), ["1 opened C |0A", "1 taken 0", "1 close |0A |-1T gently"]);
}

// c2s/http/secondary_upload_stale_seenack
#[test]
fn an_outdated_seenack_gets_a_sack_before_that_of_the_batch() {
    let (mut harness, _) = Harness::open(upload(0, 0, &["a"]), Limits::default());
    assert_eq!(
        harness.attach(upload(1, 1, &["b"])),
        ["1 opened |0A", "1 |1A", "1 taken 0", "1 close |1A |-1T gently"]
    );
}

// s2c/socket/initial_sack_seenack_ahead
#[test]
fn a_seenack_beyond_the_received_messages_gets_the_sack() {
    let attach = Attach { seen_ack: sack("|9"), ..primary(0) };
    assert_eq!(Harness::open(attach, Limits::default()).1, ["0 opened C |-1A"]);
}

// stream/socket/bad_sack_in_new_hello_leaves_stream, sack/socket/bad_sack_in_hello_attach
#[test]
fn an_invalid_sack_in_the_hello_kills_the_transport_only() {
    let bad = Attach { sack: Some(sack("|0")), ..primary(0) };
    let (mut harness, outputs) = Harness::open(bad, Limits::default());
    assert_eq!(outputs, ["0 opened C", "0 close acked_unsent_stringsK"]);
    assert_eq!(harness.attach(primary(1)), ["1 opened"]);
    let bad = Attach { sack: Some(sack("|7")), ..primary(2) };
    assert_eq!(harness.attach(bad), ["2 opened", "2 close acked_unsent_stringsK"]);
    harness.assign(1000);
    assert!(harness.send(0, &["a"]).contains(&"1 0N a".to_owned()), "1 is still primary");
}

// s2c/socket/eeds_nothing_written, primary_replaced_eeds_match
#[test]
fn a_successor_continues_behind_the_live_primary() {
    let mut harness = with_sent(&["0", "1", "2"]);
    let next = Attach { succeeds: Some(TransportNumber(0)), ..primary(1) };
    assert_eq!(
        harness.attach(next),
        ["1 opened", "0 close |-1A |-1T gently", "app +1 primary of 2", "app -0 primary of 1"]
    );
    assert_eq!(harness.send(3, &["new"])[0], "1 3N new");
}

#[test]
fn presumed_messages_are_written_again_once_after_a_sack_without_them() {
    let mut harness = with_sent(&["0", "1", "2"]);
    harness.attach(Attach { succeeds: Some(TransportNumber(0)), ..primary(1) });
    harness.send(3, &["new"]);
    assert_eq!(harness.batch_on(1, sacks(&["|0"])), ["1 taken 0", "1 1N 1,2,new"]);
    assert_eq!(harness.batch_on(1, sacks(&["|0"])), [""; 0], "once");
    assert_eq!(harness.send(4, &["x"])[..2], ["1 taken 0", "1 4N x"]);
}

#[test]
fn a_gap_of_a_resumed_transport_is_filled_once() {
    let mut harness = with_sent(&["0", "1", "2", "3"]);
    harness.detach(0);
    // Messages 0 and 1 were written to the predecessor and lost, 2 and 3 to this transport.
    let resume = Some(Resume {
        stream: StreamNumber(7),
        next_s2c: Some(MessageNumber(4)),
        tag: ClaimTag::UNKNOWN,
    });
    assert_eq!(harness.attach(Attach { resume, ..primary(1) })[0], "1 opened |-1A");
    assert_eq!(harness.batch_on(1, sacks(&["|-1"])), ["1 taken 0"], "no gap yet");
    assert_eq!(harness.batch_on(1, sacks(&["2|-1"])), ["1 taken 0", "1 0N 0,1"]);
    assert_eq!(harness.batch_on(1, sacks(&["2,3|-1"])), [""; 0], "once");
}

// s2c/socket/eeds_with_sack_in_hello
#[test]
fn presumed_messages_are_not_written_before_a_sack() {
    let mut harness = with_sent(&["0", "1", "2"]);
    let next = Attach { succeeds: Some(TransportNumber(0)), sack: Some(sack("|0")), ..primary(1) };
    assert_eq!(harness.attach(next)[0..2], ["1 opened", "0 close |-1A |0T gently"]);
    assert_eq!(harness.send(3, &["x"])[0], "1 3N x");
    harness.detach(1);
    assert_eq!(harness.attach(primary(2))[0..2], ["2 opened", "2 3N x"]);
}

// s2c/socket/eeds_of_dead_primary, primary_replaced_eeds_null, retransmit_after_loss
#[test]
fn without_a_live_predecessor_all_messages_are_written_again() {
    let mut harness = with_sent(&["0", "1"]);
    harness.detach(0);
    let next = Attach { succeeds: Some(TransportNumber(0)), ..primary(1) };
    assert_eq!(harness.attach(next)[0..2], ["1 opened", "1 0N 0,1"]);
    assert_eq!(
        harness.attach(primary(2))[0..3],
        ["2 opened", "1 close |-1A |-1T gently", "2 0N 0,1"]
    );
}

// s2c/socket/secondary_gets_no_strings
#[test]
fn a_secondary_transport_gets_no_messages() {
    let (mut harness, _) = Harness::open(secondary(0), Limits::default());
    harness.assign(1000);
    assert_eq!(harness.send(0, &["a"]), [format!("app send 1 room {}/999", (1 << 20) - 1)]);
}

// sack/socket/acked_unsent
#[test]
fn an_invalid_sack_kills_and_the_status_repeats_it() {
    let mut harness = Harness::with_primary();
    let bad = Batch { sacks: vec![sack("|0")], ..batch(0, &["kept"]) };
    assert_eq!(harness.batch(bad), ["0 close |0A |0T acked_unsent_stringsK"]);
    assert_eq!(harness.stream.state().inbox().messages(), 1);
}

// sack/socket/sack_list_frees_selectively, ack_in_hello
#[test]
fn selectively_acknowledged_messages_are_not_written_again() {
    let mut harness = with_sent(&["0", "1", "2", "3", "4", "5", "6", "7"]);
    harness.batch(sacks(&["3,4,6|1"]));
    harness.detach(0);
    let outputs = harness.attach(primary(1));
    assert_eq!(outputs[0..4], ["1 opened", "1 2N 2", "1 5N 5", "1 7N 7"]);
}

// c2s/socket/rwin_overflow_delivers_deliverable
#[test]
fn an_overflow_kills_after_the_delivery_of_messages_in_order() {
    let (mut harness, _) =
        Harness::open(primary(0), Limits { rwin_messages: 2, ..Limits::default() });
    let mut overflow = batch(0, &["d0", "d1"]);
    overflow.runs.push(Run { first: MessageNumber(5), messages: bytes(&["5", "6", "7"]) });
    assert_eq!(harness.batch(overflow), ["0 close 5,6|1A |-1T rwin_overflowK"]);
    assert_eq!(harness.attach(primary(1)), ["1 opened 5,6|1A"]);
    assert_eq!(harness.batch_on(1, batch(2, &["2", "3", "4"])), ["1 |6A", "1 taken 0"]);
    assert_eq!(harness.assign(1000).last(), Some(&"app event 3: 2,3,4,5,6".to_owned()));
}

// reset/socket/from_client_strings_before_it_delivered
#[test]
fn a_reset_from_the_client_ends_all_transports_gently() {
    let mut harness = Harness::with_primary();
    harness.attach(secondary(1));
    let reset = Batch { reset: Some(Reset::new("bye", true)), ..batch(0, &["x", "y"]) };
    assert_eq!(
        harness.batch(reset),
        ["0 |1A", "0 taken 0", "0 close |1A |-1T gently", "1 close |1A |-1T gently"]
    );
    assert!(harness.stream.state().is_ended());
}

// frametype/socket/bad_frame_after_good_strings_separate_writes
#[test]
fn a_protocol_error_kills_with_sack_and_status() {
    let mut harness = Harness::with_primary();
    harness.batch(batch(0, &["a", "b"]));
    let end = Some(End { kill: Some(KillReason::InvalidFrameTypeOrArguments) });
    let error = Batch { end, ..batch(0, &[]) };
    assert_eq!(harness.batch(error), ["0 close |1A |-1T invalid_frame_type_or_argumentsK"]);
}

// http/longpoll/app_delay, client/http/abort_first_poll_then_new_again
#[test]
fn a_long_poll_ends_with_the_first_flush() {
    let (mut harness, outputs) = Harness::open(poll(0), Limits::default());
    assert_eq!(outputs, ["0 opened C", "0 close |-1A |-1T gently"]);
    assert_eq!(harness.attach(poll(1)), ["1 opened"], "held");
    harness.assign(1000);
    assert_eq!(harness.send(0, &["a", "b"])[0..2], ["1 0N a,b", "1 close |-1A |-1T gently"]);
    let with_heartbeat = Attach { heartbeat: true, sack: Some(sack("|1")), ..poll(2) };
    assert_eq!(harness.attach(with_heartbeat)[0..2], ["2 opened", "2 close |-1A |1T gently"]);
}

// http/longpoll/upload_on_primary
#[test]
fn the_sack_of_an_upload_ends_a_long_poll() {
    let (mut harness, _) = Harness::open(upload(0, 0, &[]), Limits::default());
    let both = Attach { batch: Some(batch(0, &["x"])), ..poll(1) };
    assert_eq!(harness.attach(both), ["1 opened", "1 |0A", "1 taken 0", "1 close |0A |-1T gently"]);
}

// client/http/browser_retries_same_request
#[test]
fn two_transports_may_have_the_same_number() {
    let (mut harness, _) = Harness::open(upload(0, 0, &[]), Limits::default());
    harness.attach(poll(1));
    assert_eq!(harness.attach_as(key(2), poll(1)), ["2 opened", "1 close |-1A |-1T gently"]);
    let repeated = Attach { seen_ack: sack("|-1"), ..upload(3, 0, &["a", "b"]) };
    harness.attach(repeated);
    assert_eq!(
        harness.attach(upload(4, 0, &["a", "b"])),
        ["4 opened |1A", "4 |1A", "4 taken 0", "4 close |1A |-1T gently"]
    );
    harness.assign(1000);
    assert_eq!(harness.send(0, &["x"])[0..2], ["2 0N x", "2 close |1A |-1T gently"]);
}

#[test]
fn the_credit_may_be_exceeded_by_one_message() {
    let (mut harness, _) = Harness::open(Attach { s2c_bytes: 3, ..primary(0) }, Limits::default());
    harness.assign(1000);
    assert_eq!(harness.send(0, &["ab", "cd", "ef", "gh"])[0], "0 0N ab,cd");
    assert_eq!(harness.grant(0, 1), [""; 0], "the last message exceeded the credit by one");
    assert_eq!(harness.grant(0, 3), ["0 2N ef,gh"]);
}

#[test]
fn a_resumed_transport_continues_behind_the_last_written_message() {
    let mut harness = with_sent(&["0", "1", "2"]);
    harness.crash();
    let resume = Some(Resume {
        stream: StreamNumber(7),
        next_s2c: Some(MessageNumber(2)),
        tag: ClaimTag::UNKNOWN,
    });
    let outputs = harness.attach(Attach { resume, create: true, ..primary(5) });
    assert_eq!(outputs[0..2], ["5 opened |-1A", "5 2N 2"]);
    let older = Attach { resume, ..primary(3) };
    assert_eq!(harness.attach(older)[0..2], ["3 opened |-1A", "3 close |-1A |-1T gently"]);
}

#[test]
fn a_lost_link_detaches_its_transports() {
    let mut harness = with_sent(&["0"]);
    harness.outputs_of(|stream, turn| stream.on_link_lost(LINK, turn));
    assert!(!harness.stream.holds_transport(key(0)));
    assert_eq!(harness.batch(batch(0, &["late"])), [""; 0]);
    harness.outputs_of(|stream, _| {
        let TransportKey { link, transport } = key(0);
        stream.on_grant(TransportKey { link, transport }, 5);
    });
}

// stream/socket/idle_timeout, idle_timeout_not_while_attached
#[test]
fn a_stream_without_transports_ends_at_the_idle_limit() {
    let mut harness = Harness::with_primary();
    assert_eq!(harness.wait(10_000_000), [""; 0]);
    harness.detach(0);
    assert_eq!(harness.wait(119_999), [""; 0]);
    assert!(!harness.stream.state().is_ended());
    harness.wait(1);
    let ended = harness.stream.state().inbox().ended().unwrap().1.clone();
    assert_eq!(ended.reset, Reset::new("no activity from peer", false));
}

#[test]
fn a_client_that_acknowledges_nothing_is_slow() {
    let mut harness = with_sent(&["0", "1"]);
    assert_eq!(harness.wait(119_999), [""; 0]);
    assert_eq!(harness.batch(sacks(&["|0"])), ["0 taken 0"]);
    assert_eq!(harness.wait(119_999), [""; 0], "the SACK was progress");
    // Time without a transport does not count; one minute is left.
    harness.now.0 -= 59_999;
    harness.detach(0);
    harness.wait(100_000);
    harness.attach(primary(1));
    assert_eq!(harness.wait(59_999), [""; 0]);
    assert_eq!(harness.wait(1)[0], "1 close slow client|0!");
}

/// The edge reports the end of a written long-poll later than another edge its successor.
#[test]
fn a_successor_of_a_written_poll_is_no_takeover() {
    let limits = Limits { max_stream_takeovers: 1, ..Limits::default() };
    let (mut harness, _) = Harness::open(poll(0), limits);
    harness.assign(1000);
    for number in 1..=30 {
        harness.send(number - 1, &["x"]);
        let outputs = harness.attach(poll(number));
        assert_eq!(outputs[0], format!("{number} opened"));
    }
}

#[test]
fn a_resumed_transport_is_no_takeover() {
    let limits = Limits { max_stream_takeovers: 1, ..Limits::default() };
    let (mut harness, _) = Harness::open(primary(0), limits);
    for number in 1..=30 {
        let resume = Resume { stream: harness.stream.number(), next_s2c: None, tag: TAG };
        let outputs = harness.attach(Attach { resume: Some(resume), ..primary(number) });
        assert!(outputs[0].starts_with(&format!("{number} opened")), "{outputs:?}");
    }
    for number in 31..=40 {
        assert_eq!(harness.attach(primary(number))[0], format!("{number} opened"));
    }
    assert_eq!(harness.attach(secondary(41)), ["41 opened"], "an upload takes nothing over");
    assert_eq!(harness.attach(primary(42)), ["42 close unavailable: busy"]);
}
