//! Corners of the session that the model core does not reach, and the bounds.

use minerva_proto::app::{
    Ended as ProtoEnded, EndedBy, Registered, Released, SendRefused, SendRefusedReason, SendState,
    TransportChanged,
};

use super::*;

/// Registered, with one new stream that has this room.
pub(super) fn session(bytes_left: u32, messages_left: u32) -> Talk {
    let mut session = Talk::new(1000);
    register(&mut session);
    hear(&mut session, event::Event::Started(started(bytes_left, messages_left)));
    session
}

pub(super) fn register(session: &mut Talk) -> Vec<u64> {
    let held = session.call_again();
    let registered = Registered { max_message_bytes: 500, ..Registered::default() };
    hear(session, event::Event::Registered(registered));
    held
}

pub(super) fn started(bytes_left: u32, messages_left: u32) -> Started {
    Started {
        stream: STREAM,
        stream_id: ID.to_owned(),
        send_state: Some(state(0, bytes_left, messages_left)),
        ..Started::default()
    }
}

pub(super) fn state(next_send: u64, bytes_left: u32, messages_left: u32) -> SendState {
    SendState { stream: STREAM, next_send, bytes_left, messages_left, paused: false }
}

pub(super) fn messages(first_event: u64, messages: &[&'static str]) -> event::Event {
    let messages = messages.iter().map(|message| Bytes::from_static(message.as_bytes())).collect();
    event::Event::Messages(Messages { stream: STREAM, first_event, messages })
}

pub(super) fn ended(event: u64) -> event::Event {
    let by = EndedBy::Client.into();
    let reason = "bye".to_owned();
    let ended = ProtoEnded { stream: STREAM, event, reason, application_level: true, by };
    event::Event::Ended(ended)
}

pub(super) fn hear(session: &mut Talk, event: event::Event) -> Vec<Signal> {
    let mut signals = Vec::new();
    session.on_event(event, &mut signals).unwrap();
    signals
}

pub(super) fn told(session: &mut Talk) -> Vec<command::Command> {
    session.take_commands(1 << 20).into_iter().filter_map(|command| command.command).collect()
}

pub(super) fn send(session: &mut Talk, message: &'static str) -> Result<u64, QueueError> {
    session.send(STREAM, Bytes::from_static(message.as_bytes()), false)
}

fn read_messages(session: &mut Talk) -> Vec<Bytes> {
    let mut read = Vec::new();
    while let Read::Event(Event::Message { message, .. }) = session.read(STREAM) {
        read.push(message);
    }
    read
}

#[test]
fn room_in_strings() {
    for (limit, sends) in [(1, 1), (2, 2), (3, 3)] {
        let mut session = session(1000, limit);
        for number in 0..sends {
            assert_eq!(send(&mut session, "x"), Ok(number));
        }
        assert_eq!(send(&mut session, "x"), Err(QueueError::NoRoom));
    }
}

#[test]
fn room_in_bytes_lets_the_last_string_pass() {
    for (limit, fits) in [(3, 1), (4, 1), (5, 2), (0, 0)] {
        let mut session = session(limit, 100);
        let sent = (0..10).take_while(|_| send(&mut session, "xxxx").is_ok()).count();
        assert_eq!(sent, fits, "{limit}");
    }
}

#[test]
fn a_string_that_passes_the_room_travels_alone() {
    let mut session = session(5, 100);
    send(&mut session, "xxxx").unwrap();
    send(&mut session, "yyyy").unwrap();
    let told = told(&mut session);
    let [command::Command::Send(first), command::Command::Send(second)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((first.messages.len(), second.messages.len()), (1, 1));
}

#[test]
fn an_acknowledgement_goes_with_the_strings_before_it() {
    let mut session = session(100, 100);
    hear(&mut session, messages(1, &["a", "b"]));
    send(&mut session, "x").unwrap();
    session.acknowledge(STREAM, 1);
    let [command::Command::Send(sent)] = &told(&mut session)[..] else { panic!() };
    assert_eq!(sent.acknowledge, Some(1));
    // Nothing to go with: alone.
    hear(&mut session, event::Event::SendState(state(1, 100, 100)));
    session.acknowledge(STREAM, 2);
    assert!(matches!(&told(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 2));
}

#[test]
fn each_answer_goes_with_the_acknowledgement_of_its_event_only() {
    // Credit for one message per Send.
    let mut session = session(5, 100);
    hear(&mut session, messages(1, &["a", "b"]));
    for event in [1, 2] {
        session.answer(STREAM, event, Bytes::from_static(b"xxxx")).unwrap();
    }
    let told = told(&mut session);
    let [command::Command::Send(first), command::Command::Send(second)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((first.acknowledge, second.acknowledge), (Some(1), Some(2)));
}

#[test]
fn an_answer_waits_until_its_event_can_be_acknowledged() {
    let mut session = session(100, 100);
    hear(&mut session, messages(1, &["a"]));
    session.answer(STREAM, 1, Bytes::from_static(b"x")).unwrap();
    assert_eq!(told(&mut session).len(), 1);
    // Lost with the call; at the new one the event has not come yet.
    register(&mut session);
    hear(&mut session, event::Event::Started(started(100, 100)));
    assert!(told(&mut session).is_empty());
    hear(&mut session, messages(1, &["a"]));
    assert!(session.has_commands());
    let [command::Command::Send(sent)] = &told(&mut session)[..] else { panic!() };
    assert_eq!(sent.acknowledge, Some(1));
}

#[test]
fn an_acknowledgement_waits_for_strings_on_their_way() {
    let mut session = session(100, 100);
    hear(&mut session, messages(1, &["a"]));
    send(&mut session, "x").unwrap();
    assert_eq!(told(&mut session).len(), 1);
    session.acknowledge(STREAM, 1);
    assert!(told(&mut session).is_empty());
    hear(&mut session, event::Event::SendState(state(1, 100, 100)));
    // Not part of the signal's change: the session lists the stream by itself.
    assert!(session.has_commands());
    assert!(matches!(&told(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 1));
}

#[test]
fn a_refused_send_takes_its_acknowledgement_along() {
    let mut session = session(100, 100);
    hear(&mut session, messages(1, &["a"]));
    send(&mut session, "x").unwrap();
    session.acknowledge(STREAM, 1);
    told(&mut session);
    let reason = SendRefusedReason::ResourceExhausted.into();
    let refused = SendRefused { stream: STREAM, first: 0, reason, next_send: 0 };
    hear(&mut session, event::Event::SendRefused(refused));
    assert!(told(&mut session).is_empty());
    hear(&mut session, event::Event::SendState(state(0, 100, 100)));
    let [command::Command::Send(sent)] = &told(&mut session)[..] else { panic!() };
    assert_eq!((sent.first, sent.acknowledge), (0, Some(1)));
}

#[test]
fn an_acknowledgement_is_lost_with_the_send_before_its_own() {
    let mut session = session(100, 100);
    send(&mut session, "x").unwrap();
    assert_eq!(told(&mut session).len(), 1);
    hear(&mut session, messages(1, &["a"]));
    session.answer(STREAM, 1, Bytes::from_static(b"y")).unwrap();
    let [command::Command::Send(sent)] = &told(&mut session)[..] else { panic!() };
    assert_eq!((sent.first, sent.acknowledge), (1, Some(1)));
    // The first Send is refused; the answer goes out again before the second is.
    let reason = SendRefusedReason::ResourceExhausted.into();
    let refused = SendRefused { stream: STREAM, first: 0, reason, next_send: 0 };
    hear(&mut session, event::Event::SendRefused(refused));
    hear(&mut session, event::Event::SendState(state(0, 100, 100)));
    let [command::Command::Send(sent)] = &told(&mut session)[..] else { panic!() };
    assert_eq!((sent.first, sent.messages.len(), sent.acknowledge), (0, 2, Some(1)));
    let reason = SendRefusedReason::OutOfOrder.into();
    let refused = SendRefused { stream: STREAM, first: 1, reason, next_send: 0 };
    hear(&mut session, event::Event::SendRefused(refused));
    assert!(told(&mut session).is_empty());
}

#[test]
fn a_paused_stream_takes_only_what_cannot_wait() {
    let mut session = session(100, 100);
    let paused = SendState { paused: true, ..state(0, 100, 100) };
    hear(&mut session, event::Event::SendState(paused));
    assert_eq!(session.send(STREAM, Bytes::new(), true), Err(QueueError::NoRoom));
    assert_eq!(session.is_ready(STREAM), Err(QueueError::NoRoom));
    assert_eq!(send(&mut session, "x"), Ok(0));
}

#[test]
fn limits_are_told_on_each_call() {
    let mut session = session(100, 100);
    session.set_limits(STREAM, SetLimits { max_idle_ms: Some(500), ..SetLimits::default() });
    assert!(matches!(&told(&mut session)[..], [command::Command::SetLimits(_)]));
    assert!(told(&mut session).is_empty());
    register(&mut session);
    hear(&mut session, event::Event::Started(started(100, 100)));
    assert!(
        matches!(&told(&mut session)[..], [command::Command::SetLimits(l)] if l.max_idle_ms == Some(500))
    );
}

#[test]
fn a_stream_that_another_instance_had_is_a_new_one() {
    for changed in [(5, 0), (0, 5)] {
        let mut session = session(100, 100);
        send(&mut session, "x").unwrap();
        register(&mut session);
        let (next_event, next_send) = changed;
        let again = Started { resumed: true, next_event, next_send, ..started(100, 100) };
        let signals = hear(&mut session, event::Event::Started(again));
        assert!(matches!(&signals[..], [Signal::Released(STREAM), Signal::Arrived(_)]));
        assert_eq!(session.next_send(STREAM), Some(next_send));
        assert_eq!(session.confirmed(STREAM), Some(next_send));
    }
}

#[test]
fn another_stream_that_got_the_same_number_is_a_new_one() {
    let other = || Started { stream_id: ID.replace('a', "b"), ..started(100, 100) };
    let mut held = session(100, 100);
    register(&mut held);
    let signals = hear(&mut held, event::Event::Started(Started { resumed: true, ..other() }));
    assert!(matches!(&signals[..], [Signal::Released(STREAM), Signal::Arrived(_)]), "{signals:?}");

    let mut finished = session(100, 100);
    finished.abandon(STREAM);
    hear(&mut finished, ended(1));
    told(&mut finished);
    assert!(finished.streams.is_empty());
    let signals = hear(&mut finished, event::Event::Started(other()));
    assert!(matches!(&signals[..], [Signal::Arrived(_)]), "{signals:?}");
}

#[test]
fn a_core_that_lost_confirmed_sends_gets_a_reset() {
    let mut session = session(100, 100);
    send(&mut session, "x").unwrap();
    told(&mut session);
    hear(&mut session, event::Event::SendState(state(1, 100, 100)));
    register(&mut session);
    hear(&mut session, event::Event::Started(Started { resumed: true, ..started(100, 100) }));
    let commands = told(&mut session);
    let [command::Command::Reset(reset)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((&*reset.reason, reset.application_level), ("state lost", false));
}

#[test]
fn a_released_stream_is_gone() {
    let mut session = session(100, 100);
    hear(&mut session, messages(1, &["a"]));
    let released = event::Event::Released(Released { stream: STREAM });
    assert_eq!(hear(&mut session, released.clone()), [Signal::Released(STREAM)]);
    assert_eq!(session.read(STREAM), Read::Over);
    assert_eq!(send(&mut session, "x"), Err(QueueError::Over));
    assert!(hear(&mut session, released).is_empty());
    assert!(register(&mut session).is_empty());
}

#[test]
fn violations() {
    let mut unregistered = Talk::new(1000);
    let mut signals = Vec::new();
    let outcome = unregistered.on_event(event::Event::Started(started(1, 1)), &mut signals);
    assert_eq!(outcome, Err(ContractError::NotRegistered));
    let bad_id = Started { stream_id: "short".to_owned(), ..started(1, 1) };
    let unknown = Messages { stream: 77, first_event: 1, messages: Vec::new() };
    let cases = [
        (messages(2, &["b"]), ContractError::Gap),
        (ended(2), ContractError::Gap),
        (ended(u64::MAX), ContractError::Gap),
        (event::Event::Messages(unknown), ContractError::UnknownStream),
        (event::Event::Started(bad_id), ContractError::StreamId),
        (event::Event::SendState(state(1, 1, 1)), ContractError::Number),
    ];
    for (event, violation) in cases {
        let mut session = session(100, 100);
        assert_eq!(session.on_event(event, &mut signals), Err(violation));
        // The machine stays whole.
        hear(&mut session, messages(1, &["a"]));
        assert_eq!(read_messages(&mut session), ["a"]);
    }
}

#[test]
fn a_core_that_ignores_the_window_is_given_up() {
    let mut session = session(100, 100);
    let half = Bytes::from(vec![b'x'; MAX_MESSAGE / 2 + 1]);
    let mut outcomes = Vec::new();
    for event in 1..=4 {
        let messages = vec![half.clone()];
        let messages = Messages { stream: STREAM, first_event: event, messages };
        let messages = event::Event::Messages(messages);
        outcomes.push(session.on_event(messages, &mut Vec::new()));
    }
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(ContractError::Window)]);
}

#[test]
fn transport_changes_are_bounded_and_the_oldest_left_out() {
    for (count, first) in [(63, 0), (64, 0), (65, 1)] {
        let mut session = session(100, 100);
        for transport_number in 0..count {
            let change =
                TransportChanged { stream: STREAM, transport_number, ..Default::default() };
            hear(&mut session, event::Event::TransportChanged(change));
        }
        let Read::Event(Event::TransportChanged(change)) = session.read(STREAM) else { panic!() };
        assert_eq!(change.number, first);
    }
}

#[test]
fn streams_take_turns() {
    let mut session = session(1 << 20, 1000);
    let other = Started { stream: 10, ..started(1 << 20, 1000) };
    hear(&mut session, event::Event::Started(other));
    for number in [STREAM, 10] {
        for _ in 0..3 {
            session.send(number, Bytes::from(vec![b'x'; 100_000]), false).unwrap();
        }
    }
    let mut order = Vec::new();
    while session.has_commands() {
        for command in session.take_commands(1000) {
            let Some(command::Command::Send(send)) = command.command else { panic!() };
            order.push(send.stream);
        }
    }
    assert_eq!(order, [STREAM, 10, STREAM, 10, STREAM, 10]);
}

#[test]
fn nothing_is_told_of_a_stream_before_its_start_on_the_call() {
    let mut session = session(100, 100);
    register(&mut session);
    send(&mut session, "x").unwrap();
    session.acknowledge(STREAM, 0);
    assert!(told(&mut session).is_empty());
    hear(&mut session, event::Event::Started(started(100, 100)));
    assert_eq!(told(&mut session).len(), 1);
}
