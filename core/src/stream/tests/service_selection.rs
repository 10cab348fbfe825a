//! The client's first string picks the service, where it may.

use minerva_proto::Reset;

use super::bench::{Bench, batch, primary, secondary};
use crate::limits::Limits;
use crate::state::{Record, StreamState};
use crate::stream::Batch;

/// A stream that dialled `default` and may pick one of these.
fn offered(services: &[&str]) -> Bench {
    let (mut bench, _) = Bench::open(primary(0), Limits::default());
    offer(&mut bench, services);
    bench
}

fn offer(bench: &mut Bench, services: &[&str]) {
    bench.stream.offer_services(services.iter().map(|&service| service.into()).collect());
}

fn service(bench: &Bench) -> &str {
    bench.stream.state().service()
}

#[test]
fn the_string_that_picks_is_acknowledged_and_is_no_event() {
    let mut bench = offered(&["chat", "game"]);
    assert!(bench.stream.awaits_selection());
    assert_eq!(bench.batch(batch(0, 0, &["subprotocol:game", "a"])), ["0 |1A", "0 taken 0"]);
    assert!(!bench.stream.awaits_selection());
    assert_eq!(service(&bench), "game");
    let started = ["app started event 0 send 0", "app +0 primary of 1", "app event 1: a"];
    assert_eq!(bench.assign(1000), started);
    assert_eq!(bench.batch(batch(0, 2, &["b"]))[2], "app event 2: b");
    assert_eq!(bench.acknowledge(2), [""; 0]);
    assert_eq!(bench.reset("enough").last().unwrap(), "app event 3: ended enough|1 by App");
}

#[test]
fn what_came_ahead_of_it_waits_for_it() {
    let mut bench = offered(&["chat"]);
    assert_eq!(bench.batch(batch(0, 1, &["a", "subprotocol:x"])), ["0 1,2|-1A", "0 taken 0"]);
    assert!(bench.stream.awaits_selection());
    assert_eq!(bench.batch(batch(0, 0, &["subprotocol:chat"])), ["0 |2A", "0 taken 0"]);
    assert_eq!(bench.assign(1000)[2], "app event 1: a,subprotocol:x");
}

#[test]
fn the_choice_survives_its_owner() {
    let mut bench = offered(&["chat"]);
    bench.batch(batch(0, 0, &["subprotocol:chat", "a"]));
    let snapshot = bench.stream.state().snapshot();
    let restored = StreamState::restore(snapshot.clone()).unwrap();
    assert_eq!((restored.snapshot(), bench.rebuilt().snapshot()), (snapshot.clone(), snapshot));
    bench.crash();
    // The new owner's options do not matter any more.
    offer(&mut bench, &["game"]);
    assert!(!bench.stream.awaits_selection());
    assert_eq!(service(&bench), "chat");
    // A client that has not heard of it says it again.
    bench.attach(primary(1));
    assert_eq!(bench.batch(batch(1, 0, &["subprotocol:chat"])), ["1 |1A", "1 taken 0"]);
    assert_eq!(bench.assign(1000)[1], "app event 1: a");
}

#[test]
fn a_stream_that_has_not_picked_may_still_with_another_owner() {
    let mut bench = offered(&["chat"]);
    bench.batch(batch(0, 1, &["a"]));
    bench.crash();
    offer(&mut bench, &["chat"]);
    bench.attach(primary(1));
    assert_eq!(bench.batch(batch(1, 0, &["subprotocol:chat"])), ["1 |1A", "1 taken 0"]);
    assert_eq!((service(&bench), bench.rebuilt().service().as_ref()), ("chat", "chat"));
}

#[test]
fn a_string_that_will_not_do_ends_the_stream_for_the_client_alone() {
    let picks = |length| format!("subprotocol:{}", "s".repeat(length));
    for (first, reason) in [
        ("hello", "no subprotocol"),
        ("Subprotocol:chat", "no subprotocol"),
        ("subprotocol:root", "subprotocol not allowed: root"),
        ("subprotocol:Chat", "subprotocol not allowed: Chat"),
        (&picks(64), &format!("subprotocol not allowed: {}", "s".repeat(64))),
        // What is too short or too long for a name is not said again.
        ("subprotocol:", "subprotocol not allowed"),
        (&picks(65), "subprotocol not allowed"),
    ] {
        let mut bench = offered(&["chat"]);
        bench.attach(secondary(1));
        let close = |transport| format!("{transport} close {reason}|0!");
        assert_eq!(bench.batch(batch(0, 0, &[first, "a"])), [close(0), close(1)]);
        assert!(bench.stream.state().inbox().is_done() && bench.rebuilt().inbox().is_done());
        assert!(!bench.stream.awaits_selection());
    }
}

#[test]
fn the_service_that_was_dialled_may_be_picked_by_saying_nothing_of_it() {
    let mut bench = offered(&["chat", "default"]);
    bench.batch(batch(0, 0, &["hello", "subprotocol:chat"]));
    assert_eq!(service(&bench), "default");
    assert_eq!(bench.assign(1000)[2], "app event 1: hello,subprotocol:chat");
    let mut bench = offered(&["chat", "default"]);
    bench.batch(batch(0, 0, &["subprotocol:game"]));
    assert!(bench.stream.state().is_ended(), "a name is a name");
}

#[test]
fn it_is_a_string_like_any_other_where_it_comes_too_late() {
    let (mut plain, _) = Bench::open(primary(0), Limits::default());
    plain.batch(batch(0, 0, &["subprotocol:chat"]));
    offer(&mut plain, &["chat"]);
    assert!(!plain.stream.awaits_selection());
    assert_eq!(plain.assign(1000)[2], "app event 1: subprotocol:chat");
    let mut assigned = Bench::with_primary();
    assigned.assign(1000);
    offer(&mut assigned, &["chat"]);
    let event = "app event 1: subprotocol:chat";
    assert_eq!(assigned.batch(batch(0, 0, &["subprotocol:chat"]))[2], event);
    for bench in [plain, assigned] {
        assert_eq!(service(&bench), "default");
        assert!(
            bench.rebuilt().apply(&Record::ServiceSelected { service: "chat".into() }).is_err()
        );
    }
}

#[test]
fn a_stream_that_never_says_anything_ends_as_any() {
    let mut bench = offered(&["chat"]);
    bench.detach(0);
    let idle = bench.limits.max_idle_ms();
    bench.wait(idle - 1);
    assert!(!bench.stream.state().is_ended());
    bench.wait(1);
    assert!(bench.stream.state().inbox().is_done(), "there is nobody to tell");
    assert!(bench.rebuilt().inbox().is_done());
}

#[test]
fn who_picks_and_leaves_has_been_there() {
    let mut bench = offered(&["chat"]);
    let reset = Some(Reset::new("bye", true));
    bench.batch(Batch { reset, ..batch(0, 0, &["subprotocol:chat"]) });
    assert!(!bench.stream.state().inbox().is_done());
    let ended = "app event 1: ended bye|1 by Client";
    assert_eq!(bench.assign(1000).last().unwrap(), ended);
}
