//! Version 3: negotiation, welcomes, refusals and claim tags.

use minerva_proto::v3::{AnyHello, Refusal, Welcome};
use minerva_proto::{ClaimTag, MessageTag};

use super::*;
use crate::problem::ProblemCode;

const A: ClaimTag = ClaimTag(0x7_b0d8_8862);
const B: ClaimTag = ClaimTag(0x8_7f63_7347);

fn with_version(kind: TransportKind, version: Version) -> StreamMachine {
    machine_of(Config { version, ..Config::new("", kind) })
}

/// A machine with an attached socket.
fn welcomed() -> (StreamMachine, TransportNumber) {
    let mut machine = with_version(TransportKind::Tcp, Version::Auto);
    let (number, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, number);
    machine.on_frame(Time::ZERO, number, welcome());
    (machine, number)
}

fn welcome() -> Frame {
    let born = v3::StreamCreation::parse(b"2251799813685249.00000007b0d88862");
    Frame::Welcome(Welcome { born, max: Some(1000), ..Welcome::default() })
}

fn tag(first: u64, tag: ClaimTag) -> Frame {
    Frame::ClaimTag(MessageTag { first: MessageNumber(first), tag })
}

fn refusal(code: RefusalCode) -> Frame {
    Frame::Refusal(Refusal::new(code))
}

fn seq_num(number: u64) -> Frame {
    Frame::SeqNum(MessageNumber(number))
}

fn feed(
    machine: &mut StreamMachine,
    number: TransportNumber,
    frames: impl IntoIterator<Item = Frame>,
) {
    frames.into_iter().for_each(|frame| machine.on_frame(Time::ZERO, number, frame));
}

fn hello(machine: &mut StreamMachine, number: TransportNumber) -> AnyHello {
    let frames = machine.take_frames(Time::ZERO, number);
    let Some(Frame::Hello(json)) = frames.first() else { panic!("{frames:?}") };
    AnyHello::parse(json, 3).unwrap()
}

fn hello3(machine: &mut StreamMachine, number: TransportNumber) -> v3::Hello {
    let AnyHello::V3(hello) = hello(machine, number) else { panic!("version 2") };
    hello
}

/// The next transport after a failure.
fn reopened(machine: &mut StreamMachine, now: Time) -> TransportNumber {
    while machine.next_output().is_some() {}
    machine.on_timeout(now);
    opened(machine).0
}

#[test]
fn the_first_hello_has_the_key_and_later_ones_the_creation() {
    let mut machine = with_version(TransportKind::Tcp, Version::Auto);
    let (first, ..) = opened(&mut machine);
    let sent = hello3(&mut machine, first);
    assert_eq!((sent.key, sent.common.new, sent.born), (key(), true, None));
    feed(&mut machine, first, [welcome()]);
    assert!(machine.is_ready());
    machine.on_end(Time::ZERO, first, End::Failed);
    let second = reopened(&mut machine, SECOND);
    let sent = hello3(&mut machine, second);
    assert_eq!((sent.key, sent.common.new), (key(), false));
    assert_eq!(sent.born.unwrap().to_string(), "2251799813685249.00000007b0d88862");
}

#[test]
fn a_stream_falls_back_once_and_without_a_delay() {
    for kind in TransportKind::ALL {
        let mut machine = with_version(kind, Version::Auto);
        machine.push(Time::ZERO, "hi".into()).unwrap();
        let (first, ..) = opened(&mut machine);
        hello3(&mut machine, first);
        assert!(machine.fall_back(Time::ZERO, first));
        assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
        let (second, ..) = opened(&mut machine);
        let AnyHello::V2(sent) = hello(&mut machine, second) else { panic!("version 3") };
        assert!(sent.new);
        assert_eq!(machine.push(Time::ZERO, "é".into()), Err(SendError::Unsupported));
        receive(&mut machine, second, &["C"]);
        assert_eq!((machine.problem(), machine.counters().reconnects), (None, 0));
        assert!(!machine.fall_back(Time::ZERO, second), "the stream exists");
    }
}

#[test]
fn a_websocket_falls_back_before_the_hello() {
    let mut machine = with_version(TransportKind::WebSocket, Version::Auto);
    let (number, ..) = opened(&mut machine);
    assert!(machine.fall_back(Time::ZERO, number));
    assert_eq!(machine.next_output(), None);
    assert!(matches!(hello(&mut machine, number), AnyHello::V2(_)));
    // A stream of version 3 stays without a connection.
    let mut machine = with_version(TransportKind::WebSocket, Version::V3);
    let (number, ..) = opened(&mut machine);
    assert!(!machine.fall_back(Time::ZERO, number));
    let (mut machine, number) = welcomed();
    assert!(!machine.fall_back(Time::ZERO, number), "the stream has version 3");
}

