//! Selection of the service by the first message.

use minerva_proto::link::{Attach, Batch, Run};
use minerva_proto::{ClientProtocol, Generation, KeyHash, KeyProof, MessageNumber, Payload, Reset};

use super::harness::{Harness, TAG, batch, primary, secondary};
use crate::limits::Limits;
use crate::state::{Record, StreamState};

/// A stream that requested `default` and may select one of these services.
fn offered(services: &[&str]) -> Harness {
    let (mut harness, _) = Harness::open(primary(0), Limits::default());
    offer(&mut harness, services);
    harness
}

fn offer(harness: &mut Harness, services: &[&str]) {
    harness.stream.offer_services(services.iter().map(|&service| service.into()).collect());
}

fn service(harness: &Harness) -> &str {
    harness.stream.state().service()
}

#[test]
fn the_selecting_message_is_acknowledged_and_is_no_event() {
    let mut harness = offered(&["chat", "game"]);
    assert!(harness.stream.awaits_selection());
    assert_eq!(harness.batch(batch(0, &["subprotocol:game", "a"])), ["0 |1A", "0 taken 0"]);
    assert!(!harness.stream.awaits_selection());
    assert_eq!(service(&harness), "game");
    let started = ["app started event 0 send 0", "app +0 primary of 1", "app event 1: a"];
    assert_eq!(harness.assign(1000), started);
    assert_eq!(harness.batch(batch(2, &["b"]))[2], "app event 2: b");
    assert_eq!(harness.acknowledge(2), [""; 0]);
    assert_eq!(harness.reset("enough").last().unwrap(), "app event 3: ended enough|1 by App");
}

#[test]
fn messages_received_before_the_selecting_one_wait_for_it() {
    let mut harness = offered(&["chat"]);
    assert_eq!(harness.batch(batch(1, &["a", "subprotocol:x"])), ["0 1,2|-1A", "0 taken 0"]);
    assert!(harness.stream.awaits_selection());
    assert_eq!(harness.batch(batch(0, &["subprotocol:chat"])), ["0 |2A", "0 taken 0"]);
    assert_eq!(harness.assign(1000)[2], "app event 1: a,subprotocol:x");
}

#[test]
fn the_selection_survives_the_owner() {
    let mut harness = offered(&["chat"]);
    harness.batch(batch(0, &["subprotocol:chat", "a"]));
    let snapshot = harness.stream.state().snapshot();
    let restored = StreamState::restore(snapshot.clone()).unwrap();
    assert_eq!((restored.snapshot(), harness.rebuilt().snapshot()), (snapshot.clone(), snapshot));
    harness.crash();
    // The options of the new owner have no effect on a final selection.
    offer(&mut harness, &["game"]);
    assert!(!harness.stream.awaits_selection());
    assert_eq!(service(&harness), "chat");
    // A client without a SACK sends the message again.
    harness.attach(primary(1));
    assert_eq!(harness.batch_on(1, batch(0, &["subprotocol:chat"])), ["1 |1A", "1 taken 0"]);
    assert_eq!(harness.assign(1000)[1], "app event 1: a");
}

#[test]
fn a_selection_is_possible_after_a_change_of_the_owner() {
    let mut harness = offered(&["chat"]);
    harness.batch(batch(1, &["a"]));
    harness.crash();
    offer(&mut harness, &["chat"]);
    harness.attach(primary(1));
    assert_eq!(harness.batch_on(1, batch(0, &["subprotocol:chat"])), ["1 |1A", "1 taken 0"]);
    assert_eq!((service(&harness), harness.rebuilt().service().as_ref()), ("chat", "chat"));
}

#[test]
fn an_invalid_selection_ends_the_stream_without_an_event() {
    let select = |length| format!("subprotocol:{}", "s".repeat(length));
    for (first, reason) in [
        ("hello", "no subprotocol"),
        ("Subprotocol:chat", "no subprotocol"),
        ("subprotocol:root", "subprotocol not allowed: root"),
        ("subprotocol:Chat", "subprotocol not allowed: Chat"),
        (&select(64), &format!("subprotocol not allowed: {}", "s".repeat(64))),
        // The reason does not repeat an empty or oversized name.
        ("subprotocol:", "subprotocol not allowed"),
        (&select(65), "subprotocol not allowed"),
    ] {
        let mut harness = offered(&["chat"]);
        harness.attach(secondary(1));
        let close = |transport| format!("{transport} close {reason}|0!");
        assert_eq!(harness.batch(batch(0, &[first, "a"])), [close(0), close(1)]);
        assert!(harness.stream.state().inbox().is_done() && harness.rebuilt().inbox().is_done());
        assert!(!harness.stream.awaits_selection());
    }
}

