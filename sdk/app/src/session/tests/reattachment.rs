//! Corners of a session with several calls: which one is a stream's home, and what becomes of it.

use minerva_proto::app::{PartitionLeft, PartitionOwned, Registered, Released, SendState};

use super::*;

/// A session and two registered calls.
fn session() -> (Session, CallId, CallId) {
    let mut session = Session::new(1000);
    let (a, b) = (call(&mut session, 500).0, call(&mut session, 500).0);
    (session, a, b)
}

fn call(session: &mut Session, max_message_bytes: u32) -> (CallId, Vec<u64>) {
    let (call, held) = session.begin();
    let registered = Registered { max_message_bytes, ..Registered::default() };
    hear(session, call, event::Event::Registered(registered));
    (call, held)
}

fn hear(session: &mut Session, call: CallId, event: event::Event) -> Vec<Signal> {
    let mut signals = Vec::new();
    session.on_event(call, event, &mut signals).unwrap();
    signals
}

fn start(session: &mut Session, call: CallId, stream: u64, epoch: u64) -> Vec<Signal> {
    let (bytes_left, messages_left) = (1000, 100);
    let state = SendState { stream, bytes_left, messages_left, ..SendState::default() };
    let started = Started {
        stream,
        stream_id: format!("{ID}{}", stream % 100),
        resumed: true,
        epoch,
        send_state: Some(state),
        ..Started::default()
    };
    hear(session, call, event::Event::Started(started))
}

fn own(session: &mut Session, call: CallId, partition: u32, epoch: u64) -> Vec<Signal> {
    let owned = PartitionOwned { partition, epoch, streams_made: u64::MAX };
    hear(session, call, event::Event::PartitionOwned(owned))
}

fn leave(session: &mut Session, call: CallId, partition: u32) {
    let left = event::Event::PartitionLeft(PartitionLeft { partition });
    assert_eq!(hear(session, call, left), []);
}

fn messages(first_event: u64) -> event::Event {
    let messages = vec![Bytes::from_static(b"s")];
    event::Event::Messages(Messages { stream: STREAM, first_event, messages })
}

fn send(session: &mut Session) {
    session.send(STREAM, Bytes::from_static(b"x"), false).unwrap();
}

/// How many commands wait on each call.
fn told(session: &mut Session, calls: [CallId; 2]) -> [usize; 2] {
    calls.map(|call| session.take_commands(call, 1 << 20).len())
}

#[test]
fn a_higher_or_newer_epoch_takes_a_stream_along_and_a_lower_one_does_not() {
    for (epoch, moves) in [(4, false), (5, true), (6, true)] {
        let (mut session, a, b) = session();
        start(&mut session, a, STREAM, 5);
        assert_eq!(told(&mut session, [a, b]), [0, 0]);
        start(&mut session, b, STREAM, epoch);
        send(&mut session);
        let expected = if moves { [0, 1] } else { [1, 0] };
        assert_eq!(told(&mut session, [a, b]), expected, "{epoch}");
        // What comes from elsewhere is ignored, even nonsense.
        let (attachment, other) = if moves { (b, a) } else { (a, b) };
        let released = event::Event::Released(Released { stream: STREAM });
        for event in [messages(1), messages(77), released] {
            assert_eq!(hear(&mut session, other, event), []);
        }
        assert_eq!(hear(&mut session, attachment, messages(1)), [Signal::Readable(STREAM)]);
    }
}

#[test]
fn what_was_on_its_way_to_one_home_is_said_again_at_the_next() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    send(&mut session);
    session.set_limits(STREAM, SetLimits { max_idle_ms: Some(5), ..SetLimits::default() });
    assert_eq!(told(&mut session, [a, b]), [2, 0]);
    start(&mut session, b, STREAM, 2);
    assert_eq!(told(&mut session, [a, b]), [0, 2]);
}