#[test]
fn a_queued_binary_message_waits_for_a_server_of_version_3() {
    let mut machine = with_version(TransportKind::Tcp, Version::Auto);
    machine.push(Time::ZERO, vec![0, 0xff].into()).unwrap();
    let (first, ..) = opened(&mut machine);
    hello3(&mut machine, first);
    feed(&mut machine, first, [refusal(RefusalCode::Version)]);
    let code = ProblemCode::Refused(RefusalCode::Version);
    assert_eq!(machine.problem().map(|problem| problem.code), Some(code));
    assert_eq!(machine.ended(), None);
    let second = reopened(&mut machine, SECOND);
    let frames = frames_after_hello(&mut machine, second);
    assert_eq!(frames, [seq_num(0), Frame::Message(vec![0, 0xff].into())]);
}

#[test]
fn a_refusal_of_the_version_falls_back() {
    let mut machine = with_version(TransportKind::Tcp, Version::Auto);
    let (first, ..) = opened(&mut machine);
    hello3(&mut machine, first);
    feed(&mut machine, first, [refusal(RefusalCode::Version)]);
    assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
    let (second, ..) = opened(&mut machine);
    assert!(matches!(hello(&mut machine, second), AnyHello::V2(_)));
}

#[test]
fn each_refusal_has_the_effect_of_its_action() {
    for code in RefusalCode::ALL {
        let (mut machine, mut number) = welcomed();
        for round in 1..=2 {
            feed(&mut machine, number, [refusal(code)]);
            let ends =
                code.action() == v3::ClientAction::End || (code.ends_when_repeated() && round == 2);
            let reason = machine.ended().map(|ended| (ended.reason.clone(), ended.by));
            assert_eq!(reason, ends.then(|| (code.to_string(), EndedBy::Server)), "{code} {round}");
            if ends {
                break;
            }
            number = reopened(&mut machine, 400 * SECOND * round);
            hello3(&mut machine, number);
        }
    }
}

#[test]
fn progress_separates_two_faults() {
    let (mut machine, first) = welcomed();
    feed(&mut machine, first, [refusal(RefusalCode::Window)]);
    let second = reopened(&mut machine, SECOND);
    hello3(&mut machine, second);
    let message = Frame::Message("a".into());
    feed(&mut machine, second, [welcome(), seq_num(0), message, refusal(RefusalCode::Window)]);
    assert_eq!(machine.ended(), None);
}

