//! Edge cases of a session with several calls: attachment, hand-over and release of streams.

use minerva_proto::app::{PartitionLeft, PartitionOwned, Registered, Released, SendState};

use super::*;

/// A session with two registered calls.
fn session() -> (Session, CallId, CallId) {
    let mut session = Session::new(1000);
    let (a, b) = (call(&mut session, 500).0, call(&mut session, 500).0);
    (session, a, b)
}

fn call(session: &mut Session, max_message_bytes: u32) -> (CallId, Vec<StreamNumber>) {
    let (call, held) = session.begin();
    let registered = Registered { max_message_bytes, ..Registered::default() };
    apply(session, call, event::Event::Registered(registered));
    (call, held)
}

fn apply(session: &mut Session, call: CallId, event: event::Event) -> Vec<Signal> {
    let mut signals = Vec::new();
    session.on_event(call, event, &mut signals).unwrap();
    signals
}

fn start(session: &mut Session, call: CallId, stream: StreamNumber, epoch: u64) -> Vec<Signal> {
    let (bytes_left, messages_left) = (1000, 100);
    let state = SendState { stream: stream.0, bytes_left, messages_left, ..SendState::default() };
    let started = Started {
        stream: stream.0,
        stream_id: format!("{ID}{}", stream.0 % 100),
        resumed: true,
        epoch,
        send_state: Some(state),
        ..Started::default()
    };
    apply(session, call, event::Event::Started(started))
}

fn own(session: &mut Session, call: CallId, partition: u32, epoch: u64) -> Vec<Signal> {
    let owned = PartitionOwned { partition, epoch, streams_made: u64::MAX };
    apply(session, call, event::Event::PartitionOwned(owned))
}

fn leave(session: &mut Session, call: CallId, partition: u32) {
    let left = event::Event::PartitionLeft(PartitionLeft { partition });
    assert_eq!(apply(session, call, left), []);
}

fn messages(first_event: u64) -> event::Event {
    let messages = vec![Bytes::from_static(b"s")];
    event::Event::Messages(Messages {
        stream: STREAM.0,
        first_event,
        messages,
        ..Messages::default()
    })
}

fn send(session: &mut Session) {
    session.send(STREAM, "x".into(), false).unwrap();
}

/// Number of commands ready for each call.
fn commands(session: &mut Session, calls: [CallId; 2]) -> [usize; 2] {
    calls.map(|call| session.take_commands(call, 1 << 20).len())
}

#[test]
fn a_stream_moves_to_an_equal_or_higher_epoch_only() {
    for (epoch, moves) in [(4, false), (5, true), (6, true)] {
        let (mut session, a, b) = session();
        start(&mut session, a, STREAM, 5);
        assert_eq!(commands(&mut session, [a, b]), [0, 0]);
        start(&mut session, b, STREAM, epoch);
        send(&mut session);
        let expected = if moves { [0, 1] } else { [1, 0] };
        assert_eq!(commands(&mut session, [a, b]), expected, "{epoch}");
        // Events of other calls are ignored, even invalid ones.
        let (attachment, other) = if moves { (b, a) } else { (a, b) };
        let released = event::Event::Released(Released { stream: STREAM.0, ..Released::default() });
        for event in [messages(1), messages(77), released] {
            assert_eq!(apply(&mut session, other, event), []);
        }
        assert_eq!(apply(&mut session, attachment, messages(1)), [Signal::Readable(STREAM)]);
    }
}

#[test]
fn commands_in_flight_are_repeated_after_reattachment() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    send(&mut session);
    session.set_limits(STREAM, SetLimits { max_idle_ms: Some(5), ..SetLimits::default() });
    assert_eq!(commands(&mut session, [a, b]), [2, 0]);
    start(&mut session, b, STREAM, 2);
    assert_eq!(commands(&mut session, [a, b]), [0, 2]);
}

#[test]
fn no_command_is_sent_after_partition_left() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    start(&mut session, a, StreamNumber::new(1, 1), 1);
    send(&mut session);
    leave(&mut session, a, 0);
    leave(&mut session, b, 0);
    assert!(!session.has_commands(a));
    send(&mut session);
    session.send(StreamNumber::new(1, 1), "".into(), false).unwrap();
    assert_eq!(commands(&mut session, [a, b]), [1, 0]);
    assert_eq!(apply(&mut session, a, messages(1)), []);
    assert_eq!(session.begin().1, [STREAM]);
    // The same core may own the partition again.
    start(&mut session, a, STREAM, 3);
    assert_eq!(commands(&mut session, [a, b]), [1, 0]);
    assert_eq!(session.begin().1.len(), 0);
}

