mod http;
mod model;
mod renewal;
mod resets;
mod resumption;
mod retries;
mod sacks;
mod transports;
mod version3;
mod watch;

use std::time::Duration;

use bytes::BytesMut;
use minerva_proto::{Framing, KillReason, StreamId, v3};
use model::World;
use proptest::prelude::*;

use super::*;
use crate::config::Version;
use crate::error::SendError;
use crate::wire::{self, Frame};

const SECOND: Time = Duration::from_secs(1);

fn machine(kind: TransportKind) -> StreamMachine {
    machine_of(config(kind))
}

fn machine_of(config: Config) -> StreamMachine {
    let mut machine = StreamMachine::new(config, id(), key(), 12345);
    machine.on_timeout(Time::ZERO);
    machine
}

/// A configuration with version 2.
fn config(kind: TransportKind) -> Config {
    Config { version: Version::V2, ..Config::new("", kind) }
}

fn key() -> ResumeKey {
    ResumeKey::parse("Zk1uQ0pXc3VqV2h5dEJtRQ").unwrap()
}

fn id() -> StreamId {
    StreamId::parse("abcdefghijklmnopqrstuvwxyz").unwrap()
}

fn decode(texts: &[&str]) -> Vec<Frame> {
    let mut lines: BytesMut =
        texts.iter().flat_map(|text| [text, "\n"]).collect::<String>().as_bytes().into();
    wire::decode(WireVersion::V2, Framing::Lines, &mut lines).unwrap()
}

fn pop(machine: &mut StreamMachine) -> Option<Message> {
    machine.pop().map(|(_, message)| message)
}

/// The keys of a hello that both versions have.
fn common(json: &[u8]) -> minerva_proto::Hello {
    match v3::AnyHello::parse(json, 3).unwrap() {
        v3::AnyHello::V2(hello) => hello,
        v3::AnyHello::V3(hello) => hello.common,
    }
}

/// The transport to open, the only output.
fn opened(machine: &mut StreamMachine) -> (TransportNumber, TransportKind, Role) {
    match (machine.next_output(), machine.next_output()) {
        (Some(Output::Open { number, kind, role, .. }), None) => (number, kind, role),
        other => panic!("{other:?}"),
    }
}

fn frames_after_hello(machine: &mut StreamMachine, number: TransportNumber) -> Vec<Frame> {
    let mut frames = machine.take_frames(Time::ZERO, number);
    assert!(matches!(frames.first(), Some(Frame::Hello(_))), "{frames:?}");
    frames.remove(0);
    frames
}

fn receive(machine: &mut StreamMachine, number: TransportNumber, texts: &[&str]) {
    decode(texts).into_iter().for_each(|frame| machine.on_frame(Time::ZERO, number, frame));
}

/// A stream with an attached HTTP stream and an upload of one message: the machine, the primary and the upload.
fn uploading() -> (StreamMachine, TransportNumber, TransportNumber) {
    let mut machine = machine(TransportKind::HttpStream);
    let (primary, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, primary);
    receive(&mut machine, primary, &["C"]);
    machine.push(Time::ZERO, "hi".into()).unwrap();
    let (upload, ..) = opened(&mut machine);
    (machine, primary, upload)
}

#[test]
fn messages_follow_the_hello() {
    let mut machine = machine(TransportKind::Tcp);
    let (number, ..) = opened(&mut machine);
    machine.push(Time::ZERO, "hi".into()).unwrap();
    assert_eq!(frames_after_hello(&mut machine, number), decode(&["0N", "hi "]));
    receive(&mut machine, number, &["C", "|0A", "0N", "a ", "b "]);
    machine.push(Time::ZERO, "ho".into()).unwrap();
    // The SACK precedes the messages.
    assert_eq!(machine.take_frames(Time::ZERO, number), decode(&["|1A", "ho "]));
    assert_eq!(
        (machine.acknowledged(), pop(&mut machine), pop(&mut machine)),
        (MessageNumber(1), Some("a".into()), Some("b".into()))
    );
}