#[test]
fn an_unknown_refusal_is_harmless() {
    for (action, within) in [("retry", 4), ("later", 7)] {
        let mut machine = with_version(TransportKind::Tcp, Version::Auto);
        let (first, ..) = opened(&mut machine);
        hello3(&mut machine, first);
        let json = format!(r#"{{"status":499,"code":"novel","title":"new","do":"{action}"}}"#);
        feed(&mut machine, first, [Frame::Refusal(Refusal::parse(json.as_bytes()).unwrap())]);
        assert_eq!(machine.ended(), None);
        assert_eq!(machine.problem().map(|problem| problem.title.as_str()), Some("novel: new"));
        machine.on_timeout(SECOND * within);
        assert_eq!(machine.next_output(), Some(Output::Close { number: first }));
        opened(&mut machine);
    }
}

#[test]
fn the_delay_of_a_refusal_is_a_minimum() {
    let (mut machine, number) = welcomed();
    let mut busy = Refusal::new(RefusalCode::Busy);
    busy.after = Some(7 * SECOND);
    feed(&mut machine, number, [Frame::Refusal(busy)]);
    assert_eq!(machine.next_output(), Some(Output::Close { number }));
    machine.on_timeout(7 * SECOND - Time::from_millis(1));
    assert_eq!(machine.next_output(), None);
    machine.on_timeout(9 * SECOND);
    opened(&mut machine);
}

#[test]
fn an_unknown_stream_confirms_a_reset() {
    let (mut machine, first) = welcomed();
    machine.on_end(Time::ZERO, first, End::Failed);
    machine.reset(Time::ZERO, "done");
    let second = reopened(&mut machine, SECOND);
    let reset = Frame::Reset(Reset::new("done", true));
    assert_eq!(frames_after_hello(&mut machine, second), [reset]);
    feed(&mut machine, second, [refusal(RefusalCode::Gone)]);
    let ended = machine.ended().unwrap();
    assert_eq!((ended.reason.as_str(), ended.by), ("done", EndedBy::Client));
}

#[test]
fn the_welcome_limits_messages() {
    let (mut machine, _) = welcomed();
    let mut push = |length: usize| machine.push(Time::ZERO, vec![0; length].into());
    assert_eq!((push(1000), push(1001)), (Ok(MessageNumber(0)), Err(SendError::TooLong)));
}

#[test]
fn a_sack_follows_the_new_claim_tags() {
    let (mut machine, number) = welcomed();
    let text = |text: &str| Frame::Message(text.into());
    feed(&mut machine, number, [seq_num(0), text("a"), text("b")]);
    machine.push(Time::ZERO, "x".into()).unwrap();
    let written = machine.take_frames(Time::ZERO, number);
    assert_eq!(written, [tag(0, A), Frame::Sack(Sack::up_to(1)), seq_num(0), text("x")]);
    feed(&mut machine, number, [text("c"), tag(3, B), text("d")]);
    machine.push(Time::ZERO, "y".into()).unwrap();
    let written = machine.take_frames(Time::ZERO, number);
    assert_eq!(written, [tag(3, B), Frame::Sack(Sack::up_to(3)), text("y")]);
    feed(&mut machine, number, [text("e")]);
    machine.push(Time::ZERO, "z".into()).unwrap();
    let written = machine.take_frames(Time::ZERO, number);
    assert_eq!(written, [Frame::Sack(Sack::up_to(4)), text("z")], "the tags are known");
    machine.on_end(Time::ZERO, number, End::Failed);
    let next = reopened(&mut machine, SECOND);
    let pair = |first, tag| MessageTag { first: MessageNumber(first), tag };
    assert_eq!(hello3(&mut machine, next).tags.pairs(), [pair(0, A), pair(3, B)]);
    // The first tag of the transport is the last one of the hello.
    feed(&mut machine, next, [Frame::Welcome(Welcome::default()), seq_num(4), text("e")]);
    assert_eq!(machine.ended(), None);
    assert!(!machine.is_resetting());
}

#[test]
fn a_number_with_two_tags_ends_the_stream() {
    let (mut machine, number) = welcomed();
    let text = |text: &str| Frame::Message(text.into());
    feed(&mut machine, number, [seq_num(0), text("a"), text("b"), seq_num(0), text("a")]);
    assert!(!machine.is_resetting(), "the same tag");
    feed(&mut machine, number, [tag(1, B), seq_num(1), text("other")]);
    assert!(machine.is_resetting());
    let written = machine.take_frames(Time::ZERO, number);
    assert_eq!(written.last(), Some(&Frame::Reset(Reset::new("state lost", false))));
    assert_eq!((pop(&mut machine), pop(&mut machine)), (Some("a".into()), Some("b".into())));
    assert_eq!(pop(&mut machine), None);
}

#[test]
fn heartbeats_are_empty_comments() {
    let (mut machine, number) = welcomed();
    let due = machine.config.heartbeat;
    machine.take_frames(Time::ZERO, number);
    assert_eq!(machine.take_frames(due, number), [Frame::Comment(bytes::Bytes::new())]);
}

#[test]
fn long_runs_are_compressed_by_option_if_the_server_inflates() {
    for (compress, inflates, length, expected) in [
        (true, true, 16_384, 1),
        (true, true, 16_383, 0),
        (true, true, 100_000, 1),
        (true, false, 100_000, 0),
        (false, true, 100_000, 0),
    ] {
        let config = Config { compress, ..Config::new("", TransportKind::Tcp) };
        let mut machine = machine_of(Config { version: Version::Auto, ..config });
        let (number, ..) = opened(&mut machine);
        let welcome = Welcome { inflates, ..Welcome::default() };
        assert!(hello3(&mut machine, number).inflates);
        feed(&mut machine, number, [Frame::Welcome(welcome)]);
        // Two messages of 2 bytes less than the length, which their cost includes.
        for half in [length / 2 - 1, length - length / 2 - 1] {
            machine.push(Time::ZERO, "x".repeat(half).into()).unwrap();
        }
        let written = machine.take_frames(Time::ZERO, number);
        let runs = written.iter().filter(|frame| matches!(frame, Frame::Run(_))).count();
        assert_eq!(runs.min(1), expected, "{compress} {inflates} {length}");
        let plain = written
            .into_iter()
            .flat_map(|frame| if let Frame::Run(frames) = frame { frames } else { vec![frame] });
        assert_eq!(plain.filter(|frame| matches!(frame, Frame::Message(_))).count(), 2);
    }
}
