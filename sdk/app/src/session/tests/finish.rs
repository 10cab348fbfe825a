//! The end of a stream behind its messages, at cores with and without Finish.

use minerva_proto::Features;
use minerva_proto::app::Registered;

use super::one_call::{apply, commands, ended, messages, send, started, state};
use super::*;

/// A registered session with one new stream, at a core of this release or of release 0.1.
fn session(is_old: bool) -> OneCall {
    let mut session = OneCall::new(1000);
    session.reconnect();
    registered(&mut session, is_old);
    apply(&mut session, event::Event::Started(started(100, 8)));
    session.acknowledge(STREAM, EventNumber(0));
    commands(&mut session);
    session
}

fn registered(session: &mut OneCall, is_old: bool) {
    let features = if is_old { Vec::new() } else { Features::APP.names() };
    let registered = Registered {
        max_message_bytes: 500,
        outbox_messages: 8,
        features,
        ..Registered::default()
    };
    apply(session, event::Event::Registered(registered));
}

fn confirm(session: &mut OneCall, next_send: u64, messages_left: u32) {
    apply(session, event::Event::SendState(state(next_send, 100, messages_left)));
}

#[test]
fn a_finish_waits_for_the_confirmation_of_all_messages() {
    let mut session = session(false);
    send(&mut session, "x").unwrap();
    session.finish_stream(STREAM, "first".to_owned());
    session.finish_stream(STREAM, "second".to_owned());
    assert_eq!(send(&mut session, "y"), Err(QueueError::Finished));
    assert!(matches!(&commands(&mut session)[..], [command::Command::Send(_)]));
    assert!(!session.is_flushed());
    confirm(&mut session, 1, 7);
    let sent = commands(&mut session);
    let [command::Command::Finish(finish)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(finish.reason, "first");
    assert!(session.is_flushed() && commands(&mut session).is_empty());
}

#[test]
fn unread_events_are_acknowledged_behind_the_finish() {
    let mut session = session(false);
    apply(&mut session, messages(1, &["unread"]));
    send(&mut session, "x").unwrap();
    session.finish_stream(STREAM, String::new());
    session.abandon(STREAM);
    let sent = commands(&mut session);
    assert!(matches!(&sent[..], [command::Command::Send(send)] if send.acknowledge.is_none()));
    confirm(&mut session, 1, 7);
    let sent = commands(&mut session);
    let [command::Command::Finish(_), command::Command::Acknowledge(one)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(one.event, 1);
    apply(&mut session, ended(2));
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 2)
    );
    assert!(session.streams.is_empty());
}

#[test]
fn a_finish_is_repeated_unless_the_core_has_it() {
    for finishing in [false, true] {
        let mut session = session(false);
        session.finish_stream(STREAM, String::new());
        assert!(matches!(&commands(&mut session)[..], [command::Command::Finish(_)]));
        assert_eq!(session.reconnect(), [STREAM]);
        registered(&mut session, false);
        let again = Started { resumed: true, finishing, next_event: 1, ..started(100, 8) };
        assert!(!apply(&mut session, event::Event::Started(again)).is_empty());
        let repeated = commands(&mut session);
        assert_eq!(repeated.len(), usize::from(!finishing), "{repeated:?}");
    }
}

#[test]
fn a_stream_that_another_instance_has_finished_gets_no_handler() {
    let mut session = OneCall::new(1000);
    session.reconnect();
    registered(&mut session, false);
    let other = Started { resumed: true, finishing: true, ..started(100, 8) };
    assert!(apply(&mut session, event::Event::Started(other)).is_empty());
    apply(&mut session, messages(1, &["unread"]));
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 1)
    );
    assert!(apply(&mut session, ended(2)).is_empty());
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 2)
    );
    assert!(session.streams.is_empty());
}

#[test]
fn a_finish_of_another_instance_is_repeated_with_its_reason() {
    let mut session = OneCall::new(1000);
    session.reconnect();
    registered(&mut session, false);
    let finish_reason = "bye".to_owned();
    let other = Started { resumed: true, finishing: true, finish_reason, ..started(100, 8) };
    apply(&mut session, event::Event::Started(other));
    assert!(matches!(&commands(&mut session)[..], [command::Command::Acknowledge(_)]));
    assert_eq!(session.reconnect(), [STREAM]);
    registered(&mut session, false);
    let forgotten = Started { resumed: true, next_event: 1, ..started(100, 8) };
    apply(&mut session, event::Event::Started(forgotten));
    let sent = commands(&mut session);
    let [command::Command::Finish(finish)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(finish.reason, "bye");
}

#[test]
fn a_reset_precedes_a_finish() {
    let mut session = session(false);
    send(&mut session, "x").unwrap();
    session.finish_stream(STREAM, String::new());
    session.reset(STREAM, "enough".to_owned(), true);
    let sent = commands(&mut session);
    assert!(
        matches!(&sent[..], [command::Command::Send(_), command::Command::Reset(_)]),
        "{sent:?}"
    );
    confirm(&mut session, 1, 8);
    assert!(commands(&mut session).is_empty());
}

#[test]
fn at_a_core_without_finish_the_stream_is_reset_once_its_outbox_is_empty() {
    let mut session = session(true);
    assert!(session.probes(session.call).is_empty());
    send(&mut session, "x").unwrap();
    session.finish_stream(STREAM, String::new());
    commands(&mut session);
    confirm(&mut session, 1, 7);
    assert!(commands(&mut session).is_empty());
    let probes = session.probes(session.call);
    let [Command { command: Some(command::Command::Send(probe)) }] = &probes[..] else {
        panic!("{probes:?}")
    };
    assert_eq!((probe.first, probe.messages.len()), (1, 0));
    confirm(&mut session, 1, 8);
    assert!(session.probes(session.call).is_empty());
    let sent = commands(&mut session);
    let [command::Command::Reset(reset)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((&*reset.reason, reset.application_level), ("finished", true));
}