#[test]
fn in_flight_limit() {
    for (length, sent) in [(999, 2), (1000, 1), (5000, 1)] {
        let mut machine = machine_of(Config { max_in_flight: 2000, ..config(TransportKind::Tcp) });
        let (number, ..) = opened(&mut machine);
        (0..3).for_each(|_| assert!(machine.push(Time::ZERO, "x".repeat(length).into()).is_ok()));
        let frames = frames_after_hello(&mut machine, number);
        // One SeqNum, then the messages.
        assert_eq!(frames.len(), 1 + sent, "{length}");
        receive(&mut machine, number, &["C", "|0A"]);
        assert_eq!(machine.take_frames(Time::ZERO, number).len(), 1, "{length}");
    }
}

#[test]
fn send_queue_limits() {
    let push = |machine: &mut StreamMachine, length| {
        machine.push(Time::ZERO, "x".repeat(length).into()).is_ok()
    };
    for (second, ok) in [((1 << 19) - 1, true), (1 << 19, true), ((1 << 19) + 1, false)] {
        let mut machine = machine(TransportKind::Tcp);
        assert!(push(&mut machine, 1 << 19));
        assert_eq!(push(&mut machine, second), ok, "{second}");
    }
    let mut machine = machine(TransportKind::Tcp);
    let accepted = (0..1002).filter(|_| push(&mut machine, 1)).count();
    assert_eq!(accepted, 1000);
}

#[test]
fn an_attached_successor_takes_over() {
    let mut machine = machine(TransportKind::Tcp);
    let (old, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, old);
    receive(&mut machine, old, &["C", "beat^", "0N", "a "]);
    machine.switch(Time::ZERO, TransportKind::WebSocket);
    let (new, kind, role) = opened(&mut machine);
    assert_eq!((kind, role), (TransportKind::WebSocket, Role::Primary));
    let Some(Frame::Hello(hello)) = machine.take_frames(Time::ZERO, new).pop() else {
        panic!("no hello")
    };
    assert!(String::from_utf8_lossy(&hello).contains("\"eeds\":0"), "{hello:?}");
    machine.push(Time::ZERO, "hi".into()).unwrap();
    assert_eq!(machine.take_frames(Time::ZERO, new), vec![]);
    assert_eq!(machine.take_frames(Time::ZERO, old), decode(&["0N", "hi "]));
    receive(&mut machine, new, &["beat^"]);
    // The unacknowledged message is sent again on the successor.
    assert_eq!(machine.take_frames(Time::ZERO, new), decode(&["0N", "hi "]));
    assert_eq!(machine.take_frames(Time::ZERO, old), vec![]);
    receive(&mut machine, old, &["|0A", "|0T", "Y"]);
    assert_eq!(machine.next_output(), Some(Output::Close { number: old }));
    assert_eq!((machine.next_output(), machine.counters().reconnects), (None, 0));
}

#[test]
fn a_message_acknowledged_behind_a_gap_is_not_sent_again() {
    let mut machine = machine(TransportKind::Tcp);
    let (first, ..) = opened(&mut machine);
    for message in ["a", "b", "c", "d"] {
        machine.push(Time::ZERO, message.into()).unwrap();
    }
    assert_eq!(frames_after_hello(&mut machine, first), decode(&["0N", "a ", "b ", "c ", "d "]));
    receive(&mut machine, first, &["C", "2|0A"]);
    machine.on_end(Time::ZERO, first, End::Failed);
    machine.on_timeout(SECOND);
    let (second, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, second), decode(&["1N", "b ", "3N", "d "]));
}

