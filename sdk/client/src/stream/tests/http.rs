//! Transports over HTTP: polls and uploads.

use super::*;

#[test]
fn no_upload_before_the_stream_exists_and_one_at_a_time() {
    let mut machine = machine(TransportKind::LongPoll);
    let (poll, _, role) = opened(&mut machine);
    assert_eq!(role, Role::Primary);
    machine.push(Time::ZERO, "hi".into()).unwrap();
    assert_eq!(machine.next_output(), None);
    assert_eq!(frames_after_hello(&mut machine, poll), vec![]);
    receive(&mut machine, poll, &["C"]);
    let (upload, _, role) = opened(&mut machine);
    assert_eq!(
        (role, frames_after_hello(&mut machine, upload)),
        (Role::Upload, decode(&["0N", "hi "]))
    );
    machine.push(Time::ZERO, "ho".into()).unwrap();
    assert_eq!(machine.next_output(), None);
    receive(&mut machine, upload, &["|0A", "|-1T"]);
    machine.on_end(Time::ZERO, upload, End::Finished);
    let (second, _, role) = opened(&mut machine);
    assert_eq!(
        (role, frames_after_hello(&mut machine, second)),
        (Role::Upload, decode(&["1N", "ho "]))
    );
}

#[test]
fn polls_repeat_immediately_unless_two_are_empty() {
    let mut machine = machine(TransportKind::LongPoll);
    let poll = |machine: &mut StreamMachine, texts: &[&str]| {
        let (number, _, role) = opened(machine);
        assert_eq!((role, frames_after_hello(machine, number)), (Role::Primary, vec![]));
        receive(machine, number, texts);
        machine.on_end(Time::ZERO, number, End::Finished);
    };
    poll(&mut machine, &["C", "|-1A", "|-1T"]);
    poll(&mut machine, &["0N", "a ", "|-1A", "|-1T"]);
    poll(&mut machine, &["|-1A", "|0T"]);
    poll(&mut machine, &["|-1A", "|0T"]);
    assert_eq!(machine.next_output(), None);
    let next = machine.next_timeout(Time::ZERO).unwrap();
    assert!(next <= Duration::from_millis(100), "{next:?}");
    machine.on_timeout(next);
    poll(&mut machine, &["1N", "b ", "|-1A", "|0T"]);
    assert!(matches!(machine.next_output(), Some(Output::Open { .. })));
    assert_eq!(machine.counters().reconnects, 0);
}

#[test]
fn a_poll_overtaken_by_an_upload_is_repeated_immediately() {
    let mut machine = machine(TransportKind::LongPoll);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C", "|-1A", "|-1T"]);
    machine.on_end(Time::ZERO, first, End::Finished);
    for number in 0..5 {
        let (poll, _, role) = opened(&mut machine);
        assert_eq!((role, frames_after_hello(&mut machine, poll)), (Role::Primary, vec![]));
        machine.push(Time::ZERO, "hi".into()).unwrap();
        let (upload, _, role) = opened(&mut machine);
        assert_eq!((role, frames_after_hello(&mut machine, upload).len()), (Role::Upload, 2));
        let sack = format!("|{number}A");
        receive(&mut machine, upload, &[&sack, "|-1T"]);
        machine.on_end(Time::ZERO, upload, End::Finished);
        receive(&mut machine, poll, &[&sack, "|-1T"]);
        machine.on_end(Time::ZERO, poll, End::Finished);
    }
    assert!(matches!(machine.next_output(), Some(Output::Open { role: Role::Primary, .. })));
}

#[test]
fn the_sack_of_a_failed_upload_is_sent_again() {
    let mut machine = machine(TransportKind::HttpStream);
    let (primary, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, primary);
    receive(&mut machine, primary, &["C", "beat^", "0N", "a "]);
    assert_eq!(machine.next_output(), None);
    let due = machine.next_timeout(Time::ZERO).unwrap();
    assert_eq!(due, SECOND);
    machine.on_timeout(due);
    let (upload, _, role) = opened(&mut machine);
    assert_eq!(role, Role::Upload);
    assert_eq!(frames_after_hello(&mut machine, upload), vec![]);
    machine.on_end(due, upload, End::Failed);
    machine.on_timeout(2 * SECOND);
    let (again, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, again), vec![]);
    receive(&mut machine, again, &["|0T"]);
    machine.on_end(2 * SECOND, again, End::Finished);
    machine.on_timeout(4 * SECOND);
    assert_eq!(machine.next_output(), None);
}

#[test]
fn an_upload_without_acknowledged_messages_is_repeated_with_the_current_sack() {
    let (mut machine, primary, upload) = uploading();
    frames_after_hello(&mut machine, upload);
    receive(&mut machine, primary, &["0N", "a "]);
    // The server has no room for the messages.
    receive(&mut machine, upload, &["|-1A", "|-1T"]);
    machine.on_end(Time::ZERO, upload, End::Finished);
    machine.on_timeout(SECOND);
    let (again, ..) = opened(&mut machine);
    let frames = machine.take_frames(SECOND, again);
    let Some(Frame::Hello(hello)) = frames.first() else { panic!("{frames:?}") };
    assert!(String::from_utf8_lossy(hello).contains("\"sack\":\"|0\""), "{hello:?}");
    assert_eq!(frames[1..], decode(&["0N", "hi "]));
}
