//! Claim tags: events and confirmed messages that the core has lost, and the report for the next registration.

use minerva_proto::app::{Held, Released, SendState};

use super::*;
use one_call::{apply, commands, ended, register, send, started, state};

const A: u64 = 0xa;
const B: u64 = 0xb;

fn messages(first_event: u64, messages: &[&'static str], tag: u64) -> event::Event {
    let messages = messages.iter().map(|message| Bytes::from_static(message.as_bytes())).collect();
    event::Event::Messages(Messages {
        stream: STREAM.0,
        first_event,
        messages,
        tag,
        ..Messages::default()
    })
}

fn send_state(next_send: u64, tag: u64) -> SendState {
    SendState { tag, ..state(next_send, 100, 100) }
}

fn tagged_session() -> OneCall {
    let mut session = OneCall::new(1000);
    register(&mut session);
    let send_state = Some(state(0, 100, 100));
    let started = Started { created_tag: A, send_state, ..started(100, 100) };
    apply(&mut session, event::Event::Started(started));
    session
}

/// The reason of a reset among the commands.
fn reset(session: &mut OneCall) -> Option<String> {
    commands(session).into_iter().find_map(|command| {
        if let command::Command::Reset(reset) = command { Some(reset.reason) } else { None }
    })
}

fn read_all(session: &mut OneCall) -> Vec<Event> {
    std::iter::from_fn(|| match session.read(STREAM) {
        Read::Event(event) => Some(event),
        Read::Waiting | Read::Over => None,
    })
    .collect()
}

#[test]
fn an_event_under_another_tag_resets_the_stream() {
    for (tag, is_lost) in [(A, false), (0, false), (B, true)] {
        let mut session = tagged_session();
        apply(&mut session, messages(1, &["a", "b"], A));
        register(&mut session);
        let again = Started { resumed: true, created_tag: A, ..started(100, 100) };
        apply(&mut session, event::Event::Started(again));
        apply(&mut session, messages(2, &["other", "next"], tag));
        assert_eq!(reset(&mut session), is_lost.then(|| "state lost".to_owned()), "{tag}");
        apply(&mut session, messages(4, &["more"], tag));
        apply(&mut session, ended(5));
        let events = read_all(&mut session);
        assert!(matches!(events.last(), Some(Event::Ended { event, .. }) if event.0 == 5));
        let read = events.len() - 1;
        assert_eq!(read, if is_lost { 2 } else { 4 }, "messages behind a lost event are dropped");
        session.acknowledge(STREAM, EventNumber(5));
        commands(&mut session);
        assert!(session.streams.is_empty(), "the end is acknowledged");
    }
}

#[test]
fn a_stream_created_again_under_the_same_number_follows_the_lost_one() {
    for (tag, started_at_ms, is_other) in [(A, 0, false), (B, 0, true), (0, 0, false), (0, 1, true)]
    {
        let mut session = tagged_session();
        register(&mut session);
        let lost = Released { stream: STREAM.0, lost: true, epoch: 0 };
        apply(&mut session, event::Event::Released(lost));
        let again = Started { created_tag: tag, started_at_ms, ..started(100, 100) };
        apply(&mut session, event::Event::Started(again));
        apply(&mut session, messages(1, &["a"], tag));
        let is_message = |event: &Event| matches!(event, Event::Message { .. });
        assert_eq!(read_all(&mut session).iter().any(is_message), is_other, "{tag}");
    }
}

#[test]
fn messages_behind_a_lost_event_are_acknowledged_unread() {
    let mut session = tagged_session();
    apply(&mut session, messages(1, &["a", "b"], A));
    register(&mut session);
    let again = Started { resumed: true, created_tag: A, ..started(100, 100) };
    apply(&mut session, event::Event::Started(again));
    for (first, last) in [(2, 3), (4, 5)] {
        apply(&mut session, messages(first, &["other", "next"], B));
        let acknowledged = commands(&mut session).into_iter().find_map(|command| {
            if let command::Command::Acknowledge(ack) = command { Some(ack.event) } else { None }
        });
        assert_eq!(acknowledged, Some(last));
    }
}

#[test]
fn a_confirmed_message_under_another_tag_resets_the_stream() {
    for (tag, is_lost) in [(A, false), (0, false), (B, true)] {
        for in_started in [false, true] {
            let mut session = tagged_session();
            send(&mut session, "x").unwrap();
            commands(&mut session);
            apply(&mut session, event::Event::SendState(send_state(1, A)));
            if in_started {
                register(&mut session);
                let send_state = Some(send_state(1, tag));
                let (resumed, next_send) = (true, 1);
                let again = Started { resumed, next_send, send_state, ..started(100, 100) };
                apply(&mut session, event::Event::Started(again));
            } else {
                apply(&mut session, event::Event::SendState(send_state(1, tag)));
            }
            let expected = is_lost.then(|| "state lost".to_owned());
            assert_eq!(reset(&mut session), expected, "{tag} {in_started}");
        }
    }
}

#[test]
fn a_stream_of_another_creation_replaces_the_held_one() {
    for (tag, is_other) in [(A, false), (0, false), (B, true)] {
        let mut session = tagged_session();
        register(&mut session);
        let again = Started { resumed: true, created_tag: tag, ..started(100, 100) };
        let signals = apply(&mut session, event::Event::Started(again));
        assert_eq!(signals.contains(&Signal::Released(STREAM)), is_other, "{tag}");
    }
}

#[test]
fn a_stream_that_another_instance_had_replaces_the_held_one() {
    for (own, assignment, is_other) in [(1, 1, false), (1, 3, true), (0, 3, false), (1, 0, false)] {
        let mut session = OneCall::new(1000);
        register(&mut session);
        apply(
            &mut session,
            event::Event::Started(Started { assignment: own, ..started(100, 100) }),
        );
        send(&mut session, "own").unwrap();
        commands(&mut session);
        register(&mut session);
        // The other instance has sent as many messages as this one.
        let next_send = 1;
        let again = Started { resumed: true, assignment, next_send, ..started(100, 100) };
        let signals = apply(&mut session, event::Event::Started(again));
        assert_eq!(signals.contains(&Signal::Released(STREAM)), is_other, "{own} {assignment}");
    }
}

#[test]
fn a_lost_stream_that_has_ended_has_one_end() {
    for reads_first in [false, true] {
        let mut session = tagged_session();
        apply(&mut session, ended(1));
        let mut events = if reads_first { read_all(&mut session) } else { Vec::new() };
        register(&mut session);
        let lost = Released { stream: STREAM.0, lost: true, epoch: 0 };
        let signals = apply(&mut session, event::Event::Released(lost));
        assert!(!signals.iter().any(|signal| matches!(signal, Signal::Ended(..))), "{signals:?}");
        events.extend(read_all(&mut session));
        let ends = events.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
        assert_eq!(ends, 1, "{events:?}");
        session.acknowledge(STREAM, EventNumber(1));
        commands(&mut session);
        assert!(session.streams.is_empty());
    }
}

#[test]
fn a_registration_reports_the_last_numbers_and_tags() {
    let mut session = tagged_session();
    let created = Held { stream: STREAM.0, created_tag: A, ..Held::default() };
    let held = |session: &OneCall| session.held(&[STREAM]);
    assert_eq!(held(&session), [Held { next_event: 1, ..created }]);
    apply(&mut session, messages(1, &["a", "b"], A));
    apply(&mut session, messages(3, &["c"], B));
    send(&mut session, "x").unwrap();
    send(&mut session, "y").unwrap();
    commands(&mut session);
    apply(&mut session, event::Event::SendState(send_state(1, B)));
    let all = Held { next_event: 4, event_tag: B, next_send: 1, send_tag: B, ..created };
    assert_eq!(held(&session), [all]);
    assert_eq!(session.held(&[]), [], "only listed streams");
    // The numbers of an ended stream are not those of received events.
    apply(&mut session, ended(4));
    assert_eq!(held(&session), [created]);
    let mut untagged = one_call::session(100, 100);
    apply(&mut untagged, one_call::messages(1, &["a"]));
    assert_eq!(held(&untagged), [], "an earlier release has no tags");
}

#[test]
fn the_reported_streams_are_bounded() {
    let mut session = OneCall::new(1000);
    register(&mut session);
    let most = MAX_HELD as u64;
    let numbers: Vec<StreamNumber> = (1..=most + 1).map(StreamNumber).collect();
    for number in &numbers {
        let new = Started { stream: number.0, created_tag: A, ..started(100, 100) };
        apply(&mut session, event::Event::Started(new));
    }
    for (count, reported) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
        let held = session.held(&numbers[..count as usize]);
        assert_eq!(held.len() as u64, reported, "{count}");
    }
}
