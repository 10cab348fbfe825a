//! Outputs to the session of an app instance.

use minerva_proto::{EventNumber, MessageNumber, Payload};

use super::harness::{Harness, batch, primary, push, sacks, secondary, upload};
use crate::limits::Limits;
use crate::state::OutboxLimits;
use crate::state::RetentionChange;
use crate::stream::{Blame, MAX_TRANSPORT_CHANGES, PushOutcome, SessionId};

#[test]
fn events_and_transport_changes_are_delivered_in_order() {
    let (mut harness, _) = Harness::open(primary(0), Limits::default());
    harness.batch(batch(0, &["a", "b"]));
    harness.attach(secondary(1));
    harness.batch(batch(2, &["c"]));
    assert_eq!(
        harness.assign(1000),
        [
            "app started event 0 send 0",
            "app +0 primary of 1",
            "app event 1: a,b",
            "app +1 of 2",
            "app event 3: c",
        ]
    );
    assert_eq!(
        harness.reset("enough"),
        [
            "0 close enough|1!",
            "1 close enough|1!",
            "app -0 primary of 1",
            "app -1 of 0",
            "app event 4: ended enough|1 by App",
        ]
    );
    assert_eq!(harness.acknowledge(4), [""; 0]);
    assert!(harness.stream.state().inbox().is_done());
}

#[test]
fn the_window_bounds_unacknowledged_bytes_beyond_one_message() {
    let mut harness = Harness::with_primary();
    harness.assign(4);
    assert_eq!(
        harness.batch(batch(0, &["long enough", "ab", "cd", "e"]))[2],
        "app event 1: long enough"
    );
    assert_eq!(harness.acknowledge(1), ["app event 2: ab,cd"]);
    assert_eq!(harness.acknowledge(2), ["app event 4: e"]);
}

#[test]
fn a_new_session_gets_all_unacknowledged_events() {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.batch(batch(0, &["a", "b"]));
    harness.acknowledge(1);
    harness.send(0, &["x"]);
    harness.outputs_of(|stream, turn| stream.on_unassigned(Blame::None, turn));
    let other = SessionId(10);
    assert_eq!(
        harness.outputs_of(|stream, turn| stream.on_assigned(other, &"b".into(), 1000, turn)),
        ["app resumed event 2 send 1", "app event 2: b"]
    );
    assert_eq!(harness.acknowledge(2), [""; 0], "the old session has no effect");
    assert_eq!(harness.stream.state().inbox().base(), EventNumber(2));
    assert_eq!(harness.send(1, &["y"]), ["app refused 1 Ended next 1"]);
}

#[test]
fn only_delivered_events_can_be_acknowledged() {
    let mut harness = Harness::with_primary();
    harness.assign(1);
    harness.batch(batch(0, &["aa", "bb"]));
    assert_eq!(harness.acknowledge(2), [""; 0]);
    assert_eq!(harness.send_and_acknowledge(0, &["x"], Some(2)), [""; 0]);
    let refused = "app refused command acknowledge.event: stream 7 has no event 3";
    assert_eq!(harness.acknowledge(3), [refused]);
    let detail = "send.acknowledge: stream 7 has no event 3";
    let refused = format!("app refused 0 Invalid {{ detail: {detail:?}, index: None }} next 0");
    assert_eq!(harness.send_and_acknowledge(0, &["x"], Some(3)), [refused]);
    assert_eq!(harness.stream.state().outbox().next(), MessageNumber(0), "refused as a whole");
    assert_eq!(harness.stream.state().inbox().base(), EventNumber(0));
    assert_eq!(harness.acknowledge(1), ["app event 2: bb"]);
    assert_eq!(harness.acknowledge(0), [""; 0], "a repeated acknowledgement has no effect");
}

#[test]
fn a_send_and_its_acknowledgement_are_one_step() {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.batch(batch(0, &["a"]));
    harness.send_and_acknowledge(0, &["x"], Some(1));
    assert_eq!(harness.stream.state().inbox().base(), EventNumber(2));
    assert_eq!(
        harness.send_and_acknowledge(5, &["y"], Some(1))[0],
        "app refused 5 OutOfOrder next 1"
    );
}

