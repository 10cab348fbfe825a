//! Verified identities: one event per change, in place of an unread one, also across a failover.

use minerva_proto::app::{Identity, Rejoined, Renewed, Started};

use super::one_call::{apply, session, started};
use super::*;

fn identity(expires_at: u64) -> Identity {
    Identity { subject: "ann".to_owned(), expires_at, ..Identity::default() }
}

fn renewed(expires_at: u64) -> event::Event {
    event::Event::Renewed(Renewed { stream: STREAM.0, identity: Some(identity(expires_at)) })
}

/// Ends of the tokens in the events that the handler reads.
fn read(session: &mut Session) -> Vec<u64> {
    let mut ends = Vec::new();
    loop {
        match session.read(STREAM) {
            Read::Event(Event::Renewed { identity }) => ends.push(identity.expires_at),
            Read::Event(Event::Rejoined { .. }) => {}
            Read::Event(event) => panic!("{event:?}"),
            Read::Waiting | Read::Over => return ends,
        }
    }
}

#[test]
fn a_renewal_is_an_event_and_only_the_last_unread_one_is_kept() {
    let mut session = session(100, 100);
    assert_eq!(apply(&mut session, renewed(10)), [Signal::Readable(STREAM)]);
    assert_eq!(read(&mut session), [10]);
    assert_eq!(apply(&mut session, renewed(10)), [], "known already");
    (11..2_000).for_each(|end| drop(apply(&mut session, renewed(end))));
    assert_eq!(read(&mut session), [1_999]);
}

#[test]
fn a_new_identity_in_a_repeated_started_is_an_event() {
    let mut session = session(100, 100);
    let again = |end| {
        let identity = Some(identity(end));
        event::Event::Started(Started { resumed: true, identity, ..started(100, 100) })
    };
    apply(&mut session, renewed(10));
    assert_eq!(read(&mut session), [10]);
    apply(&mut session, again(10));
    assert_eq!(read(&mut session), [0; 0]);
    apply(&mut session, again(20));
    assert_eq!(read(&mut session), [20]);
}

#[test]
fn the_identity_of_a_rejoin_is_no_event_of_its_own() {
    let mut session = session(100, 100);
    let identity = Some(identity(30));
    let rejoined = Rejoined { stream: STREAM.0, event: 1, identity, ..Rejoined::default() };
    apply(&mut session, event::Event::Rejoined(rejoined));
    assert_eq!(apply(&mut session, renewed(30)), []);
    assert_eq!(read(&mut session), [0; 0]);
}
