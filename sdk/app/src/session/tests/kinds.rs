//! Kinds of messages: in use if both sides have them, checked before a message gets a number, and all or none per Send.

use minerva_proto::app::message::Content;
use minerva_proto::app::{self, Registered, SendRefused};
use minerva_proto::{Feature, Features};

use super::*;
use crate::contents::Contents;
use one_call::{apply, commands, ended, started, state};

/// A session with a stream whose client accepts `accepts`, at a core with or without kinds.
fn session(has_kinds: bool, accepts: app::Accepts) -> OneCall {
    let mut session = OneCall::new(1 << 20);
    register(&mut session, has_kinds);
    let started = Started { accepts: accepts.into(), ..started(1000, 100) };
    apply(&mut session, event::Event::Started(started));
    session
}

fn register(session: &mut OneCall, has_kinds: bool) {
    session.reconnect();
    let kinds = Features::NONE.with(Feature::MessageKinds);
    let features = if has_kinds { kinds.names() } else { Vec::new() };
    let registered = Registered { max_message_bytes: 500, features, ..Registered::default() };
    apply(session, event::Event::Registered(registered));
}

fn messages() -> Vec<Message> {
    vec![
        "".into(),
        vec![].into(),
        "\u{0}\u{feff}\u{1d11e}".into(),
        vec![0, 0xff].into(),
        "a".into(),
    ]
}

/// The reason of a reset among the commands.
fn reset(session: &mut OneCall) -> Option<String> {
    commands(session).into_iter().find_map(|command| {
        if let command::Command::Reset(reset) = command { Some(reset.reason) } else { None }
    })
}

#[test]
fn kinds_are_kept_in_both_directions() {
    let mut session = session(true, app::Accepts::TextAndBinary);
    let contents = Contents::new(messages(), true).contents;
    let run = Messages { stream: STREAM.0, first_event: 1, contents, ..Messages::default() };
    apply(&mut session, event::Event::Messages(run));
    for expected in messages() {
        let Read::Event(Event::Message { event, message, .. }) = session.read(STREAM) else {
            panic!("no message");
        };
        assert_eq!(message, expected);
        session.check(STREAM, &message).unwrap();
        session.answer(STREAM, event, message).unwrap();
    }
    let [command::Command::Send(send)] = &commands(&mut session)[..] else { panic!("no Send") };
    assert_eq!((&send.messages[..], send.acknowledge), (&[][..], Some(5)));
    let contents = Contents { contents: send.contents.clone(), ..Contents::default() };
    assert_eq!(contents.into_messages().unwrap(), messages());
}

#[test]
fn a_message_that_the_client_does_not_accept_gets_no_number() {
    use app::Accepts::{AsciiText, TextAndBinary, Unspecified};
    for (has_kinds, accepts, is_accepted) in [
        (true, TextAndBinary, true),
        (true, AsciiText, false),
        (true, Unspecified, false),
        (false, Unspecified, false),
    ] {
        let mut session = session(has_kinds, accepts);
        let outcomes: Vec<bool> =
            messages().iter().map(|message| session.check(STREAM, message).is_ok()).collect();
        assert_eq!(outcomes, [true, is_accepted, is_accepted, is_accepted, true], "{accepts:?}");
        session.send(STREAM, "a".into(), true).unwrap();
        let [command::Command::Send(send)] = &commands(&mut session)[..] else { panic!("no Send") };
        assert_eq!(
            (send.messages.len(), send.contents.len()),
            if has_kinds { (0, 1) } else { (1, 0) }
        );
    }
}

#[test]
fn a_stream_with_other_messages_is_reset_at_a_core_without_kinds() {
    for (message, reason) in [
        ("a".into(), None),
        ("\u{e9}".into(), Some("unsupported message")),
        (Message::from(vec![b'a']), Some("unsupported message")),
    ] {
        let mut session = session(true, app::Accepts::TextAndBinary);
        session.send(STREAM, message, true).unwrap();
        register(&mut session, false);
        apply(&mut session, event::Event::Started(Started { resumed: true, ..started(1000, 100) }));
        assert_eq!(reset(&mut session).as_deref(), reason);
    }
}

#[test]
fn a_refused_kind_resets_the_stream_and_repeats_the_acknowledgement() {
    let mut session = session(true, app::Accepts::TextAndBinary);
    session.acknowledge(STREAM, EventNumber(0));
    session.send(STREAM, vec![1].into(), true).unwrap();
    session.send(STREAM, "a".into(), true).unwrap();
    assert_eq!(commands(&mut session).len(), 1);
    let reason = app::SendRefusedReason::Unsupported.into();
    let refused =
        SendRefused { stream: STREAM.0, reason, index: Some(0), ..SendRefused::default() };
    apply(&mut session, event::Event::SendRefused(refused));
    assert_eq!(session.send(STREAM, "b".into(), true), Err(QueueError::Over));
    let [command::Command::Reset(reset), command::Command::Acknowledge(ack)] =
        &commands(&mut session)[..]
    else {
        panic!("no Reset and Acknowledge")
    };
    assert_eq!((&*reset.reason, ack.event), ("unsupported message", 0));
    apply(&mut session, ended(1));
}

#[test]
fn an_invalid_content_of_the_core_ends_the_call_without_an_event() {
    let text = |bytes: &'static [u8]| app::Message { content: Some(Content::Text(bytes.into())) };
    for invalid in [text(b"a\xff"), app::Message { content: None }] {
        let mut session = session(true, app::Accepts::TextAndBinary);
        let contents = vec![text(b"a"), invalid];
        let run = Messages { stream: STREAM.0, first_event: 1, contents, ..Messages::default() };
        let outcome = session.on_event(event::Event::Messages(run), &mut Vec::new());
        assert_eq!((outcome, session.read(STREAM)), (Err(ContractError::Content), Read::Waiting));
        apply(&mut session, event::Event::SendState(state(0, 1000, 100)));
    }
}
