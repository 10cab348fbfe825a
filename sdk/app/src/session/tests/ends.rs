//! How streams end, and what becomes of an end that is lost.

use super::one_call::{ended, hear, messages, register, send, session, started, told};
use super::*;

#[test]
fn an_abandoned_stream_is_acknowledged_to_its_end() {
    let mut session = session(100, 100);
    hear(&mut session, messages(1, &["a"]));
    session.abandon(STREAM);
    assert!(matches!(&told(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 1));
    hear(&mut session, messages(2, &["b"]));
    hear(&mut session, ended(3));
    assert!(matches!(&told(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 3));
    assert!(session.streams.is_empty());
}

#[test]
fn an_end_that_the_core_has_lost_is_told_to_the_client() {
    let mut session = session(100, 100);
    session.abandon(STREAM);
    hear(&mut session, ended(1));
    told(&mut session);
    assert_eq!(register(&mut session), [STREAM]);
    let again = Started { resumed: true, ..started(100, 100) };
    assert!(hear(&mut session, event::Event::Started(again)).is_empty());
    let [command::Command::Reset(reset)] = &told(&mut session)[..] else { panic!() };
    assert_eq!((&*reset.reason, reset.application_level), ("state lost", false));
    // What comes before that is heard has nobody to read it.
    assert!(hear(&mut session, messages(1, &["a", "b"])).is_empty());
    assert!(hear(&mut session, ended(3)).is_empty());
    assert!(matches!(&told(&mut session)[..], [command::Command::Acknowledge(a)] if a.event == 3));
    assert!(session.streams.is_empty());
}

#[test]
fn a_reset_follows_what_was_sent_and_is_told_on_each_call() {
    let mut session = session(100, 100);
    send(&mut session, "x").unwrap();
    session.reset(STREAM, "first".to_owned(), true);
    session.reset(STREAM, "second".to_owned(), false);
    assert_eq!(send(&mut session, "y"), Err(QueueError::Over));
    let commands = told(&mut session);
    let [command::Command::Send(_), command::Command::Reset(reset)] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!((&*reset.reason, reset.application_level), ("first", true));
    assert_eq!(register(&mut session), [STREAM]);
    assert!(told(&mut session).is_empty());
    let again = Started { resumed: true, next_send: 1, ..started(100, 100) };
    hear(&mut session, event::Event::Started(again));
    assert!(matches!(&told(&mut session)[..], [command::Command::Reset(_)]));
    hear(&mut session, ended(1));
    session.acknowledge(STREAM, 1);
    assert!(matches!(&told(&mut session)[..], [command::Command::Acknowledge(_)]));
    assert_eq!(session.read(STREAM), Read::Over);
}
