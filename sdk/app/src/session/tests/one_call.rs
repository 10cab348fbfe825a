//! Edge cases of a session with one call, and the bounds of the queues.

use minerva_proto::app::{
    Ended as ProtoEnded, EndedBy, Registered, Released, SendRefused, SendRefusedReason, SendState,
    TransportChanged,
};

use super::*;

/// A registered session with one new stream and this credit.
pub(super) fn session(bytes_left: u32, messages_left: u32) -> OneCall {
    let mut session = OneCall::new(1000);
    register(&mut session);
    apply(&mut session, event::Event::Started(started(bytes_left, messages_left)));
    session
}

pub(super) fn register(session: &mut OneCall) -> Vec<StreamNumber> {
    let held = session.reconnect();
    let registered = Registered { max_message_bytes: 500, ..Registered::default() };
    apply(session, event::Event::Registered(registered));
    held
}

pub(super) fn started(bytes_left: u32, messages_left: u32) -> Started {
    Started {
        stream: STREAM.0,
        stream_id: ID.to_owned(),
        send_state: Some(state(0, bytes_left, messages_left)),
        ..Started::default()
    }
}

pub(super) fn state(next_send: u64, bytes_left: u32, messages_left: u32) -> SendState {
    SendState { stream: STREAM.0, next_send, bytes_left, messages_left, ..SendState::default() }
}

pub(super) fn messages(first_event: u64, messages: &[&'static str]) -> event::Event {
    let messages = messages.iter().map(|message| Bytes::from_static(message.as_bytes())).collect();
    event::Event::Messages(Messages {
        stream: STREAM.0,
        first_event,
        messages,
        ..Messages::default()
    })
}

fn refused(first: u64, reason: SendRefusedReason) -> event::Event {
    let reason = reason.into();
    let refused = SendRefused { stream: STREAM.0, first, reason, ..SendRefused::default() };
    event::Event::SendRefused(refused)
}

pub(super) fn ended(event: u64) -> event::Event {
    let by = EndedBy::Client.into();
    let reason = "bye".to_owned();
    let ended = ProtoEnded { stream: STREAM.0, event, reason, application_level: true, by };
    event::Event::Ended(ended)
}

pub(super) fn apply(session: &mut OneCall, event: event::Event) -> Vec<Signal> {
    let mut signals = Vec::new();
    session.on_event(event, &mut signals).unwrap();
    signals
}

pub(super) fn commands(session: &mut OneCall) -> Vec<command::Command> {
    session.take_commands(1 << 20).into_iter().filter_map(|command| command.command).collect()
}

pub(super) fn send(
    session: &mut OneCall,
    message: &'static str,
) -> Result<MessageNumber, QueueError> {
    session.send(STREAM, message.into(), false)
}

pub(super) fn read_messages(session: &mut OneCall) -> Vec<Message> {
    let mut read = Vec::new();
    while let Read::Event(Event::Message { message, .. }) = session.read(STREAM) {
        read.push(message);
    }
    read
}

#[test]
fn the_outbox_is_bounded_by_messages() {
    for (limit, sends) in [(1, 1), (2, 2), (3, 3)] {
        let mut session = session(1000, limit);
        for number in 0..sends {
            assert_eq!(send(&mut session, "x"), Ok(MessageNumber(number)));
        }
        assert_eq!(send(&mut session, "x"), Err(QueueError::NoRoom));
    }
}

#[test]
fn the_last_message_may_exceed_the_byte_credit() {
    for (limit, fits) in [(3, 1), (4, 1), (5, 2), (0, 0)] {
        let mut session = session(limit, 100);
        let sent = (0..10).take_while(|_| send(&mut session, "xxxx").is_ok()).count();
        assert_eq!(sent, fits, "{limit}");
    }
}

#[test]
fn a_message_beyond_the_credit_travels_alone() {
    let mut session = session(5, 100);
    send(&mut session, "xxxx").unwrap();
    send(&mut session, "yyyy").unwrap();
    let sent = commands(&mut session);
    let [command::Command::Send(first), command::Command::Send(second)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((first.messages.len(), second.messages.len()), (1, 1));
}

#[test]
fn an_acknowledgement_is_piggybacked_on_earlier_messages() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a", "b"]));
    send(&mut session, "x").unwrap();
    session.acknowledge(STREAM, EventNumber(1));
    let [command::Command::Send(sent)] = &commands(&mut session)[..] else { panic!() };
    assert_eq!(sent.acknowledge, Some(1));
    // No message to piggyback on: sent alone.
    apply(&mut session, event::Event::SendState(state(1, 100, 100)));
    session.acknowledge(STREAM, EventNumber(2));
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 2)
    );
}

