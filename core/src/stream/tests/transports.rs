//! What transports see, after the recorded vectors; the names of vectors stand above the tests.

use minerva_proto::{KillReason, Reset};

use super::bench::{Bench, LINK, batch, bytes, poll, primary, sack, sacks, secondary, upload};
use crate::limits::Limits;
use crate::stream::{Attach, Batch, End, Resume, Run, TransportKey};

/// A stream whose application has sent these strings, written to the primary transport 0.
fn with_sent(messages: &[&str]) -> Bench {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    bench.send(0, messages);
    bench
}

// stream/http/new_on_existing_id
#[test]
fn a_new_hello_is_answered_by_created_also_when_the_stream_exists() {
    let (mut bench, says) = Bench::open(upload(0, 0, &["x"]), Limits::default());
    assert_eq!(says, ["0 opened C", "0 |0A", "0 taken 0", "0 close |0A |-1T gently"]);
    let again = Attach { create: true, ..upload(1, 0, &[]) };
    assert_eq!(bench.attach(again), ["1 opened C |0A", "1 taken 0", "1 close |0A |-1T gently"]);
}

// c2s/http/secondary_upload_stale_seenack
#[test]
fn a_stale_seenack_gets_the_sack_at_once_and_the_batch_its_own() {
    let (mut bench, _) = Bench::open(upload(0, 0, &["a"]), Limits::default());
    assert_eq!(
        bench.attach(upload(1, 1, &["b"])),
        ["1 opened |0A", "1 |1A", "1 taken 0", "1 close |1A |-1T gently"]
    );
}

// s2c/socket/initial_sack_seenack_ahead
#[test]
fn a_seenack_ahead_of_the_truth_gets_the_sack_as_well() {
    let attach = Attach { seen_ack: sack("|9"), ..primary(0) };
    assert_eq!(Bench::open(attach, Limits::default()).1, ["0 opened C |-1A"]);
}

// stream/socket/bad_sack_in_new_hello_leaves_stream, sack/socket/bad_sack_in_hello_attach
#[test]
fn a_bad_sack_in_the_hello_kills_without_status_and_the_stream_stays() {
    let bad = Attach { sack: Some(sack("|0")), ..primary(0) };
    let (mut bench, says) = Bench::open(bad, Limits::default());
    assert_eq!(says, ["0 opened C", "0 close acked_unsent_stringsK"]);
    assert_eq!(bench.attach(primary(1)), ["1 opened"]);
    let bad = Attach { sack: Some(sack("|7")), ..primary(2) };
    assert_eq!(bench.attach(bad), ["2 opened", "2 close acked_unsent_stringsK"]);
    bench.assign(1000);
    assert!(bench.send(0, &["a"]).contains(&"1 0N a".to_owned()), "1 is still primary");
}

// s2c/socket/eeds_nothing_written, primary_replaced_eeds_match
#[test]
fn a_successor_goes_on_where_the_live_primary_was() {
    let mut bench = with_sent(&["0", "1", "2"]);
    let next = Attach { succeeds: Some(0), ..primary(1) };
    assert_eq!(
        bench.attach(next),
        ["1 opened", "0 close |-1A |-1T gently", "app -0 primary of 0", "app +1 primary of 1"]
    );
    assert_eq!(bench.send(3, &["new"])[0], "1 3N new");
}

#[test]
fn what_a_successor_took_for_granted_is_written_again_once_after_a_sack_without_it() {
    let mut bench = with_sent(&["0", "1", "2"]);
    bench.attach(Attach { succeeds: Some(0), ..primary(1) });
    bench.send(3, &["new"]);
    assert_eq!(bench.batch(sacks(1, &["|0"])), ["1 taken 0", "1 1N 1,2"]);
    assert_eq!(bench.batch(sacks(1, &["|0"])), [""; 0], "once");
    assert_eq!(bench.send(4, &["x"])[..2], ["1 taken 0", "1 4N x"]);
}

#[test]
fn a_gap_below_what_a_transport_brought_over_is_filled_once() {
    let mut bench = with_sent(&["0", "1", "2", "3"]);
    bench.detach(0);
    // 0 and 1 were written to its predecessor and lost, 2 and 3 to this one.
    let resume = Some(Resume { stream: 7, next_s2c: Some(4) });
    assert_eq!(bench.attach(Attach { resume, ..primary(1) })[0], "1 opened |-1A");
    assert_eq!(bench.batch(sacks(1, &["|-1"])), ["1 taken 0"], "no gap yet");
    assert_eq!(bench.batch(sacks(1, &["2|-1"])), ["1 taken 0", "1 0N 0,1"]);
    assert_eq!(bench.batch(sacks(1, &["2,3|-1"])), [""; 0], "once");
}

