//! The end of streams, and lost acknowledgements of ends.

use super::one_call::{apply, commands, ended, messages, register, send, session, started};
use super::*;

#[test]
fn an_abandoned_stream_is_acknowledged_to_its_end() {
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    session.abandon(STREAM);
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 1)
    );
    apply(&mut session, messages(2, &["b"]));
    apply(&mut session, ended(3));
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 3)
    );
    assert!(session.streams.is_empty());
}

#[test]
fn an_end_lost_by_the_core_resets_the_stream() {
    let mut session = session(100, 100);
    session.abandon(STREAM);
    apply(&mut session, ended(1));
    commands(&mut session);
    assert_eq!(register(&mut session), [STREAM]);
    let again = Started { resumed: true, ..started(100, 100) };
    assert!(apply(&mut session, event::Event::Started(again)).is_empty());
    let [command::Command::Reset(reset)] = &commands(&mut session)[..] else { panic!() };
    assert_eq!((&*reset.reason, reset.application_level), ("state lost", false));
    // Events before the reset arrives have no reader.
    assert!(apply(&mut session, messages(1, &["a", "b"])).is_empty());
    assert!(apply(&mut session, ended(3)).is_empty());
    assert!(
        matches!(&commands(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 3)
    );
    assert!(session.streams.is_empty());
}

#[test]
fn a_reset_follows_sent_messages_and_is_repeated_on_each_call() {
    let mut session = session(100, 100);
    send(&mut session, "x").unwrap();
    session.reset(STREAM, "first".to_owned(), true);
    session.reset(STREAM, "second".to_owned(), false);
    assert_eq!(send(&mut session, "y"), Err(QueueError::Over));
    let sent = commands(&mut session);
    let [command::Command::Send(_), command::Command::Reset(reset)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((&*reset.reason, reset.application_level), ("first", true));
    assert_eq!(register(&mut session), [STREAM]);
    assert!(commands(&mut session).is_empty());
    let again = Started { resumed: true, next_send: 1, ..started(100, 100) };
    apply(&mut session, event::Event::Started(again));
    assert!(matches!(&commands(&mut session)[..], [command::Command::Reset(_)]));
    apply(&mut session, ended(1));
    session.acknowledge(STREAM, EventNumber(1));
    assert!(matches!(&commands(&mut session)[..], [command::Command::Acknowledge(_)]));
    assert_eq!(session.read(STREAM), Read::Over);
}
