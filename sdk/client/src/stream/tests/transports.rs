//! Reported changes of the transport, and heartbeats.

use super::*;

#[test]
fn the_active_kind_is_that_of_the_newest_attached_transport() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    assert_eq!(machine.active_kind(), None, "no response to the hello yet");
    receive(&mut machine, first, &["C"]);
    assert_eq!(machine.active_kind(), Some(TransportKind::Tcp));
    machine.switch(Time::ZERO, TransportKind::WebSocket);
    let (second, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, second);
    assert_eq!(machine.active_kind(), Some(TransportKind::Tcp), "until the successor is attached");
    receive(&mut machine, second, &["beat^"]);
    assert_eq!(machine.active_kind(), Some(TransportKind::WebSocket));
    machine.on_end(Time::ZERO, first, End::Finished);
    assert_eq!(machine.active_kind(), Some(TransportKind::WebSocket));
    machine.on_end(Time::ZERO, second, End::Failed);
    assert_eq!(machine.active_kind(), None);
}

#[test]
fn a_failed_successor_leaves_the_active_kind_unchanged() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, first);
    receive(&mut machine, first, &["C"]);
    machine.switch(Time::ZERO, TransportKind::WebSocket);
    let (second, ..) = opened(&mut machine);
    machine.on_end(Time::ZERO, second, End::Failed);
    assert_eq!(machine.active_kind(), Some(TransportKind::Tcp));
}

#[test]
fn the_active_kind_stays_set_between_polls() {
    let mut machine = machine(TransportKind::LongPoll);
    let (poll, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, poll);
    receive(&mut machine, poll, &["C", "0N", "a "]);
    machine.on_end(Time::ZERO, poll, End::Finished);
    assert_eq!(machine.active_kind(), Some(TransportKind::LongPoll));
    let (next, ..) = opened(&mut machine);
    machine.on_end(Time::ZERO, next, End::Failed);
    assert_eq!(machine.active_kind(), None);
}

#[test]
fn an_ended_stream_has_no_active_kind() {
    let mut machine = machine(TransportKind::Tcp);
    let (number, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, number);
    receive(&mut machine, number, &["C", "over|1!"]);
    assert_eq!((machine.active_kind(), machine.ended().is_some()), (None, true));
}

#[test]
fn a_socket_sends_heartbeats_at_the_announced_interval() {
    let heartbeat = config(TransportKind::Tcp).heartbeat;
    let mut machine = machine(TransportKind::Tcp);
    let (number, ..) = opened(&mut machine);
    let Some(Frame::Hello(hello)) = machine.take_frames(Time::ZERO, number).pop() else { panic!() };
    let hello = minerva_proto::Hello::parse(&hello).unwrap();
    assert_eq!(hello.beat, heartbeat);
    receive(&mut machine, number, &["C", "0N", "a "]);
    assert_eq!(machine.take_frames(SECOND, number), decode(&["|0A"]));
    let receive_heartbeat = |machine: &mut StreamMachine, now| {
        machine.on_frame(now, number, Frame::Comment("beat".into()));
    };
    for round in 1..4 {
        let due = SECOND + round * heartbeat;
        receive_heartbeat(&mut machine, due - SECOND);
        assert_eq!(machine.next_timeout(due - SECOND), Some(due));
        assert_eq!(machine.take_frames(due - Time::from_millis(1), number), []);
        assert!(
            machine.next_timeout(due).unwrap() > due,
            "an expired heartbeat waits for the socket, not for the timer"
        );
        assert_eq!(machine.take_frames(due, number), decode(&["|0A"]));
        assert_eq!(machine.take_frames(due, number), []);
    }
}

#[test]
fn http_transports_announce_no_heartbeat() {
    for kind in [TransportKind::HttpStream, TransportKind::LongPoll] {
        let mut machine = machine(kind);
        let (number, ..) = opened(&mut machine);
        let hello = machine.take_frames(Time::ZERO, number).pop();
        let Some(Frame::Hello(hello)) = hello else { panic!() };
        assert!(minerva_proto::Hello::parse(&hello).unwrap().beat.is_zero());
    }
}

#[test]
fn a_silent_upload_is_closed_while_reading_is_paused() {
    let heartbeat = config(TransportKind::HttpStream).heartbeat;
    let mut machine = machine(TransportKind::HttpStream);
    let (primary, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, primary);
    receive(&mut machine, primary, &["C", "beat^"]);
    machine.push(Time::ZERO, "hi".into()).unwrap();
    let (upload, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, upload);
    machine.set_reading(Time::ZERO, false);
    assert_eq!(machine.next_timeout(Time::ZERO), Some(2 * heartbeat));
    machine.on_timeout(2 * heartbeat);
    assert_eq!(machine.next_output(), Some(Output::Close { number: upload }));
    assert_eq!(machine.next_output(), None, "the primary is not read");
}