#[test]
fn an_owner_releases_streams_that_it_did_not_start() {
    let (mut session, a, b) = session();
    let other_partition = StreamNumber::new(1, 9);
    for stream in [StreamNumber(1), StreamNumber(2), StreamNumber(3), other_partition] {
        start(&mut session, a, stream, 1);
    }
    // A former owner cannot release a stream.
    start(&mut session, b, StreamNumber(1), 2);
    assert_eq!(own(&mut session, a, 0, 1), []);
    assert_eq!(session.streams.len(), 4);
    let gone = own(&mut session, b, 0, 2);
    assert_eq!(gone, [Signal::Released(StreamNumber(2)), Signal::Released(StreamNumber(3))]);
    assert_eq!(
        session.streams.keys().copied().collect::<Vec<_>>(),
        [StreamNumber(1), other_partition]
    );
    // Started under an earlier epoch does not count.
    assert_eq!(own(&mut session, b, 0, 3), [Signal::Released(StreamNumber(1))]);
    // Late events of a former owner are ignored; those of another core are a violation.
    assert_eq!(apply(&mut session, a, messages(1)), []);
    let outcome = session.on_event(b, messages(1), &mut Vec::new());
    assert_eq!(outcome, Err(ContractError::UnknownStream));
}

#[test]
fn a_new_owner_releases_detached_streams() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    session.end(a);
    assert_eq!(own(&mut session, b, 0, 2), [Signal::Released(STREAM)]);
}

#[test]
fn a_registration_lists_detached_streams_only() {
    let (mut session, a, b) = session();
    let second = StreamNumber::new(1, 2);
    start(&mut session, a, StreamNumber(1), 1);
    start(&mut session, b, second, 1);
    session.end(a);
    let (a, held) = call(&mut session, 500);
    assert_eq!(held, [StreamNumber(1)]);
    session.end(b);
    // Not answered yet: the stream is attached to no call.
    let (b, held) = call(&mut session, 500);
    assert_eq!(held, [StreamNumber(1), second]);
    let released = event::Event::Released(Released { stream: 1, ..Released::default() });
    assert_eq!(apply(&mut session, a, released), [Signal::Released(StreamNumber(1))]);
    start(&mut session, b, second, 1);
    assert_eq!(session.begin().1.len(), 0);
}

#[test]
fn an_end_is_acknowledged_again_after_the_loss_of_its_call() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    session.abandon(STREAM);
    let ended = || {
        let ended = minerva_proto::app::Ended { stream: STREAM.0, event: 1, ..Default::default() };
        event::Event::Ended(ended)
    };
    apply(&mut session, a, ended());
    assert_eq!(commands(&mut session, [a, b]), [1, 0]);
    assert!(session.streams.is_empty());
    assert_eq!(session.begin().1.len(), 0);
    leave(&mut session, a, 0);
    assert_eq!(session.begin().1, [STREAM]);
    assert_eq!(start(&mut session, b, STREAM, 2), []);
    assert_eq!(apply(&mut session, b, ended()), []);
    assert_eq!(commands(&mut session, [a, b]), [0, 1]);
    own(&mut session, b, 0, 2);
    session.end(b);
    assert_eq!(session.begin().1, [STREAM]);
    // A new owner that does not start the stream has dropped it.
    own(&mut session, a, 0, 3);
    assert_eq!(session.begin().1.len(), 0);
}

#[test]
fn the_release_of_a_stream_without_handles_is_silent() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    session.abandon(STREAM);
    let ended = minerva_proto::app::Ended { stream: STREAM.0, event: 1, ..Default::default() };
    apply(&mut session, a, event::Event::Ended(ended));
    assert_eq!(commands(&mut session, [a, b]), [1, 0]);
    leave(&mut session, a, 0);
    assert_eq!(start(&mut session, b, STREAM, 2), [], "a tombstone has no handles");
    // The acknowledgement was stored after all.
    assert_eq!(own(&mut session, a, 0, 3), []);
    assert!(session.streams.is_empty());
}

