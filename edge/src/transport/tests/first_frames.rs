//! Order of the frames that answer a hello and an HTTP body, as by the original server: `timer/*`, `c2s/*`, `http/body/*`
//! and `ends/*` in `tests/conformance/exchanges.json`.

use minerva_proto::link::NO_HEARTBEAT;
use minerva_proto::{KillReason, Sack};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn opened(created: bool, heartbeat_after: MessageNumber) -> CoreMessage {
    opened_with(created, None, heartbeat_after)
}

fn sack(acked: u64) -> CoreMessage {
    CoreMessage::Sack(Sack::up_to(acked))
}

fn taken(number: u64) -> CoreMessage {
    CoreMessage::Taken(BatchNumber(number))
}

fn closed(acked: u64, cause: CloseCause) -> CoreMessage {
    let (sack, status) = (Some(Sack::up_to(acked)), Some(Sack::NONE));
    CoreMessage::Close(Box::new(Close { sack, status, cause }))
}

#[test]
fn the_initial_heartbeat_follows_the_sack_of_the_first_messages() {
    for kind in [TransportProtocol::Tcp, TransportProtocol::WebSocket] {
        let mut rig = Rig::new(kind);
        rig.hello_and(",\"maxia\":5,\"eeds\":null,\"new\":true", &["0N", "x "], false);
        rig.core(opened(true, MessageNumber(0)));
        rig.core(sack(0));
        assert_eq!(rig.take_written(), ["C", "|0A"], "{kind:?}");
        rig.core(taken(0));
        rig.core(messages(0, &["answer"]));
        assert_eq!(rig.take_written(), ["beat^", "0N", "answer "], "{kind:?}");
    }
}

#[test]
fn the_initial_heartbeat_follows_the_queued_messages() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello_and(",\"maxia\":5,\"eeds\":null", &["1N", "x "], false);
    rig.core(opened(false, MessageNumber(3)));
    rig.core(messages(0, &["a"]));
    rig.core(messages(2, &["c"]));
    rig.core(sack(1));
    rig.core(taken(0));
    assert_eq!(rig.take_written(), ["0N", "a ", "2N", "c ", "|1A", "beat^"]);
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(",\"maxia\":5,\"eeds\":null");
    rig.core(opened(false, MessageNumber(2)));
    rig.core(messages(0, &["a"]));
    assert_eq!(rig.take_written(), ["0N", "a "]);
    rig.core(messages(1, &["b", "c"]));
    assert_eq!(rig.take_written(), ["b ", "c ", "beat^"]);
}

#[test]
fn the_initial_heartbeat_waits_a_second_at_most() {
    for maxia in [5, 1] {
        let mut rig = Rig::new(TransportProtocol::Tcp);
        rig.hello_and(&format!(",\"maxia\":{maxia},\"eeds\":null"), &["0N", "x "], false);
        rig.core(opened(false, MessageNumber(0)));
        rig.pass(SECOND - Duration::from_millis(1));
        assert!(rig.take_written().is_empty());
        rig.pass(Duration::from_millis(1));
        assert_eq!(rig.take_written(), ["beat^"]);
        rig.core(taken(0));
        assert!(rig.take_written().is_empty(), "once");
    }
}

#[test]
fn a_transport_that_is_closed_at_once_has_no_heartbeat() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(",\"maxia\":5,\"eeds\":null,\"sack\":\"|9\"");
    rig.core(opened(false, NO_HEARTBEAT));
    rig.core(CoreMessage::Close(Box::new(Close {
        cause: CloseCause::Kill(KillReason::AckedUnsentStrings),
        ..Close::default()
    })));
    assert_eq!(rig.take_written(), ["acked_unsent_stringsK", "Y"]);
}

