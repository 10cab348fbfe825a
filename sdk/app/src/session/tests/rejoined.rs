//! Rejoined events: numbers, repetitions and gaps.

use minerva_proto::app::{RejoinRequest, Rejoined};
use minerva_proto::{MessageNumber, Rewind};

use super::one_call::{apply, messages, read_messages, session};
use super::*;

#[test]
fn a_rejoined_event_is_numbered_and_acknowledged_like_a_message() {
    let rejoined = |event| {
        let asked = RejoinRequest::Number.into();
        let rejoined =
            Rejoined { stream: STREAM.0, event, generation: 3, asked, ..Rejoined::default() };
        event::Event::Rejoined(Rejoined { asked_number: 7, from: 9, ..rejoined })
    };
    let mut session = session(100, 100);
    apply(&mut session, messages(1, &["a"]));
    assert_eq!(apply(&mut session, rejoined(2)), [Signal::Readable(STREAM)]);
    assert_eq!(apply(&mut session, rejoined(2)), [], "repeated");
    let gap = session.on_event(rejoined(4), &mut Vec::new());
    assert_eq!(gap, Err(ContractError::Gap));
    apply(&mut session, messages(3, &["b"]));
    assert!(matches!(session.read(STREAM), Read::Event(Event::Message { .. })));
    let Read::Event(Event::Rejoined { event, rejoin }) = session.read(STREAM) else { panic!() };
    assert_eq!((event, rejoin.generation, rejoin.complete), (EventNumber(2), 3, false));
    assert_eq!((rejoin.asked, rejoin.from), (Rewind::From(MessageNumber(7)), MessageNumber(9)));
    assert_eq!(read_messages(&mut session), ["b"]);
}
