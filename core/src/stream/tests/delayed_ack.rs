//! What a client and an application are told of what they sent goes with strings, where there are some soon.

use super::bench::{Bench, batch, poll, primary, sack, secondary, upload};
use crate::limits::Limits;
use crate::stream::delayed_ack::{MAX_DELAY_MS, MAX_MESSAGES};
use crate::stream::{Attach, Batch};

/// A string of the client, which acknowledges the answer to the one before it.
fn question(number: u64) -> Batch {
    let sacks = number.checked_sub(1).map(|last| sack(&format!("|{last}"))).into_iter().collect();
    Batch { number, sacks, ..batch(0, number, &["q"]) }
}

/// A stream whose first string was answered after so long.
fn answered_after(ms: u64) -> Bench {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    assert_eq!(bench.batch(question(0)), ["0 |0A", "0 taken 0", "app event 1: q"]);
    bench.now.0 += ms;
    let says = bench.send_and_acknowledge(0, &["a"], Some(1));
    assert_eq!(says, ["0 0N a", "app send 1 room 1048575/999"]);
    bench
}

#[test]
fn the_sack_goes_with_the_answer_where_answers_come_soon() {
    for (ms, waits) in [(MAX_DELAY_MS - 1, true), (MAX_DELAY_MS, true), (MAX_DELAY_MS + 1, false)] {
        let mut bench = answered_after(ms);
        let said = bench.batch(question(1));
        assert_eq!(said.contains(&"0 |1A".to_owned()), !waits, "{ms}");
        let answer = bench.send_and_acknowledge(1, &["b"], Some(2));
        let with_it = ["0 |1A", "0 taken 1", "0 1N b"];
        assert_eq!(answer.starts_with(&with_it.map(str::to_owned)), waits, "{ms}: {answer:?}");
    }
}

#[test]
fn a_sack_that_waited_in_vain_is_said_and_the_next_one_at_once() {
    let mut bench = answered_after(0);
    assert_eq!(bench.batch(question(1)), ["app event 2: q"]);
    assert_eq!(bench.stream.next_deadline(&bench.limits).unwrap().0, bench.now.0 + MAX_DELAY_MS);
    assert_eq!(bench.wait(MAX_DELAY_MS - 1), [""; 0]);
    assert_eq!(bench.wait(1), ["0 |1A", "0 taken 1"]);
    assert!(bench.batch(Batch { sacks: vec![], ..question(2) }).contains(&"0 |2A".to_owned()));
}

#[test]
fn many_strings_are_acknowledged_at_once() {
    for (count, waits) in
        [(MAX_MESSAGES - 1, true), (MAX_MESSAGES, false), (MAX_MESSAGES + 1, false)]
    {
        let mut bench = answered_after(0);
        let said = bench.batch(Batch { number: 1, ..batch(0, 1, &vec!["q"; count]) });
        assert_eq!(said.contains(&format!("0 |{count}A")), !waits, "{count}");
    }
}

#[test]
fn an_application_is_told_with_the_next_string_that_its_send_was_taken() {
    let mut bench = answered_after(0);
    assert_eq!(bench.batch(question(1)), ["app event 2: q"]);
    assert_eq!(bench.send_and_acknowledge(1, &["b"], Some(2)).last().unwrap(), "0 1N b");
    let said = bench.batch(question(2));
    assert_eq!(said, ["app event 3: q", "app send 2 room 1048576/1000"]);
    bench.send_and_acknowledge(2, &["c"], Some(3));
    assert_eq!(bench.wait(MAX_DELAY_MS), ["app send 3 room 1048575/999"]);
    let at_once = bench.send(3, &["d"]);
    assert_eq!(at_once.last().unwrap(), "app send 4 room 1048574/998");
}

#[test]
fn the_end_says_what_waited() {
    let mut bench = answered_after(0);
    bench.batch(question(1));
    assert_eq!(bench.reset("bye")[..3], ["0 |1A", "0 taken 1", "0 close bye|1!"]);
    let mut bench = answered_after(0);
    bench.batch(question(1));
    let end = Batch {
        number: 2,
        reset: Some(minerva_proto::Reset::new("bye", true)),
        ..batch(0, 2, &[])
    };
    assert_eq!(bench.batch(end)[..2], ["0 |1A", "0 taken 2"]);
}

#[test]
fn a_send_that_waits_to_be_confirmed_is_confirmed_by_the_end() {
    let mut bench = answered_after(0);
    bench.batch(question(1));
    bench.send(1, &["b"]);
    assert_eq!(bench.reset("bye").last().unwrap(), "app send 2 room 1048576/1000");
}

#[test]
fn what_waits_for_a_transport_goes_with_it() {
    let mut bench = answered_after(0);
    bench.batch(question(1));
    bench.detach(0);
    assert_eq!(bench.wait(MAX_DELAY_MS), [""; 0]);
    let mut bench = answered_after(0);
    bench.batch(question(1));
    let next = bench.attach(Attach { succeeds: Some(0), ..primary(1) });
    assert_eq!(next[..2], ["1 opened |1A", "0 close |1A |0T gently"]);
    assert_eq!(bench.wait(MAX_DELAY_MS), [""; 0]);
}

#[test]
fn uploads_and_polls_are_answered_at_once() {
    let mut bench = answered_after(0);
    let says = bench.attach(upload(1, 1, &["q"]));
    assert!(says.contains(&"1 |1A".to_owned()), "{says:?}");
    let (mut bench, _) = Bench::open(secondary(0), Limits::default());
    bench.assign(1000);
    bench.attach(poll(1));
    assert_eq!(bench.batch(batch(1, 0, &["q"]))[..2], ["1 |0A", "1 taken 0"]);
}