#[test]
fn nothing_is_said_about_a_stream_whose_partition_was_left() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    start(&mut session, a, 1 << 48 | 1, 1);
    send(&mut session);
    leave(&mut session, a, 0);
    leave(&mut session, b, 0);
    assert!(!session.has_commands(a));
    send(&mut session);
    session.send(1 << 48 | 1, Bytes::new(), false).unwrap();
    assert_eq!(told(&mut session, [a, b]), [1, 0]);
    assert_eq!(hear(&mut session, a, messages(1)), []);
    assert_eq!(session.begin().1, [STREAM]);
    // The same core may come back to it.
    start(&mut session, a, STREAM, 3);
    assert_eq!(told(&mut session, [a, b]), [1, 0]);
    assert_eq!(session.begin().1, [0; 0]);
}

#[test]
fn an_owner_has_what_it_started_and_nothing_else() {
    let (mut session, a, b) = session();
    let other_partition = 1 << 48 | 9;
    for stream in [1, 2, 3, other_partition] {
        start(&mut session, a, stream, 1);
    }
    // Nothing is lost by an owner that is none any more.
    start(&mut session, b, 1, 2);
    assert_eq!(own(&mut session, a, 0, 1), []);
    assert_eq!(session.streams.len(), 4);
    let gone = own(&mut session, b, 0, 2);
    assert_eq!(gone, [Signal::Released(2), Signal::Released(3)]);
    assert_eq!(session.streams.keys().copied().collect::<Vec<_>>(), [1, other_partition]);
    // Started under an earlier epoch is not started under this one.
    assert_eq!(own(&mut session, b, 0, 3), [Signal::Released(1)]);
    // Who was the owner may go on about it for a moment; who never was may not.
    assert_eq!(hear(&mut session, a, messages(1)), []);
    let outcome = session.on_event(b, messages(1), &mut Vec::new());
    assert_eq!(outcome, Err(ContractError::UnknownStream));
}

#[test]
fn a_new_owner_releases_what_is_apart() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    session.end(a);
    assert_eq!(own(&mut session, b, 0, 2), [Signal::Released(STREAM)]);
}

#[test]
fn a_call_registers_what_no_other_has() {
    let (mut session, a, b) = session();
    let second = 1 << 48 | 2;
    start(&mut session, a, 1, 1);
    start(&mut session, b, second, 1);
    session.end(a);
    let (a, held) = call(&mut session, 500);
    assert_eq!(held, [1]);
    session.end(b);
    // Not answered yet: nobody has it.
    let (b, held) = call(&mut session, 500);
    assert_eq!(held, [1, second]);
    let released = event::Event::Released(Released { stream: 1 });
    assert_eq!(hear(&mut session, a, released), [Signal::Released(1)]);
    start(&mut session, b, second, 1);
    assert_eq!(session.begin().1, [0; 0]);
}

#[test]
fn an_end_that_was_acknowledged_at_a_lost_home_is_acknowledged_again() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    session.abandon(STREAM);
    let ended = || {
        let ended = minerva_proto::app::Ended { stream: STREAM, event: 1, ..Default::default() };
        event::Event::Ended(ended)
    };
    hear(&mut session, a, ended());
    assert_eq!(told(&mut session, [a, b]), [1, 0]);
    assert!(session.streams.is_empty());
    assert_eq!(session.begin().1, [0; 0]);
    leave(&mut session, a, 0);
    assert_eq!(session.begin().1, [STREAM]);
    assert_eq!(start(&mut session, b, STREAM, 2), []);
    assert_eq!(hear(&mut session, b, ended()), []);
    assert_eq!(told(&mut session, [a, b]), [0, 1]);
    own(&mut session, b, 0, 2);
    session.end(b);
    assert_eq!(session.begin().1, [STREAM]);
    // A new owner that does not know it has forgotten it.
    own(&mut session, a, 0, 3);
    assert_eq!(session.begin().1, [0; 0]);
}

