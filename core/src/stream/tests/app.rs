//! What an application session sees.

use bytes::Bytes;

use super::bench::{Bench, batch, primary, push, sacks, secondary, upload};
use crate::limits::Limits;
use crate::state::OutboxLimits;
use crate::stream::{MAX_TRANSPORT_CHANGES, PushOutcome, SessionId};

#[test]
fn events_come_in_order_with_the_transports_between_them() {
    let (mut bench, _) = Bench::open(primary(0), Limits::default());
    bench.batch(batch(0, 0, &["a", "b"]));
    bench.attach(secondary(1));
    bench.batch(batch(0, 2, &["c"]));
    assert_eq!(
        bench.assign(1000),
        [
            "app started event 0 send 0",
            "app +0 primary of 1",
            "app event 1: a,b",
            "app +1 of 2",
            "app event 3: c",
        ]
    );
    assert_eq!(
        bench.reset("enough"),
        [
            "0 close enough|1!",
            "1 close enough|1!",
            "app -0 primary of 1",
            "app -1 of 0",
            "app event 4: ended enough|1 by App",
        ]
    );
    assert_eq!(bench.acknowledge(4), [""; 0]);
    assert!(bench.stream.state().inbox().is_done());
}

#[test]
fn the_window_bounds_what_is_not_acknowledged_but_one_string_always_goes() {
    let mut bench = Bench::with_primary();
    bench.assign(4);
    assert_eq!(
        bench.batch(batch(0, 0, &["long enough", "ab", "cd", "e"]))[2],
        "app event 1: long enough"
    );
    assert_eq!(bench.acknowledge(1), ["app event 2: ab,cd"]);
    assert_eq!(bench.acknowledge(2), ["app event 4: e"]);
}

#[test]
fn another_session_gets_all_that_is_not_acknowledged() {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    bench.batch(batch(0, 0, &["a", "b"]));
    bench.acknowledge(1);
    bench.send(0, &["x"]);
    bench.says(|stream, _| stream.on_unassigned());
    let other = SessionId(10);
    assert_eq!(
        bench.says(|stream, turn| stream.on_assigned(other, &"b".into(), 1000, turn)),
        ["app resumed event 2 send 1", "app event 2: b"]
    );
    assert_eq!(bench.acknowledge(2), [""; 0], "the old session has nothing to say");
    assert_eq!(bench.stream.state().inbox().base(), 2);
    assert_eq!(bench.send(1, &["y"]), ["app refused 1 Ended next 1"]);
}

#[test]
fn only_what_was_delivered_can_be_acknowledged() {
    let mut bench = Bench::with_primary();
    bench.assign(1);
    bench.batch(batch(0, 0, &["aa", "bb"]));
    let violation = "violation acknowledge.event: stream 7 has no event 3";
    for (event, answer) in [(2, &[][..]), (3, &[violation][..])] {
        assert_eq!(bench.acknowledge(event), answer);
        assert_eq!(bench.send_and_acknowledge(0, &["x"], Some(event)), answer);
    }
    assert_eq!(bench.stream.state().outbox().next(), 0, "nothing of it was applied");
    assert_eq!(bench.stream.state().inbox().base(), 0);
    assert_eq!(bench.acknowledge(1), ["app event 2: bb"]);
    assert_eq!(bench.acknowledge(0), [""; 0], "repeats have no effect");
}

#[test]
fn a_send_and_its_acknowledgement_are_one_step() {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    bench.batch(batch(0, 0, &["a"]));
    bench.send_and_acknowledge(0, &["x"], Some(1));
    assert_eq!(bench.stream.state().inbox().base(), 2);
    assert_eq!(
        bench.send_and_acknowledge(5, &["y"], Some(1))[0],
        "app refused 5 OutOfOrder next 1"
    );
}