fn max_message(session: &Session) -> usize {
    match session.check(STREAM, &"x".repeat(1000).into()) {
        Err(SendError::Length { length: 1000, max }) => max,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_message_limit_is_that_of_the_attached_core() {
    for (max, resets) in [(2, true), (3, false), (4, false)] {
        let mut session = Session::new(1000);
        let (a, b) = (call(&mut session, 500).0, call(&mut session, max).0);
        start(&mut session, a, STREAM, 1);
        assert_eq!(max_message(&session), 500);
        session.send(STREAM, "xxx".into(), false).unwrap();
        start(&mut session, b, STREAM, 2);
        assert_eq!(max_message(&session), max as usize);
        let commands = session.take_commands(b, 1000);
        let [Command { command: Some(command) }] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(matches!(command, command::Command::Reset(_)), resets, "{max}");
    }
}

/// Reads all queued events.
fn read_all(session: &mut Session, number: StreamNumber) -> Vec<Event> {
    let next = || match session.read(number) {
        Read::Event(event) => Some(event),
        Read::Waiting | Read::Over => None,
    };
    std::iter::from_fn(next).collect()
}

fn lost_end() -> Ended {
    let reason = "state lost".to_owned();
    Ended { reason, application_level: false, by: crate::event::EndedBy::Core }
}

#[test]
fn a_stream_beyond_the_count_of_the_store_is_lost() {
    for (streams_made, is_lost) in [(STREAM.0 - 1, true), (STREAM.0, false)] {
        let (mut session, a, b) = session();
        start(&mut session, a, STREAM, 1);
        apply(&mut session, a, messages(1));
        send(&mut session);
        session.end(a);
        let owned = PartitionOwned { partition: 0, epoch: 2, streams_made };
        let signals = apply(&mut session, b, event::Event::PartitionOwned(owned));
        if !is_lost {
            assert_eq!(signals, [Signal::Released(STREAM)]);
            continue;
        }
        assert_eq!(signals, [Signal::Ended(STREAM, lost_end())]);
        assert_eq!(apply(&mut session, b, event::Event::PartitionOwned(owned)), [], "once");
        let events = read_all(&mut session, STREAM);
        assert!(
            matches!(events[0], Event::Message { event: EventNumber(1), .. }),
            "what came first is read first"
        );
        assert_eq!(events[1], Event::Ended { event: EventNumber(2), ended: lost_end() });
        assert_eq!(session.begin().1.len(), 0, "no core is asked for it");
        assert_eq!(session.send(STREAM, "x".into(), false), Err(QueueError::Over));
        session.acknowledge(STREAM, EventNumber(2));
        assert_eq!(session.read(STREAM), Read::Over);
        assert!(session.is_flushed());
    }
}

/// The signals of a `Released` for `STREAM` and of the `PartitionOwned` behind it, on a new call.
fn release(session: &mut Session, call: CallId, lost: bool) -> Vec<Signal> {
    let released = event::Event::Released(Released { stream: STREAM.0, lost, epoch: 2 });
    let owned = PartitionOwned { partition: 0, epoch: 2, streams_made: STREAM.0 };
    let mut signals = apply(session, call, released);
    signals.extend(apply(session, call, event::Event::PartitionOwned(owned)));
    signals
}

#[test]
fn a_stream_released_as_lost_ends_with_state_lost() {
    for lost in [true, false] {
        let (mut session, a, b) = session();
        start(&mut session, a, STREAM, 1);
        session.end(a);
        let signals = release(&mut session, b, lost);
        if !lost {
            assert_eq!(signals, [Signal::Released(STREAM)]);
            continue;
        }
        assert_eq!(signals, [Signal::Ended(STREAM, lost_end())]);
        assert_eq!(
            start(&mut session, b, STREAM, 1),
            [],
            "a late owner does not revive the stream"
        );
        let ended = Event::Ended { event: EventNumber(1), ended: lost_end() };
        assert_eq!(read_all(&mut session, STREAM), [ended]);
        session.acknowledge(STREAM, EventNumber(1));
        assert_eq!(session.read(STREAM), Read::Over);
    }
}

#[test]
fn a_lost_stream_of_another_instance_is_ignored() {
    let (mut session, _, b) = session();
    assert_eq!(release(&mut session, b, true), []);
}

#[test]
fn an_end_before_received_events_is_a_new_end() {
    let (mut session, a, b) = session();
    start(&mut session, a, STREAM, 1);
    (1..=5).for_each(|event| drop(apply(&mut session, a, messages(event))));
    session.end(a);
    start(&mut session, b, STREAM, 2);
    let ended = minerva_proto::app::Ended { stream: STREAM.0, event: 3, ..Default::default() };
    let signals = apply(&mut session, b, event::Event::Ended(ended.clone()));
    assert!(matches!(signals[..], [Signal::Ended(STREAM, _)]));
    assert_eq!(apply(&mut session, b, event::Event::Ended(ended)), [], "this one is");
    let last = read_all(&mut session, STREAM).pop();
    assert!(matches!(last, Some(Event::Ended { event: EventNumber(6), .. })), "{last:?}");
    session.acknowledge(STREAM, EventNumber(5));
    let commands = |session: &mut Session| session.take_commands(b, 10_000);
    let acknowledged = |commands: &[Command]| match commands {
        [Command { command: Some(command::Command::Acknowledge(acknowledge)) }] => {
            Some(acknowledge.event)
        }
        _ => None,
    };
    assert_eq!(acknowledged(&commands(&mut session)), Some(2), "the end was not handled");
    session.acknowledge(STREAM, EventNumber(6));
    assert_eq!(acknowledged(&commands(&mut session)), Some(3), "by the core's number");
    assert_eq!(session.read(STREAM), Read::Over);
}
