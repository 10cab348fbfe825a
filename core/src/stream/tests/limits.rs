//! Each limit of a stream one below, at, and one above.

use super::bench::{Bench, batch, bytes, primary, sack, secondary, upload};
use crate::limits::Limits;
use crate::stream::c2s_batches::{MAX_PARKED, UPLOAD_WAIT_MS};
use crate::stream::{Attach, Batch, Run};

fn limits() -> Limits {
    Limits::default()
}

/// Strings of these lengths.
fn sized(lengths: &[usize]) -> Vec<String> {
    lengths.iter().map(|&length| "x".repeat(length)).collect()
}

fn refs(messages: &[String]) -> Vec<&str> {
    messages.iter().map(String::as_str).collect()
}

#[test]
fn strings_behind_a_gap_by_number() {
    for (count, is_killed) in [(49, false), (50, false), (51, true)] {
        let (mut bench, _) = Bench::open(primary(0), limits());
        let messages = sized(&vec![1; count]);
        let says = bench.batch(batch(0, 1, &refs(&messages)));
        assert_eq!(says.last().unwrap().ends_with("rwin_overflowK"), is_killed, "{count}");
    }
}

#[test]
fn strings_behind_a_gap_by_bytes() {
    for (length, is_killed) in [(469, false), (470, false), (471, true)] {
        let limits = Limits { rwin_bytes: 1000, ..limits() };
        let (mut bench, _) = Bench::open(primary(0), limits);
        let messages = sized(&[470, length]);
        let says = bench.batch(batch(0, 1, &refs(&messages)));
        assert_eq!(says.last().unwrap().ends_with("rwin_overflowK"), is_killed, "{length}");
    }
}

#[test]
fn a_full_window_takes_duplicates_and_the_next_string() {
    let limits = Limits { rwin_messages: 2, ..limits() };
    let (mut bench, _) = Bench::open(primary(0), limits);
    assert_eq!(bench.batch(batch(0, 1, &["1", "2"]))[0], "0 1,2|-1A");
    assert_eq!(bench.batch(batch(0, 1, &["1"]))[0], "0 1,2|-1A");
    assert_eq!(bench.batch(batch(0, 0, &["0"]))[0], "0 |2A");
}

#[test]
fn inbox_by_number() {
    for (held, is_taken) in [(2, true), (3, false), (4, false)] {
        let (mut bench, _) = Bench::open(primary(0), Limits { inbox_messages: 3, ..limits() });
        bench.batch(batch(0, 0, &refs(&sized(&vec![1; held]))));
        let more = Batch { number: 1, ..batch(0, held as u64, &["more"]) };
        assert_eq!(bench.batch(more).contains(&"0 taken 1".to_owned()), is_taken, "{held}");
    }
}

#[test]
fn inbox_by_bytes() {
    for (held, is_taken) in [(99, true), (100, false), (101, false)] {
        let (mut bench, _) = Bench::open(primary(0), Limits { inbox_bytes: 100, ..limits() });
        bench.batch(batch(0, 0, &refs(&sized(&[held]))));
        let more = Batch { number: 1, ..batch(0, 1, &["more"]) };
        assert_eq!(bench.batch(more).contains(&"0 taken 1".to_owned()), is_taken, "{held}");
    }
}

#[test]
fn what_waits_for_the_inbox_is_taken_when_the_application_acknowledges() {
    let (mut bench, _) = Bench::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    bench.assign(1000);
    bench.batch(batch(0, 0, &["a"]));
    bench.send(0, &["x"]);
    let sacks = vec![sack("|0")];
    let waiting = Batch { number: 1, sacks, ..batch(0, 1, &["b"]) };
    let says = bench.batch(waiting);
    assert!(!says.iter().any(|said| said.contains("taken")), "{says:?}");
    assert!(bench.stream.state().outbox().is_empty(), "its SACK did not wait");
    let last = Batch { number: 2, ..batch(0, 2, &["c"]) };
    assert_eq!(bench.batch(last), [""; 0]);
    assert_eq!(bench.acknowledge(1), ["app event 2: b"]);
    assert_eq!(bench.wait(20), ["0 |1A", "0 taken 1"], "no string came with it");
    assert_eq!(bench.acknowledge(2), ["0 |2A", "0 taken 2", "app event 3: c"]);
}

/// Both directions are full: a client over HTTP has one upload, and SACKs come with the next one.
#[test]
fn an_upload_waits_so_long_while_strings_wait_for_a_sack() {
    for (wait, is_over) in
        [(UPLOAD_WAIT_MS - 1, false), (UPLOAD_WAIT_MS, true), (UPLOAD_WAIT_MS + 1, true)]
    {
        let (mut bench, _) = Bench::open(primary(0), Limits { inbox_messages: 1, ..limits() });
        bench.assign(1000);
        bench.batch(batch(0, 0, &["a"]));
        bench.send(0, &["x"]);
        bench.attach(upload(1, 1, &["b"]));
        assert_eq!(
            bench.stream.next_deadline(&bench.limits).map(|at| at.0 - bench.now.0),
            Some(UPLOAD_WAIT_MS)
        );
        let says = bench.wait(wait);
        assert_eq!(says.contains(&"1 close |0A |-1T gently".to_owned()), is_over, "{says:?}");
        assert_eq!(says.is_empty(), !is_over, "{says:?}");
        let next = Attach { sack: Some(sack("|0")), ..upload(2, 1, &["b"]) };
        bench.attach(next);
        assert!(bench.stream.state().outbox().is_empty());
        assert_eq!(bench.wait(100 * UPLOAD_WAIT_MS), [""; 0], "nothing waits for a SACK any more");
        let says = bench.acknowledge(1);
        assert!(says.contains(&"app event 2: b".to_owned()), "{says:?}");
    }
}