#[test]
fn repeated_sends_are_taken_once_and_confirmed() {
    let (mut bench, _) = Bench::open(secondary(0), Limits::default());
    bench.assign(1000);
    bench.send(0, &["a", "b"]);
    assert_eq!(bench.send(0, &["a", "b"]), ["app send 2 room 1048574/998"]);
    assert_eq!(bench.send(1, &["b", "c"]), ["app send 3 room 1048573/997"]);
    let sent: Vec<_> = bench.stream.state().outbox().iter_from(0).map(|(_, s)| s.clone()).collect();
    assert_eq!(sent, super::bench::bytes(&["a", "b", "c"]));
}

#[test]
fn nothing_is_sent_to_a_stream_that_ended() {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    bench.reset("r");
    assert_eq!(bench.send(0, &["a"]), ["app refused 0 Ended next 0"]);
    assert_eq!(bench.reset("again"), [""; 0]);
}

#[test]
fn a_stream_that_ends_with_a_full_outbox_tells_its_room_once_more() {
    let limits = Limits { outbox_messages: 2, ..Limits::default() };
    let (mut bench, _) = Bench::open(primary(0), limits);
    bench.assign(1);
    bench.batch(batch(0, 0, &["read", "unread"]));
    assert_eq!(bench.send(0, &["x", "y"]).last().unwrap(), "app send 2 room 1048574/0 paused");
    let says = bench.reset("bye");
    assert_eq!(says.last().unwrap(), "app send 2 room 1048576/2", "{says:?}");
}

#[test]
fn the_idle_limit_can_be_set() {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    bench.says(|stream, turn| stream.on_set_limits(Some(500), OutboxLimits::default(), turn));
    bench.detach(0);
    bench.wait(499);
    assert!(!bench.stream.state().is_ended());
    bench.wait(1);
    assert!(bench.stream.state().is_ended());
}

#[test]
fn room_is_told_when_there_is_some_again() {
    let limits = Limits { outbox_messages: 4, ..Limits::default() };
    let (mut bench, _) = Bench::open(primary(0), limits);
    bench.assign(1000);
    assert_eq!(bench.send(0, &["a"]).last().unwrap(), "app send 1 room 1048575/3");
    assert_eq!(bench.send(1, &["b"]).last().unwrap(), "app send 2 room 1048574/2 paused");
    let refused = "app refused 2 ResourceExhausted next 2";
    let room = "app send 2 room 1048574/2 paused";
    assert_eq!(bench.send(2, &["c", "d", "e"]), [refused, room]);
    let says = bench.batch(sacks(0, &["|1"]));
    assert_eq!(says.last().unwrap(), "app send 2 room 1048576/4");
}

/// The room is as large again as the instance was told: it must hear that all the same.
#[test]
fn a_send_that_was_refused_for_strings_from_outside_may_go_on() {
    let limits = Limits { outbox_messages: 4, ..Limits::default() };
    for is_room_left in [true, false] {
        let (mut bench, _) = Bench::open(primary(0), limits.clone());
        bench.assign(1000);
        let pushed = if is_room_left { 1 } else { 4 };
        let messages = vec![Bytes::from_static(b"x"); pushed];
        bench.says(|stream, turn| {
            assert_eq!(stream.on_push(&push(messages, None), turn), PushOutcome::Taken);
        });
        let refused = "app refused 0 ResourceExhausted next 0";
        let says = bench.send(0, &["a", "b", "c", "d"]);
        if is_room_left {
            assert_eq!(says, [refused, "app send 0 room 1048575/3"]);
        } else {
            assert_eq!(says, [refused]);
            let says = bench.batch(sacks(0, &["|3"]));
            assert_eq!(says.last().unwrap(), "app send 0 room 1048576/4");
        }
    }
}

#[test]
fn old_changes_of_transports_are_dropped() {
    let (mut bench, _) = Bench::open(upload(0, 0, &[]), Limits::default());
    for transport in 1..100 {
        bench.attach(upload(transport, 0, &[]));
    }
    let says = bench.assign(1000);
    assert_eq!(says.len(), 1 + MAX_TRANSPORT_CHANGES);
    assert_eq!(says.last().unwrap(), "app -99 of 0");
}