#[test]
fn each_answer_carries_the_acknowledgement_of_its_event_only() {
    // Credit for one message per Send.
    let mut session = session(5, 100);
    apply(&mut session, messages(1, &["a", "b"]));
    for event in [1, 2] {
        session.answer(STREAM, EventNumber(event), "xxxx".into()).unwrap();
    }
    let sent = commands(&mut session);
    let [command::Command::Send(first), command::Command::Send(second)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((first.acknowledge, second.acknowledge), (Some(1), Some(2)));
}

#[test]
fn an_answer_waits_for_the_delivery_of_its_event() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    session.answer(STREAM, EventNumber(1), "x".into()).unwrap();
    assert_eq!(commands(&mut session).len(), 1);
    // Lost with the call. The event has not been delivered on the new call.
    register(&mut session);
    apply(&mut session, event::Event::Started(started(100, 100)));
    assert!(commands(&mut session).is_empty());
    apply(&mut session, messages(1, &["a"]));
    assert!(session.has_commands());
    let [command::Command::Send(sent)] = &commands(&mut session)[..] else { panic!() };
    assert_eq!(sent.acknowledge, Some(1));
}

#[test]
fn an_acknowledgement_waits_for_messages_in_flight() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    send(&mut session, "x").unwrap();
    assert_eq!(commands(&mut session).len(), 1);
    session.acknowledge(STREAM, EventNumber(1));
    assert!(commands(&mut session).is_empty());
    apply(&mut session, event::Event::SendState(state(1, 100, 100)));
    // The session schedules the stream without a handler.
    assert!(session.has_commands());
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 1)
    );
}

#[test]
fn a_refused_send_discards_its_acknowledgement() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    send(&mut session, "x").unwrap();
    session.acknowledge(STREAM, EventNumber(1));
    commands(&mut session);
    apply(&mut session, refused(0, SendRefusedReason::ResourceExhausted));
    assert!(commands(&mut session).is_empty());
    apply(&mut session, event::Event::SendState(state(0, 100, 100)));
    let [command::Command::Send(sent)] = &commands(&mut session)[..] else { panic!() };
    assert_eq!((sent.first, sent.acknowledge), (0, Some(1)));
}

#[test]
fn a_refused_send_discards_acknowledgements_of_later_sends() {
    let mut session = session(100, 100);
    send(&mut session, "x").unwrap();
    assert_eq!(commands(&mut session).len(), 1);
    apply(&mut session, messages(1, &["a"]));
    session.answer(STREAM, EventNumber(1), "y".into()).unwrap();
    let [command::Command::Send(sent)] = &commands(&mut session)[..] else { panic!() };
    assert_eq!((sent.first, sent.acknowledge), (1, Some(1)));
    // The first Send is refused. The answer is sent again before the second refusal arrives.
    apply(&mut session, refused(0, SendRefusedReason::ResourceExhausted));
    apply(&mut session, event::Event::SendState(state(0, 100, 100)));
    let [command::Command::Send(sent)] = &commands(&mut session)[..] else { panic!() };
    assert_eq!((sent.first, sent.messages.len(), sent.acknowledge), (0, 2, Some(1)));
    apply(&mut session, refused(1, SendRefusedReason::OutOfOrder));
    assert!(commands(&mut session).is_empty());
}

#[test]
fn an_invalid_send_ends_the_stream() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    send(&mut session, "x").unwrap();
    commands(&mut session);
    session.acknowledge(STREAM, EventNumber(1));
    let reason = SendRefusedReason::Invalid.into();
    let detail = "send.messages: invalid".to_owned();
    let refused =
        SendRefused { stream: STREAM.0, first: 0, reason, next_send: 0, detail, index: None };
    apply(&mut session, event::Event::SendRefused(refused));
    let commands = commands(&mut session);
    let [command::Command::Reset(reset), ..] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((&*reset.reason, reset.application_level), ("invalid message", false));
    assert_eq!(send(&mut session, "y"), Err(QueueError::Over));
}

#[test]
fn a_paused_stream_accepts_only_sends_that_ignore_the_pause() {
    let mut session = session(100, 100);
    let paused = SendState { paused: true, ..state(0, 100, 100) };
    apply(&mut session, event::Event::SendState(paused));
    assert_eq!(session.send(STREAM, "".into(), true), Err(QueueError::NoRoom));
    assert_eq!(session.is_ready(STREAM), Err(QueueError::NoRoom));
    assert_eq!(send(&mut session, "x"), Ok(MessageNumber(0)));
}

#[test]
fn limits_are_sent_on_each_call() {
    let mut session = session(100, 100);
    session.set_limits(STREAM, SetLimits { max_idle_ms: Some(500), ..SetLimits::default() });
    assert!(matches!(&commands(&mut session)[..], [command::Command::SetLimits(_)]));
    assert!(commands(&mut session).is_empty());
    register(&mut session);
    apply(&mut session, event::Event::Started(started(100, 100)));
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::SetLimits(l)] if l.max_idle_ms == Some(500))
    );
}