#[test]
fn kills_and_ends() {
    let ended = |texts: &[&[&str]]| {
        let mut machine = machine(TransportKind::Tcp);
        let mut now = Time::ZERO;
        for texts in texts {
            let (number, ..) = opened(&mut machine);
            receive(&mut machine, number, texts);
            let _closed = machine.next_output();
            now += 10 * SECOND;
            machine.on_timeout(now);
        }
        machine.ended().map(|ended| (ended.reason.clone(), ended.application_level, ended.by))
    };
    for reason in KillReason::ALL {
        let kill = format!("{reason}K");
        let lost = reason == KillReason::StreamAttachFailure;
        assert_eq!(ended(&[&[&kill, "Y"]]).is_some(), lost, "{reason}");
    }
    let unsent = "acked_unsent_stringsK";
    assert_eq!(
        ended(&[&[unsent], &[unsent]]),
        Some(("acked_unsent_strings".into(), false, EndedBy::Server))
    );
    assert_eq!(ended(&[&[unsent], &["0N", "a ", unsent]]), None);
    assert_eq!(ended(&[&["C", "bye|1!", "Y"]]), Some(("bye".into(), true, EndedBy::Server)));
    assert_eq!(ended(&[&["C", "|5A"]]).map(|(_, _, by)| by), Some(EndedBy::Client));
}

#[test]
fn silence_of_two_heartbeats_closes_the_transport_unless_reading_is_paused() {
    let mut machine = machine(TransportKind::Tcp);
    let (number, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, number);
    machine.on_frame(10 * SECOND, number, decode(&["C"]).remove(0));
    assert_eq!(machine.next_timeout(20 * SECOND), Some(50 * SECOND));
    machine.set_reading(11 * SECOND, false);
    machine.on_timeout(60 * SECOND);
    assert_eq!(machine.next_output(), None);
    machine.set_reading(60 * SECOND, true);
    machine.on_timeout(99 * SECOND);
    assert_eq!(machine.next_output(), None);
    machine.on_timeout(100 * SECOND);
    assert_eq!(machine.next_output(), Some(Output::Close { number }));
}

#[test]
fn a_transport_without_a_response_to_the_hello_is_closed() {
    // A poll has no response before there is content, so only the heartbeat limit applies.
    for (kind, limit) in [
        (TransportKind::Tcp, 15 * SECOND),
        (TransportKind::WebSocket, 15 * SECOND),
        (TransportKind::HttpStream, 15 * SECOND),
        (TransportKind::LongPoll, 40 * SECOND),
    ] {
        let mut machine = machine(kind);
        let (number, ..) = opened(&mut machine);
        machine.take_frames(Time::ZERO, number);
        machine.on_timeout(limit - Time::from_millis(1));
        assert_eq!(machine.next_output(), None);
        machine.on_timeout(limit);
        assert_eq!(machine.next_output(), Some(Output::Close { number }), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Both sides receive every message once and in order, despite network faults.
    #[test]
    fn no_message_is_lost_duplicated_or_reordered(
        kind in prop::sample::select(TransportKind::ALL.to_vec()),
        version in prop::sample::select(vec![Version::V2, Version::V3]),
        seed in any::<u64>(),
        steps in prop::collection::vec((0_u8..20, any::<u16>()), 0..150),
    ) {
        let mut world = World::new(kind, version, seed);
        for (action, pick) in steps {
            world.step(action, pick);
        }
        world.settle();
        prop_assert_eq!(world.received_by_server(), world.sent_by_client());
        prop_assert_eq!(world.received_by_client(), world.sent_by_server());
    }

    /// A reset ends the stream once, with one reason on both sides, despite network faults.
    #[test]
    fn a_reset_ends_the_stream_with_one_reason(
        kind in prop::sample::select(TransportKind::ALL.to_vec()),
        version in prop::sample::select(vec![Version::V2, Version::V3]),
        seed in any::<u64>(),
        steps in prop::collection::vec((0_u8..23, any::<u16>()), 0..60),
    ) {
        let mut world = World::new(kind, version, seed);
        for (action, pick) in steps {
            world.step(action, pick);
        }
        world.end();
        prop_assert!(world.sent_by_client().starts_with(&world.received_by_server()));
        prop_assert!(world.sent_by_server().starts_with(&world.received_by_client()));
        let (client, server, created) = world.ends();
        let client = client.unwrap();
        if created == 0 {
            prop_assert_eq!((client.reason.as_str(), client.by), ("client", EndedBy::Client));
        } else if !["stream_attach_failure", "gone"].contains(&&*client.reason) {
            prop_assert!(server.is_some(), "{client:?}");
            let server = server.unwrap();
            prop_assert_eq!((client.reason, client.application_level), (server.reason, true));
        }
    }
}