#[test]
fn a_reset_behind_the_hello_leaves_no_place_for_a_heartbeat() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello_and(",\"maxia\":5,\"eeds\":null", &["bye|1!"], false);
    rig.core(opened(false, MessageNumber(1)));
    rig.core(messages(0, &["a"]));
    rig.core(taken(0));
    rig.core(closed(0, CloseCause::Gentle));
    assert_eq!(rig.take_written(), ["0N", "a ", "|0A", "|-1T", "Y"]);
}

#[test]
fn an_http_body_in_small_frames_gets_one_sack() {
    let limits = Limits { untaken: 100, ..Limits::default() };
    let mut rig = Rig::without_link(TransportProtocol::Http, limits);
    rig.input(Input::OwnerFound);
    let message = "x".repeat(70) + " ";
    rig.hello_and(
        ",\"maxia\":0,\"new\":true",
        &["0N", &message, &message, &message, &message],
        true,
    );
    rig.core(opened(true, MessageNumber(0)));
    for number in 0..4 {
        rig.core(sack(number));
        let expected: &[&str] = match number {
            0 => &[";)]}^", "C"],
            3 => &["|3A"],
            _ => &[],
        };
        assert_eq!(rig.take_written(), expected, "{number}");
        rig.core(taken(number));
    }
    rig.core(closed(3, CloseCause::Gentle));
    assert_eq!(rig.take_written(), ["|3A", "|-1T"]);
}

#[test]
fn the_sack_of_an_endless_http_body_waits_two_seconds_at_most() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.hello_and(",\"maxia\":0", &["0N", "x "], false);
    rig.core(opened(false, MessageNumber(0)));
    rig.core(sack(0));
    rig.core(taken(0));
    rig.pass(SECOND);
    rig.frames(&["y "], false);
    rig.core(sack(1));
    rig.core(taken(1));
    rig.pass(SECOND - Duration::from_millis(1));
    assert!(rig.take_written().is_empty());
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.take_written(), [";)]}^", "|1A"]);
}

#[test]
fn a_held_sack_precedes_messages_and_the_end() {
    let mut rig = Rig::new(TransportProtocol::Http);
    rig.hello_and(",\"maxia\":0,\"eeds\":null", &["0N", "x "], false);
    rig.core(opened(false, MessageNumber(0)));
    rig.core(sack(0));
    rig.core(taken(0));
    rig.core(messages(0, &["a"]));
    assert_eq!(rig.take_written(), [";)]}^", "|0A", "0N", "a "]);
    rig.frames(&["y "], false);
    rig.core(sack(1));
    rig.core(closed(1, CloseCause::Gentle));
    assert_eq!(rig.take_written(), ["|1A", "|1A", "|-1T"]);
}

#[test]
fn messages_before_a_second_hello_are_a_batch_of_their_own() {
    let again = format!("{{{HELLO},\"maxia\":0}}H");
    for (frames, ends) in [
        (&["0N", "x ", again.as_str(), "y "][..], &[false, true][..]),
        (&["0N", "x ", "{}H", "y "], &[true]),
        (&["|-1A", again.as_str()], &[true]),
    ] {
        for is_first in [true, false] {
            let mut rig = Rig::new(TransportProtocol::Tcp);
            if is_first {
                rig.hello_and(",\"maxia\":0", frames, false);
            } else {
                rig.hello(",\"maxia\":0");
                rig.frames(frames, false);
            }
            let batches = rig.take_batches();
            let killed: Vec<bool> = batches.iter().map(|batch| batch.end.is_some()).collect();
            assert_eq!(killed, ends, "{frames:?}");
        }
    }
}

#[test]
fn a_repeated_sack_ends_the_presumption_of_the_hello() {
    for (eeds, forwarded) in [("null", 0), ("0", 1)] {
        let mut rig = Rig::new(TransportProtocol::Tcp);
        rig.hello(&format!(",\"maxia\":0,\"sack\":\"|0\",\"eeds\":{eeds}"));
        rig.take_to_core();
        rig.frames(&["|0A"], false);
        rig.frames(&["|0A"], false);
        assert_eq!(rig.take_batches().len(), forwarded, "{eeds}");
    }
}