#[test]
fn a_primary_that_waits_for_room_goes_on_waiting() {
    let (mut bench, _) = Bench::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    bench.assign(1000);
    bench.batch(batch(0, 0, &["a"]));
    bench.send(0, &["x"]);
    bench.batch(Batch { number: 1, ..batch(0, 1, &["b"]) });
    assert_eq!(bench.wait(2 * UPLOAD_WAIT_MS), [""; 0], "its SACKs are read");
}

#[test]
fn a_reset_takes_what_waits_with_it() {
    let (mut bench, _) = Bench::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    bench.batch(batch(0, 0, &["a"]));
    bench.batch(Batch { number: 1, ..batch(0, 1, &["b"]) });
    let reset = Some(minerva_proto::Reset::new("bye", true));
    bench.batch(Batch { number: 2, reset, ..batch(0, 2, &["c"]) });
    assert_eq!(bench.assign(1000).last().unwrap(), "app event 4: ended bye|1 by Client");
}

#[test]
fn outbox_by_number() {
    for (count, is_taken) in [(2, true), (3, true), (4, false)] {
        let (mut bench, _) = Bench::open(secondary(0), Limits { outbox_messages: 3, ..limits() });
        bench.assign(1000);
        let messages = sized(&vec![1; count]);
        let says = bench.send(0, &refs(&messages));
        assert_eq!(says[0] != "app refused 0 ResourceExhausted next 0", is_taken, "{count}");
    }
}

#[test]
fn outbox_by_bytes() {
    for (held, is_taken) in [(99, true), (100, false), (101, false)] {
        let (mut bench, _) = Bench::open(secondary(0), Limits { outbox_bytes: 100, ..limits() });
        bench.assign(1000);
        bench.send(0, &refs(&sized(&[held])));
        let says = bench.send(1, &["a longer one"]);
        assert_eq!(says[0] != "app refused 1 ResourceExhausted next 1", is_taken, "{held}");
    }
}

#[test]
fn pause_at_half_of_the_outbox() {
    for (held, is_paused) in [(49, false), (50, true), (51, true)] {
        let (mut bench, _) = Bench::open(secondary(0), Limits { outbox_bytes: 100, ..limits() });
        bench.assign(1000);
        let says = bench.send(0, &refs(&sized(&[held])));
        assert_eq!(says[0].ends_with("paused"), is_paused, "{held}");
    }
}

#[test]
fn gaps_that_a_client_never_closes_count_as_strings() {
    let (mut bench, _) = Bench::open(primary(0), Limits { outbox_messages: 3, ..limits() });
    bench.assign(1000);
    bench.send(0, &["0", "1", "2"]);
    bench.batch(super::bench::sacks(0, &["1,2|-1"]));
    assert_eq!(bench.send(3, &["3"]), ["app refused 3 ResourceExhausted next 3"]);
}

#[test]
fn transports() {
    let limits = Limits { transports_per_stream: 3, ..limits() };
    let (mut bench, _) = Bench::open(primary(0), limits);
    assert_eq!(bench.attach(secondary(1)), ["1 opened"]);
    assert_eq!(bench.attach(secondary(2)), ["2 opened"]);
    assert_eq!(bench.attach(secondary(3)), ["3 close unavailable: too many transports"]);
    assert_eq!(
        bench.attach(primary(4)),
        ["4 opened", "0 close |-1A |-1T gently"],
        "a new primary takes the place of the old one"
    );
    bench.detach(4);
    bench.attach(secondary(5));
    assert_eq!(
        bench.attach(primary(6)),
        ["6 opened", "1 close |-1A |-1T gently"],
        "the oldest gives way"
    );
}

#[test]
fn batches_that_wait_on_one_transport() {
    let (mut bench, _) = Bench::open(primary(0), Limits { inbox_messages: 1, ..limits() });
    bench.batch(batch(0, 0, &["a"]));
    let waiting = |number| Batch {
        number,
        runs: vec![Run { first: number, messages: bytes(&["b"]) }],
        ..batch(0, 0, &[])
    };
    for number in 1..=MAX_PARKED as u64 {
        assert_eq!(bench.batch(waiting(number)), [""; 0]);
    }
    let more = waiting(MAX_PARKED as u64 + 1);
    assert_eq!(bench.batch(more), ["0 close unavailable: too many batches wait"]);
}