#[test]
fn repeated_sends_are_taken_once_and_confirmed() {
    let (mut harness, _) = Harness::open(secondary(0), Limits::default());
    harness.assign(1000);
    harness.send(0, &["a", "b"]);
    assert_eq!(harness.send(0, &["a", "b"]), ["app send 2 room 1048574/998"]);
    assert_eq!(harness.send(1, &["b", "c"]), ["app send 3 room 1048573/997"]);
    let sent: Vec<_> = harness
        .stream
        .state()
        .outbox()
        .iter_from(MessageNumber(0))
        .map(|(_, s)| s.clone())
        .collect();
    assert_eq!(sent, super::harness::bytes(&["a", "b", "c"]));
}

#[test]
fn a_send_to_an_ended_stream_is_refused() {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.reset("r");
    assert_eq!(harness.send(0, &["a"]), ["app refused 0 Ended next 0"]);
    assert_eq!(harness.reset("again"), [""; 0]);
}

#[test]
fn the_end_of_a_stream_with_a_full_outbox_reports_the_room() {
    let limits = Limits { outbox_messages: 2, ..Limits::default() };
    let (mut harness, _) = Harness::open(primary(0), limits);
    harness.assign(1);
    harness.batch(batch(0, &["read", "unread"]));
    assert_eq!(harness.send(0, &["x", "y"]).last().unwrap(), "app send 2 room 1048574/0 paused");
    let outputs = harness.reset("bye");
    assert_eq!(outputs.last().unwrap(), "app send 2 room 1048576/2", "{outputs:?}");
}

#[test]
fn the_idle_limit_can_be_set() {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness.outputs_of(|stream, turn| {
        stream.on_set_limits(Some(500), OutboxLimits::default(), RetentionChange::default(), turn)
    });
    harness.detach(0);
    harness.wait(499);
    assert!(!harness.stream.state().is_ended());
    harness.wait(1);
    assert!(harness.stream.state().is_ended());
}

#[test]
fn regained_room_is_reported() {
    let limits = Limits { outbox_messages: 4, ..Limits::default() };
    let (mut harness, _) = Harness::open(primary(0), limits);
    harness.assign(1000);
    assert_eq!(harness.send(0, &["a"]).last().unwrap(), "app send 1 room 1048575/3");
    assert_eq!(harness.send(1, &["b"]).last().unwrap(), "app send 2 room 1048574/2 paused");
    let refused = "app refused 2 ResourceExhausted next 2";
    let room = "app send 2 room 1048574/2 paused";
    assert_eq!(harness.send(2, &["c", "d", "e"]), [refused, room]);
    let outputs = harness.batch(sacks(&["|1"]));
    assert_eq!(outputs.last().unwrap(), "app send 2 room 1048576/4");
}

/// The room is reported even if it has the last reported size again.
#[test]
fn room_is_reported_after_a_refused_send() {
    let limits = Limits { outbox_messages: 4, ..Limits::default() };
    for is_room_left in [true, false] {
        let (mut harness, _) = Harness::open(primary(0), limits.clone());
        harness.assign(1000);
        let pushed = if is_room_left { 1 } else { 4 };
        let messages = vec![Payload::from("x"); pushed];
        harness.outputs_of(|stream, turn| {
            assert_eq!(stream.on_push(&push(messages, None), turn), PushOutcome::Taken);
        });
        let refused = "app refused 0 ResourceExhausted next 0";
        let outputs = harness.send(0, &["a", "b", "c", "d"]);
        if is_room_left {
            assert_eq!(outputs, [refused, "app send 0 room 1048575/3"]);
        } else {
            assert_eq!(outputs, [refused]);
            let outputs = harness.batch(sacks(&["|3"]));
            assert_eq!(outputs.last().unwrap(), "app send 0 room 1048576/4");
        }
    }
}

#[test]
fn old_transport_changes_are_dropped() {
    let (mut harness, _) = Harness::open(upload(0, 0, &[]), Limits::default());
    for transport in 1..100 {
        harness.attach(upload(transport, 0, &[]));
    }
    let outputs = harness.assign(1000);
    assert_eq!(outputs.len(), 1 + MAX_TRANSPORT_CHANGES);
    assert_eq!(outputs.last().unwrap(), "app -99 of 0");
}
