//! Sends and pushes of messages that the client of a stream does not accept.

use minerva_proto::link::Attach;
use minerva_proto::{ClientProtocol, Generation, KeyHash, KeyProof, MessageNumber, Payload};

use super::harness::{APP, Harness, primary, push};
use crate::limits::Limits;
use crate::stream::PushOutcome;

fn assigned() -> Harness {
    let mut harness = Harness::with_primary();
    harness.assign(1000);
    harness
}

fn send(harness: &mut Harness, first: u64, messages: Vec<Payload>) -> Vec<String> {
    harness
        .outputs_of(|stream, turn| stream.on_send(APP, MessageNumber(first), messages, None, turn))
}

#[test]
fn a_send_that_version_2_cannot_carry_is_refused_as_a_whole() {
    for unsupported in ["é".into(), "\n".into(), Payload::binary("ascii"), Payload::binary("")] {
        let mut harness = assigned();
        let messages = vec!["ok".into(), unsupported, Payload::binary("")];
        assert_eq!(send(&mut harness, 0, messages), ["app refused 0 Unsupported(1) next 0"]);
        assert_eq!(harness.stream.state().outbox().next(), MessageNumber(0));
        assert_eq!(harness.send(0, &["ok"])[0], "0 0N ok", "the stream goes on");
    }
}

#[test]
fn the_acknowledgement_of_an_unsupported_send_is_refused_with_it() {
    let mut harness = assigned();
    let refused = "app refused 0 Unsupported(0) next 0";
    assert_eq!(harness.send_and_acknowledge(0, &["é"], Some(0)), [refused]);
    assert_eq!(harness.stream.state().inbox().base().0, 0);
}

#[test]
fn the_index_counts_the_repeated_messages_of_the_send() {
    let mut harness = assigned();
    harness.send(0, &["a", "b"]);
    assert_eq!(harness.send(1, &["b", "c", "é"]), ["app refused 1 Unsupported(2) next 2"]);
}

#[test]
fn a_stream_of_version_3_takes_all_kinds() {
    let protocol = ClientProtocol::V3(KeyProof {
        key: KeyHash([7; 16]),
        next: None,
        generation: Generation::default(),
    });
    let (mut harness, _) = Harness::open(Attach { protocol, ..primary(0) }, Limits::default());
    harness.assign(1000);
    let messages: Vec<Payload> = vec!["a".into(), "é\0".into(), Payload::binary(&b"\xff"[..])];
    let outputs = send(&mut harness, 0, messages.clone());
    assert!(outputs[0].starts_with("0 0N"), "{outputs:?}");
    let pushed = push(messages, None);
    let (outcome, _) = harness.turn(|stream, turn| stream.on_push(&pushed, turn));
    assert_eq!(outcome, PushOutcome::Taken);
    assert_eq!(harness.stream.state().outbox().next(), MessageNumber(6));
}

#[test]
fn the_permission_to_compress_precedes_the_messages_of_the_session() {
    let protocol = ClientProtocol::V3(KeyProof {
        key: KeyHash([7; 16]),
        next: None,
        generation: Generation::default(),
    });
    let (mut harness, _) = Harness::open(Attach { protocol, ..primary(0) }, Limits::default());
    harness.assign(1000);
    let reports = |harness: &mut Harness, number: u64| {
        let outputs = send(harness, number, vec!["a".into()]);
        outputs.iter().filter(|output| output.contains("compress")).cloned().collect::<Vec<_>>()
    };
    assert!(reports(&mut harness, 0).is_empty(), "off by default");
    harness.stream.set_compression(true);
    assert_eq!(reports(&mut harness, 1), ["0 compress true"]);
    assert!(reports(&mut harness, 2).is_empty(), "only a change is reported");
    harness.stream.set_compression(false);
    assert_eq!(reports(&mut harness, 3), ["0 compress false"]);
    harness.stream.set_compression(true);
    assert_eq!(reports(&mut harness, 4), ["0 compress true"]);
    harness.assign(1000);
    assert_eq!(
        reports(&mut harness, 5),
        ["0 compress false"],
        "another session has not permitted it"
    );
}

#[test]
fn a_transport_of_version_2_gets_no_permission_to_compress() {
    let mut harness = assigned();
    harness.stream.set_compression(true);
    let outputs = send(&mut harness, 0, vec!["a".into()]);
    assert!(outputs.iter().all(|output| !output.contains("compress")), "{outputs:?}");
}

/// Waiting for room would not help.
#[test]
fn an_unsupported_message_is_reported_before_a_full_outbox() {
    let limits = Limits { outbox_messages: 1, ..Limits::default() };
    let (mut harness, _) = Harness::open(primary(0), limits);
    harness.assign(1000);
    harness.send(0, &["a"]);
    assert_eq!(harness.send(1, &["b"]), ["app refused 1 ResourceExhausted next 1"]);
    assert_eq!(harness.send(1, &["é"]), ["app refused 1 Unsupported(0) next 1"]);
    let outcome = harness.turn(|stream, turn| stream.on_push(&push(vec!["é".into()], None), turn));
    assert_eq!(outcome.0, PushOutcome::Unsupported);
}

#[test]
fn an_unsupported_push_has_no_effect() {
    let mut harness = assigned();
    for (messages, expected) in [
        (vec!["a".into(), "é".into()], PushOutcome::Unsupported),
        (vec![Payload::binary("a")], PushOutcome::Unsupported),
        // The key is not in use yet.
        (vec!["a".into()], PushOutcome::Taken),
        // The stream has taken a push with this key.
        (vec!["é".into()], PushOutcome::Repeated),
    ] {
        let messages = push(messages, Some("key".into()));
        let (outcome, _) = harness.turn(|stream, turn| stream.on_push(&messages, turn));
        assert_eq!(outcome, expected);
    }
    assert_eq!(harness.stream.state().outbox().next(), MessageNumber(1));
}
