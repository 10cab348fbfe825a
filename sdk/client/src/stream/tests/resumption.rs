//! Streams of an earlier process: the hello of a generation, and the positions of the welcome.

use minerva_proto::v3::{AnyHello, RefusalCode, StreamCreation, Welcome};

use super::*;

const BORN: &[u8] = b"7.00000007b0d88862";

fn next_key() -> ResumeKey {
    ResumeKey::parse("c0tQbm9yVGl4dXl6QWJjRA").unwrap()
}

/// A machine of generation 3 with the stored messages 5, 6 and 9, and its first transport.
fn resumed() -> (StreamMachine, TransportNumber) {
    let config = Config { version: Version::V3, ..Config::new("", TransportKind::Tcp) };
    let mut machine = StreamMachine::new(config, id(), key(), 12345);
    machine.resume(SessionStart {
        generation: 3,
        next: next_key(),
        born: StreamCreation::parse(BORN),
        rewind: minerva_proto::Rewind::From(MessageNumber(40)),
        acknowledged: MessageNumber(5),
        own: [5, 6, 9].map(|n| (MessageNumber(n), format!("own {n}").into())).into(),
    });
    machine.on_timeout(Time::ZERO);
    let (number, ..) = opened(&mut machine);
    (machine, number)
}

/// Takes the frames of a transport: the hello, and the others as text.
fn written(machine: &mut StreamMachine, number: TransportNumber) -> (v3::Hello, Vec<String>) {
    let frames = machine.take_frames(Time::ZERO, number);
    let [Frame::Hello(json), rest @ ..] = &frames[..] else { panic!("{frames:?}") };
    let AnyHello::V3(hello) = AnyHello::parse(json, 3).unwrap() else { panic!() };
    (hello, rest.iter().map(|frame| format!("{frame:?}")).collect())
}

fn welcome(machine: &mut StreamMachine, number: TransportNumber, from: u64, own: u64) {
    let (from, own) = (Some(MessageNumber(from)), Some(MessageNumber(own)));
    let welcome = Welcome { max: Some(1000), from, own, ..Welcome::default() };
    machine.on_frame(Time::ZERO, number, Frame::Welcome(welcome));
}

#[test]
fn the_first_hellos_ask_for_the_generation_and_carry_the_stored_messages() {
    let (mut machine, number) = resumed();
    assert_eq!(number, TransportNumber(3 << 32));
    let (hello, frames) = written(&mut machine, number);
    assert_eq!((hello.key, hello.next, hello.generation), (key(), Some(next_key()), 3));
    assert_eq!(hello.rewind, Some(minerva_proto::Rewind::From(MessageNumber(40))));
    assert_eq!((hello.own, hello.born), (Some(MessageNumber(10)), StreamCreation::parse(BORN)));
    assert_eq!((hello.common.new, hello.common.sack), (false, None));
    assert_eq!(frames.len(), 5, "the numbers 5 and 9, and three messages: {frames:?}");
    assert_eq!(machine.take_adopted(), None);
    // The server names the first number of new messages.
    assert!(!machine.has_room(1));
    assert_eq!(machine.push(Time::ZERO, "new".into()), Err(SendError::Full));
    // Another attempt asks again.
    machine.cut(Time::ZERO);
    machine.on_timeout(SECOND);
    let number = *machine.transports.keys().last().unwrap();
    assert_eq!(written(&mut machine, number).0.next, Some(next_key()));
}

#[test]
fn the_welcome_sets_the_positions_and_the_key() {
    let (mut machine, number) = resumed();
    written(&mut machine, number);
    welcome(&mut machine, number, 40, 12);
    assert!(machine.is_ready());
    let adopted = Adopted { born: StreamCreation::parse(BORN), from: MessageNumber(40) };
    assert_eq!((machine.take_adopted(), machine.take_adopted()), (Some(adopted), None));
    assert_eq!(machine.push(Time::ZERO, "new".into()), Ok(MessageNumber(12)));
    machine.on_frame(Time::ZERO, number, Frame::Message("x".into()));
    assert_eq!(machine.pop(), Some((MessageNumber(40), "x".into())));
    // The acknowledgement covers the skipped numbers.
    machine.on_frame(Time::ZERO, number, Frame::Sack(Sack::up_to(MessageNumber(12))));
    assert_eq!(machine.acknowledged(), MessageNumber(13));
    machine.cut(Time::ZERO);
    machine.on_timeout(SECOND);
    let number = *machine.transports.keys().last().unwrap();
    let (hello, _) = written(&mut machine, number);
    assert_eq!((hello.key, hello.next, hello.generation), (next_key(), None, 3));
    assert_eq!((hello.rewind, hello.own), (None, None));
    assert_eq!(hello.common.sack, Some(Sack::up_to(MessageNumber(40))));
}

#[test]
fn before_the_first_message_the_sack_names_the_position() {
    let (mut machine, number) = resumed();
    written(&mut machine, number);
    welcome(&mut machine, number, 40, 10);
    machine.cut(Time::ZERO);
    machine.on_timeout(SECOND);
    let number = *machine.transports.keys().last().unwrap();
    assert_eq!(written(&mut machine, number).0.common.sack, Some(Sack::up_to(MessageNumber(39))));
}

#[test]
fn a_server_cannot_skip_any_amount_of_numbers() {
    for (own, ends) in [(10 + (1 << 16), false), (11 + (1 << 16), true), (1 << 53, true)] {
        let (mut machine, number) = resumed();
        written(&mut machine, number);
        welcome(&mut machine, number, 0, own);
        assert_eq!(machine.ended().is_some(), ends, "{own}");
    }
}

#[test]
fn a_stream_that_is_gone_ends_with_the_reason() {
    let (mut machine, number) = resumed();
    written(&mut machine, number);
    let refusal = v3::Refusal::new(RefusalCode::Gone);
    machine.on_frame(Time::ZERO, number, Frame::Refusal(refusal));
    assert_eq!(machine.ended().map(|ended| &*ended.reason), Some("gone"));
}

#[test]
fn a_reset_goes_to_the_server_before_the_generation_is_accepted() {
    let (mut machine, number) = resumed();
    machine.reset(Time::ZERO, "forgotten");
    assert!(machine.ended().is_none());
    let (_, frames) = written(&mut machine, number);
    assert!(frames.last().is_some_and(|frame| frame.contains("forgotten")), "{frames:?}");
}
