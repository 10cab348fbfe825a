//! Resets by the application: repeated until the server confirms, up to a deadline.

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

fn hello_of(machine: &mut StreamMachine, now: Time, number: TransportNumber) -> (bool, Vec<Frame>) {
    let mut frames = machine.take_frames(now, number);
    let Frame::Hello(hello) = frames.remove(0) else { panic!("{frames:?}") };
    (String::from_utf8_lossy(&hello).contains("\"new\":true"), frames)
}

fn own_end() -> Ended {
    Ended { reason: "bye".into(), application_level: true, by: EndedBy::Client }
}

#[test]
fn a_reset_before_the_first_hello_ends_the_stream_immediately() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    machine.reset(Time::ZERO, "bye");
    assert_eq!(machine.ended(), Some(&own_end()));
    assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
}

#[test]
fn a_reset_before_the_first_answer_is_repeated_without_new() {
    for kind in [TransportKind::Tcp, TransportKind::WebSocket] {
        let mut machine = machine(kind);
        let (first, ..) = opened(&mut machine);
        assert_eq!(hello_of(&mut machine, Time::ZERO, first), (true, vec![]));
        machine.reset(Time::ZERO, "bye");
        assert_eq!(machine.take_frames(Time::ZERO, first), decode(&["bye|1!"]));
        assert_eq!(machine.ended(), None);
        machine.on_end(Time::ZERO, first, End::Failed);
        machine.on_timeout(SECOND);
        let (second, ..) = opened(&mut machine);
        assert_eq!(hello_of(&mut machine, SECOND, second), (false, decode(&["bye|1!"])));
        receive(&mut machine, second, &["stream_attach_failureK", "Y"]);
        assert_eq!(machine.ended(), Some(&own_end()));
    }
}

#[test]
fn an_unanswered_hello_with_new_may_still_create_the_stream() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    assert_eq!(hello_of(&mut machine, Time::ZERO, first), (true, vec![]));
    machine.switch(Time::ZERO, TransportKind::WebSocket);
    let (second, ..) = opened(&mut machine);
    machine.reset(Time::ZERO, "bye");
    assert_eq!(hello_of(&mut machine, Time::ZERO, second), (false, decode(&["bye|1!"])));
    // The reset follows the first hello as well, which may arrive after the second.
    assert_eq!(machine.take_frames(Time::ZERO, first), decode(&["bye|1!"]));
    receive(&mut machine, second, &["stream_attach_failureK", "Y"]);
    assert_eq!(machine.ended(), None);
    assert_eq!(machine.next_output(), Some(Output::Close { number: second }));
    receive(&mut machine, first, &["C", "|-1A", "|-1T", "Y"]);
    assert_eq!(machine.ended(), None);
    assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
    machine.on_timeout(SECOND);
    let (third, ..) = opened(&mut machine);
    assert_eq!(hello_of(&mut machine, SECOND, third), (false, decode(&["bye|1!"])));
    receive(&mut machine, third, &["bye|1!", "Y"]);
    assert_eq!(machine.ended(), Some(&own_end()));
}

#[test]
fn on_http_a_reset_waits_for_the_answer_to_the_hello_with_new() {
    let mut machine = machine(TransportKind::HttpStream);
    let (first, ..) = opened(&mut machine);
    assert_eq!(hello_of(&mut machine, Time::ZERO, first), (true, vec![]));
    machine.reset(Time::ZERO, "bye");
    assert_eq!(machine.next_output(), None, "the upload could overtake the hello");
    machine.on_end(Time::ZERO, first, End::Failed);
    let (upload, _, role) = opened(&mut machine);
    assert_eq!(role, Role::Upload);
    assert_eq!(hello_of(&mut machine, Time::ZERO, upload), (false, decode(&["bye|1!"])));
    machine.on_timeout(SECOND);
    let (primary, ..) = opened(&mut machine);
    assert_eq!(hello_of(&mut machine, SECOND, primary), (false, decode(&["bye|1!"])));
    receive(&mut machine, upload, &["stream_attach_failureK"]);
    assert_eq!(machine.ended(), Some(&own_end()));
}

#[test]
fn an_earlier_reset_of_the_application_is_the_reason_of_the_end() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C"]);
    machine.reset(Time::ZERO, "bye");
    machine.take_frames(Time::ZERO, first);
    receive(&mut machine, first, &["enough|1!", "Y"]);
    let ended = Ended { reason: "enough".into(), application_level: true, by: EndedBy::Server };
    assert_eq!(machine.ended(), Some(&ended));
}

#[test]
fn an_unconfirmed_reset_is_given_up_at_the_deadline() {
    let mut machine = machine(TransportKind::Tcp);
    let (mut number, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, number);
    receive(&mut machine, number, &["C"]);
    machine.reset(SECOND, "bye");
    let deadline = SECOND + RESET_TIMEOUT;
    let mut now = SECOND;
    while machine.ended().is_none() {
        machine.on_end(now, number, End::Failed);
        now = machine.next_timeout(now).unwrap();
        assert!(now <= deadline);
        machine.on_timeout(now);
        if let Some(Output::Open { number: next, .. }) = machine.next_output() {
            number = next;
        }
    }
    assert_eq!(now, deadline);
    let reason = "reset not confirmed".to_owned();
    let ended = Ended { reason, application_level: false, by: EndedBy::Client };
    assert_eq!(machine.ended(), Some(&ended));
    assert_eq!(machine.next_timeout(now), None);
}

#[test]
fn after_a_reset_no_message_is_accepted() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C"]);
    machine.push(Time::ZERO, "last words".into()).unwrap();
    machine.reset(Time::ZERO, "bye");
    assert_eq!(machine.push(Time::ZERO, "late".into()), Err(SendError::Resetting));
    assert_eq!(machine.take_frames(Time::ZERO, first), decode(&["0N", "last words ", "bye|1!"]));
    machine.on_end(Time::ZERO, first, End::Failed);
    assert_eq!(machine.push(Time::ZERO, "late".into()), Err(SendError::Resetting));
    machine.on_timeout(SECOND);
    let (second, ..) = opened(&mut machine);
    // The messages sent before the reset are repeated in front of it.
    assert_eq!(frames_after_hello(&mut machine, second), decode(&["0N", "last words ", "bye|1!"]));
    receive(&mut machine, second, &["bye|1!"]);
    assert_eq!(machine.push(Time::ZERO, "late".into()), Err(SendError::Ended(own_end())));
    assert_eq!(machine.counters().sent, 1);
}

#[test]
fn after_a_reset_no_message_is_delivered_or_acknowledged() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C", "0N", "a "]);
    machine.reset(Time::ZERO, "bye");
    assert_eq!(machine.take_frames(Time::ZERO, first), decode(&["|0A", "bye|1!"]));
    receive(&mut machine, first, &["b "]);
    assert_eq!(machine.take_frames(SECOND, first), []);
    assert_eq!((pop(&mut machine), pop(&mut machine)), (Some("a".into()), None));
    receive(&mut machine, first, &["bye|1!"]);
    assert_eq!(machine.ended(), Some(&own_end()));
    assert_eq!(machine.pop(), None);
}