#[test]
fn a_stream_served_by_another_instance_is_replaced() {
    for changed in [(5, 0), (0, 5)] {
        let mut session = session(100, 100);
        send(&mut session, "x").unwrap();
        register(&mut session);
        let (next_event, next_send) = changed;
        let again = Started { resumed: true, next_event, next_send, ..started(100, 100) };
        let signals = apply(&mut session, event::Event::Started(again));
        assert!(matches!(&signals[..], [Signal::Released(STREAM), Signal::Arrived(_)]));
        assert_eq!(session.next_send(STREAM), Some(MessageNumber(next_send)));
        assert_eq!(session.confirmed(STREAM), Some(MessageNumber(next_send)));
    }
}

#[test]
fn a_stream_with_a_reused_number_is_a_new_stream() {
    let other = || Started { stream_id: ID.replace('a', "b"), ..started(100, 100) };
    let mut held = session(100, 100);
    register(&mut held);
    let signals = apply(&mut held, event::Event::Started(Started { resumed: true, ..other() }));
    assert!(matches!(&signals[..], [Signal::Released(STREAM), Signal::Arrived(_)]), "{signals:?}");

    let mut finished = session(100, 100);
    finished.abandon(STREAM);
    apply(&mut finished, ended(1));
    commands(&mut finished);
    assert!(finished.streams.is_empty());
    let signals = apply(&mut finished, event::Event::Started(other()));
    assert!(matches!(&signals[..], [Signal::Arrived(_)]), "{signals:?}");
}

#[test]
fn the_loss_of_confirmed_sends_resets_the_stream() {
    let mut session = session(100, 100);
    send(&mut session, "x").unwrap();
    commands(&mut session);
    apply(&mut session, event::Event::SendState(state(1, 100, 100)));
    register(&mut session);
    apply(&mut session, event::Event::Started(Started { resumed: true, ..started(100, 100) }));
    let commands = commands(&mut session);
    let [command::Command::Reset(reset)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((&*reset.reason, reset.application_level), ("state lost", false));
}

#[test]
fn a_released_stream_is_dropped() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    let released = event::Event::Released(Released { stream: STREAM.0, ..Released::default() });
    assert_eq!(apply(&mut session, released.clone()), [Signal::Released(STREAM)]);
    assert_eq!(session.read(STREAM), Read::Over);
    assert_eq!(send(&mut session, "x"), Err(QueueError::Over));
    assert!(apply(&mut session, released).is_empty());
    assert!(register(&mut session).is_empty());
}

#[test]
fn contract_violations_are_reported() {
    let mut unregistered = OneCall::new(1000);
    let mut signals = Vec::new();
    let outcome = unregistered.on_event(event::Event::Started(started(1, 1)), &mut signals);
    assert_eq!(outcome, Err(ContractError::NotRegistered));
    let bad_id = Started { stream_id: "short".to_owned(), ..started(1, 1) };
    let unknown = Messages { stream: 77, first_event: 1, ..Messages::default() };
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
        // The session stays consistent.
        apply(&mut session, messages(1, &["a"]));
        assert_eq!(read_messages(&mut session), ["a"]);
    }
}

#[test]
fn exceeding_the_window_is_a_contract_violation() {
    let mut session = session(100, 100);
    let half = Bytes::from(vec![b'x'; MAX_MESSAGE / 2 + 1]);
    let mut outcomes = Vec::new();
    for event in 1..=4 {
        let messages = vec![half.clone()];
        let messages =
            Messages { stream: STREAM.0, first_event: event, messages, ..Messages::default() };
        let messages = event::Event::Messages(messages);
        outcomes.push(session.on_event(messages, &mut Vec::new()));
    }
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(ContractError::Window)]);
}

#[test]
fn the_oldest_transport_changes_are_dropped() {
    for (count, first) in [(63, 0), (64, 0), (65, 1)] {
        let mut session = session(100, 100);
        for transport_number in 0..count {
            let change =
                TransportChanged { stream: STREAM.0, transport_number, ..Default::default() };
            apply(&mut session, event::Event::TransportChanged(change));
        }
        let Read::Event(Event::TransportChanged(change)) = session.read(STREAM) else { panic!() };
        assert_eq!(change.number.0, first);
    }
}

#[test]
fn streams_take_turns() {
    let mut session = session(1 << 20, 1000);
    let other = Started { stream: 10, ..started(1 << 20, 1000) };
    apply(&mut session, event::Event::Started(other));
    for number in [STREAM, StreamNumber(10)] {
        for _ in 0..3 {
            session.send(number, "x".repeat(100_000).into(), false).unwrap();
        }
    }
    let mut order = Vec::new();
    while session.has_commands() {
        for command in session.take_commands(1000) {
            let Some(command::Command::Send(send)) = command.command else { panic!() };
            order.push(send.stream);
        }
    }
    assert_eq!(order, [STREAM.0, 10, STREAM.0, 10, STREAM.0, 10]);
}

#[test]
fn no_command_is_sent_before_started() {
    let mut session = session(100, 100);
    register(&mut session);
    send(&mut session, "x").unwrap();
    session.acknowledge(STREAM, EventNumber(0));
    assert!(commands(&mut session).is_empty());
    apply(&mut session, event::Event::Started(started(100, 100)));
    assert_eq!(commands(&mut session).len(), 1);
}
