//! The end of a stream behind its outbox.

use minerva_proto::{EventNumber, MessageNumber, Reset};

use super::harness::{APP, Harness, batch, primary, push, sack, sacks, secondary};
use crate::limits::Limits;
use crate::state::Record;
use crate::stream::{PushOutcome, SessionId};

/// An assigned stream with the primary transport 0 and two sent messages.
fn with_sends() -> Harness {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    assert_eq!(harness.send(0, &["a", "b"])[0], "0 0N a,b");
    harness
}

#[test]
fn the_end_follows_the_last_acknowledged_message() {
    let mut harness = with_sends();
    assert_eq!(harness.finish(""), [""; 0]);
    assert_eq!(harness.batch(sacks(&["|0"])), ["0 taken 0"]);
    assert_eq!(
        harness.batch(sacks(&["|1"])),
        [
            "0 taken 0",
            "0 close finished|1!",
            "app -0 primary of 0",
            "app event 1: ended finished|1 by App"
        ]
    );
    harness.acknowledge(1);
    assert!(harness.rebuilt().inbox().is_done());
}

#[test]
fn an_empty_outbox_ends_the_stream_at_once_with_the_given_reason() {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    assert_eq!(
        harness.finish("bye"),
        ["0 close bye|1!", "app -0 primary of 0", "app event 1: ended bye|1 by App"]
    );
    assert_eq!(harness.finish("again"), [""; 0]);
}

#[test]
fn a_client_that_is_away_gets_the_messages_and_then_the_end() {
    let mut harness = with_sends();
    harness.finish("");
    harness.detach(0);
    harness.finish("another reason does not count");
    assert_eq!(harness.attach(primary(1))[..2], ["1 opened", "1 0N a,b"]);
    let hello = minerva_proto::link::Attach { sack: Some(sack("|1")), ..primary(2) };
    let outputs = harness.attach(hello);
    assert!(outputs.contains(&"2 close finished|1!".to_owned()), "{outputs:?}");
}

#[test]
fn messages_behind_the_finish_are_refused_and_repeated_ones_are_not() {
    let mut harness = with_sends();
    harness.finish("");
    assert_eq!(harness.send(2, &["c"]), ["app refused 2 Finished next 2"]);
    assert_eq!(harness.send(1, &["b", "c"]), ["app refused 1 Finished next 2"]);
    assert_eq!(harness.send(0, &["a", "b"]), ["app send 2 room 1048574/998"]);
    let pushed = harness
        .turn(|stream, turn| stream.on_push(&push(super::harness::bytes(&["p"]), None), turn));
    assert_eq!(pushed.0, PushOutcome::Ended);
    assert_eq!(harness.stream.state().outbox().next(), MessageNumber(2));
    assert_eq!(harness.batch(batch(0, &["x"]))[..1], ["0 |0A"], "client messages are accepted");
}

#[test]
fn a_reset_by_either_side_ends_a_finished_stream_at_once() {
    let mut harness = with_sends();
    harness.finish("");
    assert_eq!(harness.reset("enough")[0], "0 close enough|1!");
    let mut harness = with_sends();
    harness.finish("");
    let reset = minerva_proto::link::Batch { reset: Some(Reset::new("no", true)), ..batch(0, &[]) };
    let outputs = harness.batch(reset);
    assert!(outputs.contains(&"app event 1: ended no|1 by Client".to_owned()), "{outputs:?}");
}

#[test]
fn the_limits_for_slow_and_idle_clients_end_a_finished_stream() {
    let limits = Limits::default();
    let mut harness = with_sends();
    harness.finish("");
    assert_eq!(harness.wait(limits.slow_client_ms() - 1), [""; 0]);
    assert_eq!(harness.wait(1)[0], "0 close slow client|0!");
    let mut harness = with_sends();
    harness.finish("");
    harness.detach(0);
    let ended = harness.wait(limits.max_idle_ms());
    assert!(
        ended.contains(&"app event 1: ended no activity from peer|0 by Core".to_owned()),
        "{ended:?}"
    );
}

#[test]
fn a_finish_of_another_session_has_no_effect() {
    let mut harness = with_sends();
    let other = SessionId(APP.0 + 1);
    harness.outputs_of(|stream, turn| stream.on_finish(other, "".into(), turn));
    assert!(!harness.stream.state().is_finishing());
}

#[test]
fn a_finish_survives_the_owner_and_the_next_instance_is_informed() {
    let mut harness = with_sends();
    harness.finish("bye");
    harness.crash();
    assert_eq!(harness.assign(1000)[0], "app finishing bye event 0 send 2");
    harness.attach(secondary(3));
    let outputs = harness.batch_on(3, sacks(&["|1"]));
    assert!(outputs.contains(&"3 close bye|1!".to_owned()), "{outputs:?}");
    assert_eq!(harness.stream.state().inbox().base(), EventNumber(0));
}

#[test]
fn a_finish_is_kept_in_memory_while_it_cannot_be_stored() {
    let mut harness = with_sends();
    harness.stores_finish = false;
    harness.finish("");
    assert!(!harness.records.iter().any(|record| matches!(record, Record::Finishing { .. })));
    let outputs = harness.batch(sacks(&["|1"]));
    assert!(outputs.contains(&"0 close finished|1!".to_owned()), "{outputs:?}");
    assert!(harness.rebuilt().is_ended());
}