// s2c/socket/eeds_with_sack_in_hello
#[test]
fn what_is_taken_for_granted_stays_so_until_a_sack_comes() {
    let mut bench = with_sent(&["0", "1", "2"]);
    let next = Attach { succeeds: Some(0), sack: Some(sack("|0")), ..primary(1) };
    assert_eq!(bench.attach(next)[0..2], ["1 opened", "0 close |-1A |0T gently"]);
    assert_eq!(bench.send(3, &["x"])[0], "1 3N x");
    bench.detach(1);
    assert_eq!(bench.attach(primary(2))[0..2], ["2 opened", "2 3N x"]);
}

// s2c/socket/eeds_of_dead_primary, primary_replaced_eeds_null, retransmit_after_loss
#[test]
fn without_a_live_predecessor_all_is_written_again() {
    let mut bench = with_sent(&["0", "1"]);
    bench.detach(0);
    let next = Attach { succeeds: Some(0), ..primary(1) };
    assert_eq!(bench.attach(next)[0..2], ["1 opened", "1 0N 0,1"]);
    assert_eq!(
        bench.attach(primary(2))[0..3],
        ["2 opened", "1 close |-1A |-1T gently", "2 0N 0,1"]
    );
}

// s2c/socket/secondary_gets_no_strings
#[test]
fn a_transport_that_does_not_want_strings_gets_none() {
    let (mut bench, _) = Bench::open(secondary(0), Limits::default());
    bench.assign(1000);
    assert_eq!(bench.send(0, &["a"]), [format!("app send 1 room {}/999", (1 << 20) - 1)]);
}

// sack/socket/acked_unsent
#[test]
fn a_bad_sack_kills_and_the_status_repeats_it() {
    let mut bench = Bench::with_primary();
    let bad = Batch { sacks: vec![sack("|0")], ..batch(0, 0, &["kept"]) };
    assert_eq!(bench.batch(bad), ["0 close |0A |0T acked_unsent_stringsK"]);
    assert_eq!(bench.stream.state().inbox().messages(), 1);
}

// sack/socket/sack_list_frees_selectively, ack_in_hello
#[test]
fn selectively_acknowledged_strings_are_not_written_again() {
    let mut bench = with_sent(&["0", "1", "2", "3", "4", "5", "6", "7"]);
    bench.batch(sacks(0, &["3,4,6|1"]));
    bench.detach(0);
    let says = bench.attach(primary(1));
    assert_eq!(says[0..4], ["1 opened", "1 2N 2", "1 5N 5", "1 7N 7"]);
}

// c2s/socket/rwin_overflow_delivers_deliverable
#[test]
fn an_overflow_kills_after_delivering_what_can_be() {
    let (mut bench, _) = Bench::open(primary(0), Limits { rwin_messages: 2, ..Limits::default() });
    let mut overflow = batch(0, 0, &["d0", "d1"]);
    overflow.runs.push(Run { first: 5, messages: bytes(&["5", "6", "7"]) });
    assert_eq!(bench.batch(overflow), ["0 close 5,6|1A |-1T rwin_overflowK"]);
    assert_eq!(bench.attach(primary(1)), ["1 opened 5,6|1A"]);
    assert_eq!(bench.batch(batch(1, 2, &["2", "3", "4"])), ["1 |6A", "1 taken 0"]);
    assert_eq!(bench.assign(1000).last(), Some(&"app event 3: 2,3,4,5,6".to_owned()));
}

// reset/socket/from_client_strings_before_it_delivered
#[test]
fn a_reset_from_the_client_ends_its_transport_gently_and_the_others_with_the_reset() {
    let mut bench = Bench::with_primary();
    bench.attach(secondary(1));
    let reset = Batch { reset: Some(Reset::new("bye", true)), ..batch(0, 0, &["x", "y"]) };
    assert_eq!(
        bench.batch(reset),
        ["0 |1A", "0 taken 0", "0 close |1A |-1T gently", "1 close bye|1!"]
    );
    assert!(bench.stream.state().is_ended());
}

// frametype/socket/bad_frame_after_good_strings_separate_writes
#[test]
fn a_protocol_error_kills_with_sack_and_status() {
    let mut bench = Bench::with_primary();
    bench.batch(batch(0, 0, &["a", "b"]));
    let end = Some(End { kill: Some(KillReason::InvalidFrameTypeOrArguments) });
    let error = Batch { end, ..batch(0, 0, &[]) };
    assert_eq!(bench.batch(error), ["0 close |1A |-1T invalid_frame_type_or_argumentsK"]);
}