#[test]
fn the_longest_string_is_the_homes() {
    for (max, resets) in [(2, true), (3, false), (4, false)] {
        let mut session = Session::new(1000);
        let (a, b) = (call(&mut session, 500).0, call(&mut session, max).0);
        start(&mut session, a, STREAM, 1);
        assert_eq!(session.max_message(STREAM), 500);
        session.send(STREAM, Bytes::from_static(b"xxx"), false).unwrap();
        start(&mut session, b, STREAM, 2);
        assert_eq!(session.max_message(STREAM), max as usize);
        let commands = session.take_commands(b, 1000);
        let [Command { command: Some(command) }] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(matches!(command, command::Command::Reset(_)), resets, "{max}");
    }
}

/// What the handler of a stream reads, up to its end.
fn read_all(session: &mut Session, number: u64) -> Vec<Event> {
    let next = || match session.read(number) {
        Read::Event(event) => Some(event),
        Read::Waiting | Read::Over => None,
    };
    std::iter::from_fn(next).collect()
}

fn lost() -> Ended {
    let reason = "state lost".to_owned();
    Ended { reason, application_level: false, by: crate::event::EndedBy::Core }
}

#[test]
fn a_stream_that_the_store_has_never_heard_of_has_ended() {
    for (streams_made, is_lost) in [(STREAM - 1, true), (STREAM, false)] {
        let (mut session, a, b) = session();
        start(&mut session, a, STREAM, 1);
        hear(&mut session, a, messages(1));
        send(&mut session);
        session.end(a);
        let owned = PartitionOwned { partition: 0, epoch: 2, streams_made };
        let signals = hear(&mut session, b, event::Event::PartitionOwned(owned));
        if !is_lost {
            assert_eq!(signals, [Signal::Released(STREAM)]);
            continue;
        }
        assert_eq!(signals, [Signal::Ended(STREAM, lost())]);
        assert_eq!(hear(&mut session, b, event::Event::PartitionOwned(owned)), [], "once");
        let events = read_all(&mut session, STREAM);
        assert!(
            matches!(events[0], Event::Message { event: 1, .. }),
            "what came first is read first"
        );
        assert_eq!(events[1], Event::Ended { event: 2, ended: lost() });
        assert_eq!(session.begin().1, [0; 0], "no core is asked for it");
        assert_eq!(session.send(STREAM, "x".into(), false), Err(QueueError::Over));
        session.acknowledge(STREAM, 2);
        assert_eq!(session.read(STREAM), Read::Over);
        assert!(session.is_flushed());
    }
}

#[test]
fn an_end_before_events_that_were_seen_is_no_repeat() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    (1..=5).for_each(|event| drop(hear(&mut session, a, messages(event))));
    session.end(a);
    start(&mut session, b, STREAM, 2);
    let ended = minerva_proto::app::Ended { stream: STREAM, event: 3, ..Default::default() };
    let signals = hear(&mut session, b, event::Event::Ended(ended.clone()));
    assert!(matches!(signals[..], [Signal::Ended(STREAM, _)]));
    assert_eq!(hear(&mut session, b, event::Event::Ended(ended)), [], "this one is");
    let last = read_all(&mut session, STREAM).pop();
    assert!(matches!(last, Some(Event::Ended { event: 6, .. })), "{last:?}");
    session.acknowledge(STREAM, 5);
    let told = |session: &mut Session| session.take_commands(b, 10_000);
    let acknowledged = |commands: &[Command]| match commands {
        [Command { command: Some(command::Command::Acknowledge(told)) }] => Some(told.event),
        _ => None,
    };
    assert_eq!(acknowledged(&told(&mut session)), Some(2), "the end was not handled");
    session.acknowledge(STREAM, 6);
    assert_eq!(acknowledged(&told(&mut session)), Some(3), "by the core's number");
    assert_eq!(session.read(STREAM), Read::Over);
}
