//! Resets by the application: repeated until the server confirms.

use super::*;

#[test]
fn a_reset_is_repeated_until_confirmed() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C"]);
    machine.reset(Time::ZERO, "bye");
    assert_eq!(machine.take_frames(Time::ZERO, first), decode(&["bye|1!"]));
    machine.on_end(Time::ZERO, first, End::Failed);
    assert_eq!(machine.ended(), None);
    machine.on_timeout(SECOND);
    let (second, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, second), decode(&["bye|1!"]));
    receive(&mut machine, second, &["stream_attach_failureK", "Y"]);
    let ended = Ended { reason: "bye".into(), application_level: true, by: EndedBy::Client };
    assert_eq!(machine.ended(), Some(&ended));
}

#[test]
fn a_close_handshake_does_not_confirm_a_reset() {
    let mut machine = machine(TransportKind::WebSocket);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C"]);
    machine.reset(Time::ZERO, "bye");
    assert_eq!(machine.take_frames(Time::ZERO, first), decode(&["bye|1!"]));
    // The edge drains and has not read the reset.
    receive(&mut machine, first, &["|-1A", "|-1T", "Y"]);
    assert_eq!(machine.ended(), None);
    assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
    machine.on_timeout(SECOND);
    let (second, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, second), decode(&["bye|1!"]));
    receive(&mut machine, second, &["|-1A", "|-1T", "Y"]);
    assert_eq!(machine.next_output(), Some(Output::Close { number: second }));
    machine.on_timeout(60 * SECOND);
    let (third, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, third);
    receive(&mut machine, third, &["stream_attach_failureK", "Y"]);
    let ended = Ended { reason: "bye".into(), application_level: true, by: EndedBy::Client };
    assert_eq!(machine.ended(), Some(&ended));
}

#[test]
fn a_successor_carries_the_reset_again() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C"]);
    machine.reset(Time::ZERO, "bye");
    machine.take_frames(Time::ZERO, first);
    machine.switch(Time::ZERO, TransportKind::WebSocket);
    let (second, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, second), []);
    receive(&mut machine, second, &["beat^"]);
    receive(&mut machine, first, &["|-1A", "|-1T", "Y"]);
    assert_eq!(machine.ended(), None);
    assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
    assert_eq!(machine.take_frames(Time::ZERO, second), decode(&["|-1A", "bye|1!"]));
    receive(&mut machine, second, &["bye|1!"]);
    assert_eq!(machine.ended().map(|ended| ended.by), Some(EndedBy::Client));
}

#[test]
fn an_upload_with_a_reset_is_repeated_until_the_server_confirms() {
    let mut machine = machine(TransportKind::HttpStream);
    let (primary, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, primary);
    receive(&mut machine, primary, &["C"]);
    machine.reset(Time::ZERO, "bye");
    let (upload, _, role) = opened(&mut machine);
    assert_eq!(role, Role::Upload);
    assert_eq!(frames_after_hello(&mut machine, upload), decode(&["bye|1!"]));
    receive(&mut machine, upload, &["|-1A", "|-1T"]);
    machine.on_end(Time::ZERO, upload, End::Finished);
    assert_eq!(machine.ended(), None);
    assert_eq!(machine.next_output(), None, "the back-off applies");
    machine.on_timeout(SECOND);
    let (again, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, again), decode(&["bye|1!"]));
    receive(&mut machine, primary, &["bye|1!"]);
    assert_eq!(machine.ended().map(|ended| ended.by), Some(EndedBy::Client));
}