// http/longpoll/app_delay, client/http/abort_first_poll_then_new_again
#[test]
fn a_long_poll_ends_with_the_first_thing_written() {
    let (mut bench, says) = Bench::open(poll(0), Limits::default());
    assert_eq!(says, ["0 opened C", "0 close |-1A |-1T gently"]);
    assert_eq!(bench.attach(poll(1)), ["1 opened"], "held");
    bench.assign(1000);
    assert_eq!(bench.send(0, &["a", "b"])[0..2], ["1 0N a,b", "1 close |-1A |-1T gently"]);
    let beating = Attach { heartbeat: true, sack: Some(sack("|1")), ..poll(2) };
    assert_eq!(bench.attach(beating)[0..2], ["2 opened", "2 close |-1A |1T gently"]);
}

// http/longpoll/upload_on_primary
#[test]
fn the_sack_of_an_upload_ends_a_long_poll() {
    let (mut bench, _) = Bench::open(upload(0, 0, &[]), Limits::default());
    let both = Attach { batch: Some(batch(1, 0, &["x"])), ..poll(1) };
    assert_eq!(bench.attach(both), ["1 opened", "1 |0A", "1 taken 0", "1 close |0A |-1T gently"]);
}

// client/http/browser_retries_same_request
#[test]
fn two_transports_may_have_the_same_number() {
    let (mut bench, _) = Bench::open(upload(0, 0, &[]), Limits::default());
    bench.attach(Attach { transport_number: 1, ..poll(1) });
    assert_eq!(
        bench.attach(Attach { transport_number: 1, ..poll(2) }),
        ["2 opened", "1 close |-1A |-1T gently"]
    );
    let repeated = Attach { seen_ack: sack("|-1"), ..upload(3, 0, &["a", "b"]) };
    bench.attach(repeated);
    assert_eq!(
        bench.attach(upload(4, 0, &["a", "b"])),
        ["4 opened |1A", "4 |1A", "4 taken 0", "4 close |1A |-1T gently"]
    );
    bench.assign(1000);
    assert_eq!(bench.send(0, &["x"])[0..2], ["2 0N x", "2 close |1A |-1T gently"]);
}

#[test]
fn strings_are_written_as_far_as_the_credit_goes_and_one_more() {
    let (mut bench, _) = Bench::open(Attach { s2c_bytes: 3, ..primary(0) }, Limits::default());
    bench.assign(1000);
    assert_eq!(bench.send(0, &["ab", "cd", "ef", "gh"])[0], "0 0N ab,cd");
    assert_eq!(bench.grant(0, 1), [""; 0], "the last string overdrew by one");
    assert_eq!(bench.grant(0, 3), ["0 2N ef,gh"]);
}

#[test]
fn a_transport_from_a_lost_link_goes_on_where_it_was() {
    let mut bench = with_sent(&["0", "1", "2"]);
    bench.crash();
    let resume = Some(Resume { stream: 7, next_s2c: Some(2) });
    let says = bench.attach(Attach { resume, create: true, ..primary(5) });
    assert_eq!(says[0..2], ["5 opened |-1A", "5 2N 2"]);
    let older = Attach { resume, ..primary(3) };
    assert_eq!(bench.attach(older)[0..2], ["3 opened |-1A", "3 close |-1A |-1T gently"]);
}

#[test]
fn a_lost_link_takes_its_transports_with_it() {
    let mut bench = with_sent(&["0"]);
    bench.says(|stream, turn| stream.on_link_lost(LINK, turn));
    assert!(!bench.stream.has_transport(LINK, super::bench::key(0).transport));
    assert_eq!(bench.batch(batch(0, 0, &["late"])), [""; 0]);
    bench.says(|stream, _| {
        let TransportKey { link, transport } = super::bench::key(0);
        stream.on_grant(TransportKey { link, transport }, 5);
    });
}

// stream/socket/idle_timeout, idle_timeout_not_while_attached
#[test]
fn a_stream_without_transports_ends_when_its_idle_time_is_over() {
    let mut bench = Bench::with_primary();
    assert_eq!(bench.wait(10_000_000), [""; 0]);
    bench.detach(0);
    assert_eq!(bench.wait(119_999), [""; 0]);
    assert!(!bench.stream.state().is_ended());
    bench.wait(1);
    let ended = bench.stream.state().inbox().ended().unwrap().1.clone();
    assert_eq!(ended.reset, Reset::new("no activity from peer", false));
}

#[test]
fn a_client_that_acknowledges_nothing_is_given_up() {
    let mut bench = with_sent(&["0", "1"]);
    assert_eq!(bench.wait(119_999), [""; 0]);
    assert_eq!(bench.batch(sacks(0, &["|0"])), ["0 taken 0"]);
    assert_eq!(bench.wait(119_999), [""; 0], "the SACK was progress");
    // Away for a while, which does not count; a minute is left.
    bench.now.0 -= 59_999;
    bench.detach(0);
    bench.wait(100_000);
    bench.attach(primary(1));
    assert_eq!(bench.wait(59_999), [""; 0]);
    assert_eq!(bench.wait(1)[0], "1 close slow client|0!");
}