#[test]
fn the_requested_service_needs_no_selection_if_it_is_offered() {
    let mut harness = offered(&["chat", "default"]);
    harness.batch(batch(0, &["hello", "subprotocol:chat"]));
    assert_eq!(service(&harness), "default");
    assert_eq!(harness.assign(1000)[2], "app event 1: hello,subprotocol:chat");
    let mut harness = offered(&["chat", "default"]);
    harness.batch(batch(0, &["subprotocol:game"]));
    assert!(harness.stream.state().is_ended(), "an unknown name ends the stream nevertheless");
}

#[test]
fn a_late_selection_is_an_ordinary_message() {
    let (mut plain, _) = Harness::open(primary(0), Limits::default());
    plain.batch(batch(0, &["subprotocol:chat"]));
    offer(&mut plain, &["chat"]);
    assert!(!plain.stream.awaits_selection());
    assert_eq!(plain.assign(1000)[2], "app event 1: subprotocol:chat");
    let mut assigned = Harness::with_primary();
    assigned.assign(1000);
    offer(&mut assigned, &["chat"]);
    let event = "app event 1: subprotocol:chat";
    assert_eq!(assigned.batch(batch(0, &["subprotocol:chat"]))[2], event);
    for harness in [plain, assigned] {
        assert_eq!(service(&harness), "default");
        let selected = Record::ServiceSelected { service: "chat".into() };
        assert!(harness.rebuilt().apply(&selected, TAG).is_err());
    }
}

#[test]
fn a_stream_without_a_selection_ends_at_the_idle_limit() {
    let mut harness = offered(&["chat"]);
    harness.detach(0);
    let idle = harness.limits.max_idle_ms();
    harness.wait(idle - 1);
    assert!(!harness.stream.state().is_ended());
    harness.wait(1);
    assert!(harness.stream.state().inbox().is_done(), "no application has to acknowledge the end");
    assert!(harness.rebuilt().inbox().is_done());
}

#[test]
fn a_reset_with_the_selection_reaches_the_service() {
    let mut harness = offered(&["chat"]);
    let reset = Some(Reset::new("bye", true));
    harness.batch(Batch { reset, ..batch(0, &["subprotocol:chat"]) });
    assert!(!harness.stream.state().inbox().is_done());
    let ended = "app event 1: ended bye|1 by Client";
    assert_eq!(harness.assign(1000).last().unwrap(), ended);
}

#[test]
fn only_a_text_message_selects_a_service() {
    let first = |message: Payload| Batch {
        runs: vec![Run { first: MessageNumber(0), messages: vec![message] }],
        ..batch(0, &[])
    };
    let protocol = ClientProtocol::V3(KeyProof {
        key: KeyHash([7; 16]),
        next: None,
        generation: Generation::default(),
    });
    for (message, reason) in [
        (Payload::binary(&b"subprotocol:chat"[..]), "no subprotocol"),
        ("subprotocol:\u{e9}".into(), "subprotocol not allowed"),
        ("subprotocol:a\nb".into(), "subprotocol not allowed"),
    ] {
        let (mut harness, _) = Harness::open(Attach { protocol, ..primary(0) }, Limits::default());
        offer(&mut harness, &["chat"]);
        harness.batch(first(message));
        let ended = harness.stream.state().inbox().ended().map(|(_, ended)| ended.reset.clone());
        assert_eq!(ended, Some(Reset::new(reason, false)));
    }
    // The requested service gets the message.
    let (mut harness, _) = Harness::open(Attach { protocol, ..primary(0) }, Limits::default());
    offer(&mut harness, &["chat", "default"]);
    harness.batch(first(Payload::binary(&b"subprotocol:chat"[..])));
    assert_eq!((service(&harness), harness.stream.awaits_selection()), ("default", false));
}
