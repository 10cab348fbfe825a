//! Renewal of credentials: requests of the server, results of the token source, and the frame with the answer.

use minerva_proto::v3::Welcome;

use super::*;
use crate::renewal::TokenSource;

fn source() -> TokenSource {
    TokenSource::new(|| async { None })
}

fn attached(
    kind: TransportKind,
    token_source: Option<TokenSource>,
) -> (StreamMachine, TransportNumber) {
    let config = Config { version: Version::V3, token_source, ..Config::new("", kind) };
    let mut machine = machine_of(config);
    let (number, ..) = opened(&mut machine);
    frames_after_hello(&mut machine, number);
    let born = v3::StreamCreation::parse(b"2251799813685249.00000007b0d88862");
    let welcome = Frame::Welcome(Welcome { born, ..Welcome::default() });
    machine.on_frame(Time::ZERO, number, welcome);
    (machine, number)
}

fn ask(machine: &mut StreamMachine, number: TransportNumber) {
    machine.on_frame(Time::ZERO, number, Frame::CredentialsWanted);
}

fn answer(token: &str) -> Frame {
    Frame::Credentials(token.to_owned())
}

#[test]
fn a_request_calls_the_source_once_and_the_answer_goes_once() {
    for kind in [TransportKind::Tcp, TransportKind::WebSocket] {
        let (mut machine, number) = attached(kind, Some(source()));
        ask(&mut machine, number);
        ask(&mut machine, number);
        assert_eq!((machine.next_output(), machine.next_output()), (Some(Output::Renew), None));
        machine.push(Time::ZERO, "hi".into()).unwrap();
        machine.renew(Time::ZERO, Some("new".into()));
        let frames = machine.take_frames(Time::ZERO, number);
        assert_eq!(frames.first(), Some(&answer("new")), "ahead of the messages");
        assert_eq!(machine.take_frames(Time::ZERO, number), []);
        ask(&mut machine, number);
        assert_eq!(machine.next_output(), Some(Output::Renew), "the next request");
    }
}

#[test]
fn an_upload_without_messages_carries_the_answer() {
    for kind in [TransportKind::HttpStream, TransportKind::LongPoll] {
        let (mut machine, number) = attached(kind, Some(source()));
        ask(&mut machine, number);
        assert_eq!(machine.next_output(), Some(Output::Renew));
        machine.renew(Time::ZERO, Some("new".into()));
        let (upload, _, role) = opened(&mut machine);
        assert_eq!(
            (role, frames_after_hello(&mut machine, upload)),
            (Role::Upload, vec![answer("new")])
        );
        machine.on_end(Time::ZERO, upload, End::Finished);
        assert_eq!(machine.next_output(), None);
    }
}

#[test]
fn without_a_source_or_a_result_nothing_is_sent() {
    let (mut machine, number) = attached(TransportKind::Tcp, None);
    ask(&mut machine, number);
    assert_eq!(machine.next_output(), None);
    let (mut machine, number) = attached(TransportKind::Tcp, Some(source()));
    ask(&mut machine, number);
    machine.renew(Time::ZERO, None);
    assert_eq!(machine.take_frames(Time::ZERO, number), []);
    assert_eq!(machine.next_output(), Some(Output::Renew));
    ask(&mut machine, number);
    assert_eq!(machine.next_output(), Some(Output::Renew), "the server has repeated its request");
}

#[test]
fn the_answer_waits_for_the_next_transport() {
    let (mut machine, number) = attached(TransportKind::Tcp, Some(source()));
    ask(&mut machine, number);
    machine.on_end(Time::ZERO, number, End::Failed);
    machine.renew(Time::ZERO, Some("new".into()));
    while machine.next_output().is_some() {}
    machine.on_timeout(SECOND);
    let (next, ..) = opened(&mut machine);
    assert_eq!(frames_after_hello(&mut machine, next), [answer("new")]);
}

#[test]
fn a_source_without_configured_credentials_gives_those_of_the_hello() {
    let config = Config { token_source: Some(source()), ..Config::new("", TransportKind::Tcp) };
    let mut machine = StreamMachine::new(config, id(), key(), 12345);
    assert!(machine.wanted_source().is_some());
    machine.renew(Time::ZERO, Some("first".into()));
    assert!(machine.wanted_source().is_none());
    machine.on_timeout(Time::ZERO);
    let (number, ..) = opened(&mut machine);
    let frames = machine.take_frames(Time::ZERO, number);
    let Some(Frame::Hello(json)) = frames.first() else { panic!("{frames:?}") };
    assert_eq!(common(json).cred.as_deref(), Some("first"));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask,
    Give(bool),
    Write,
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Ask),
        any::<bool>().prop_map(Step::Give),
        Just(Step::Write),
        Just(Step::Break)
    ]
}

proptest! {
    /// At most one call at a time; each result is sent at most once, and never without a request.
    #[test]
    fn answers_follow_requests(steps in proptest::collection::vec(step(), 0..60)) {
        let (mut machine, mut number) = attached(TransportKind::Tcp, Some(source()));
        let (mut calls, mut results, mut answers, mut is_called) = (0, 0, 0, false);
        for (at, step) in (1..).zip(steps) {
            let now = SECOND * at * 5;
            match step {
                Step::Ask => machine.on_frame(now, number, Frame::CredentialsWanted),
                Step::Give(succeeds) if is_called => {
                    is_called = false;
                    results += usize::from(succeeds);
                    machine.renew(now, succeeds.then(|| "new".to_owned()));
                }
                Step::Give(_) => {}
                Step::Write => {
                    let frames = machine.take_frames(now, number);
                    answers += frames.iter().filter(|frame| **frame == answer("new")).count();
                }
                Step::Break => {
                    machine.on_end(now, number, End::Failed);
                    machine.on_timeout(now + 4 * SECOND);
                }
            }
            while let Some(output) = machine.next_output() {
                match output {
                    Output::Renew => {
                        prop_assert!(!is_called);
                        is_called = true;
                        calls += 1;
                    }
                    Output::Open { number: next, .. } => number = next,
                    Output::Close { .. } | Output::Drop { .. } => {}
                }
            }
            prop_assert!(answers <= results && results <= calls);
        }
    }
}
