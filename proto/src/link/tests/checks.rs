//! The rules of single fields, each with the reported field.

use bytes::Bytes;

use crate::hello::{MAX_CRED, MAX_WHY};
use crate::link::*;
use crate::sack::MAX_BEYOND;
use crate::v3::MAX_MESSAGE;
use crate::{KillReason, MAX_NUMBER, MAX_TAG_PAIRS, MessageNumber, Sack, TransportKind};

fn attach() -> pb::Attach {
    pb::Attach {
        transport: 7,
        service: "default".to_owned(),
        stream_id: "stream-id-stream-id-".to_owned(),
        transport_number: 3,
        succeeds: Some(2),
        kind: pb::TransportKind::LongPoll.into(),
        ..pb::Attach::default()
    }
}

fn decode_attach(attach: pb::Attach) -> Result<Attach, LinkFrameError> {
    let frame = Some(pb::edge_frame::Frame::Attach(attach));
    let decoded = decode::edge_frame(pb::EdgeFrame { frame })?;
    let EdgeMessage::Attach(attach) = decoded.message else { panic!("{decoded:?}") };
    Ok(*attach)
}

/// The offending field of an Attach with this change.
fn attach_error(change: impl FnOnce(&mut pb::Attach)) -> &'static str {
    let mut changed = attach();
    change(&mut changed);
    let error = decode_attach(changed).unwrap_err();
    assert_eq!(error.transport, Some(TransportId(7)));
    error.field
}

/// The offending field of a Batch with this change; `None` if the batch is valid.
fn batch_error(change: impl FnOnce(&mut pb::Batch)) -> Option<&'static str> {
    let mut batch = pb::Batch { transport: 7, ..pb::Batch::default() };
    change(&mut batch);
    let frame = Some(pb::edge_frame::Frame::Batch(batch));
    let error = decode::edge_frame(pb::EdgeFrame { frame }).err()?;
    assert_eq!(error.transport, Some(TransportId(7)));
    Some(error.field)
}

fn core_error(frame: pb::core_frame::Frame) -> &'static str {
    let error = decode::core_frame(pb::CoreFrame { frame: Some(frame) }).unwrap_err();
    assert_eq!(error.transport, Some(TransportId(7)));
    error.field
}

fn negative() -> pb::Sack {
    pb::Sack { acked: -2, beyond: Vec::new() }
}

/// Each text of an Attach at its limit: L-1, L, L+1.
#[test]
fn texts_of_an_attach_are_bounded() {
    let change = |field: &str, length: usize| {
        let mut attach = attach();
        let text = "x".repeat(length);
        match field {
            "attach.credentials" => attach.credentials = text,
            "attach.why" => attach.why = text,
            "attach.peer_address" => attach.peer_address = text,
            _ => attach.headers = vec![pb::Header { name: "n".to_owned(), value: text }],
        }
        decode_attach(attach).map_err(|error| error.field)
    };
    for (field, limit) in [
        ("attach.credentials", MAX_CRED),
        ("attach.why", MAX_WHY),
        ("attach.peer_address", decode::MAX_PEER_ADDRESS),
        ("attach.headers", decode::MAX_HEADERS - 1),
    ] {
        assert!(change(field, limit - 1).is_ok() && change(field, limit).is_ok(), "{field}");
        assert_eq!(change(field, limit + 1).unwrap_err(), field);
    }
}

#[test]
fn new_credentials_are_bounded() {
    let error = |length| batch_error(|batch| batch.credentials = "x".repeat(length));
    assert_eq!((error(MAX_CRED), error(MAX_CRED + 1)), (None, Some("batch.credentials")));
}

#[test]
fn an_attach_without_seen_ack_has_seen_nothing() {
    let decoded = decode_attach(attach()).unwrap();
    assert_eq!((decoded.seen_ack, decoded.sack), (Sack::NONE, None));
    assert_eq!(decoded.kind, Some(TransportKind::LongPoll));
}

#[test]
fn an_unknown_kind_of_transport_is_accepted() {
    for kind in [0, 99] {
        assert_eq!(decode_attach(pb::Attach { kind, ..attach() }).unwrap().kind, None);
    }
}

#[test]
fn the_transport_of_a_batch_within_an_attach_is_ignored() {
    let run = pb::Run { first: 4, messages: vec![Bytes::from("hi")], binary: Vec::new() };
    let batch = pb::Batch { transport: 99, runs: vec![run], ..pb::Batch::default() };
    let decoded = decode_attach(pb::Attach { batch: Some(batch), ..attach() }).unwrap();
    let run = Run { first: MessageNumber(4), messages: vec!["hi".into()] };
    assert_eq!(decoded.batch.unwrap().runs, [run]);
}

#[test]
fn an_invalid_attach_is_reported_by_its_field() {
    assert_eq!(attach_error(|attach| attach.service = "Default".to_owned()), "attach.service");
    assert_eq!(attach_error(|attach| attach.stream_id.truncate(19)), "attach.stream_id");
    let above = MAX_NUMBER + 1;
    let number = |attach: &mut pb::Attach| attach.transport_number = above;
    assert_eq!(attach_error(number), "attach.transport_number");
    assert_eq!(attach_error(|attach| attach.succeeds = Some(above)), "attach.succeeds");
    assert_eq!(attach_error(|attach| attach.seen_ack = Some(negative())), "attach.seen_ack");
    assert_eq!(attach_error(|attach| attach.sack = Some(negative())), "attach.sack");
    let both = |attach: &mut pb::Attach| {
        attach.resume = Some(pb::Resume { stream: 1, next_s2c: None, tag: None });
        attach.batch = Some(pb::Batch::default());
    };
    assert_eq!(attach_error(both), "attach.batch");
    let created = |attach: &mut pb::Attach| {
        attach.create = true;
        attach.created = Some(pb::CreatedStream { stream: 1, tag: 7 });
    };
    assert_eq!(attach_error(created), "attach.created");
}

/// The pairs of claim tags of an Attach and of a Batch at their limits: L-1, L, L+1.
#[test]
fn the_claim_tags_of_received_messages_have_limits() {
    let pair = |first| pb::MessageTag { first, tag: 7 };
    let is_valid = |firsts: &[u64]| {
        let tag_history: Vec<_> = firsts.iter().copied().map(pair).collect();
        let of_attach = pb::Attach { tag_history: tag_history.clone(), ..attach() };
        let of_attach = decode_attach(of_attach).map_err(|error| error.field);
        let of_batch = batch_error(|batch| batch.tag_history = tag_history);
        let rejected = of_attach.as_ref().err().copied();
        assert!(rejected.is_none_or(|field| field == "attach.tag_history"), "{rejected:?}");
        assert_eq!(of_batch, rejected.map(|_| "batch.tag_history"));
        rejected.is_none()
    };
    for (count, ok) in
        [(MAX_TAG_PAIRS - 1, true), (MAX_TAG_PAIRS, true), (MAX_TAG_PAIRS + 1, false)]
    {
        assert_eq!(is_valid(&(0..count as u64).collect::<Vec<_>>()), ok, "{count}");
    }
    for (first, ok) in [(MAX_NUMBER - 1, true), (MAX_NUMBER, true), (MAX_NUMBER + 1, false)] {
        assert_eq!(is_valid(&[first]), ok, "{first}");
    }
    assert!(!is_valid(&[4, 4]) && !is_valid(&[5, 4]), "the numbers ascend");
}

#[test]
fn an_invalid_batch_is_reported_by_its_field() {
    let kill = |kill| move |batch: &mut pb::Batch| batch.end = Some(pb::End { kill: Some(kill) });
    assert_eq!(batch_error(kill(0)), Some("batch.end.kill"));
    assert_eq!(batch_error(kill(5)), None);
    let reset = |length: usize| {
        let reset = pb::Reset { reason: "r".repeat(length), application_level: true };
        move |batch: &mut pb::Batch| batch.reset = Some(reset)
    };
    assert_eq!(batch_error(reset(255)), None);
    assert_eq!(batch_error(reset(256)), Some("batch.reset.reason"));
    assert_eq!(batch_error(|batch| batch.sacks = vec![negative()]), Some("batch.sacks"));
}

#[test]
fn messages_have_limits() {
    let run_of = |first, message: Vec<u8>, binary: Vec<u32>| {
        let run = pb::Run { first, messages: vec![message.into()], binary };
        batch_error(move |batch| batch.runs = vec![run])
    };
    let run = |first, message| run_of(first, message, Vec::new());
    for (length, ok) in [(MAX_MESSAGE - 1, true), (MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)] {
        assert_eq!(run(0, vec![b'x'; length]).is_none(), ok, "{length}");
    }
    for byte in 0..=u8::MAX {
        assert_eq!(run(0, vec![byte]).is_none(), byte.is_ascii(), "{byte} alone as text");
        assert_eq!(run_of(0, vec![byte], vec![0]), None, "{byte} as binary");
    }
    for surrogate in [&b"\xed\xa0\x80"[..], b"\xed\xbf\xbf", b"a\xed\xb0\x80"] {
        assert_eq!(run(0, surrogate.to_vec()), Some("batch.runs"));
    }
    assert_eq!(run_of(0, vec![b'x'], vec![1]), Some("batch.runs"), "no such message");
    for (first, ok) in [(MAX_NUMBER, true), (MAX_NUMBER + 1, false), (u64::MAX, false)] {
        assert_eq!(run(first, Vec::new()).is_none(), ok, "{first}");
    }
    let two =
        pb::Run { first: MAX_NUMBER, messages: vec!["a".into(), "b".into()], ..pb::Run::default() };
    assert_eq!(batch_error(|batch| batch.runs = vec![two]), Some("batch.runs"));
}

#[test]
fn only_version_3_has_keys_of_16_bytes() {
    let error = |version, key: usize, next: usize| {
        let (key_hash, next_key_hash) = (vec![7; key].into(), vec![8; next].into());
        decode_attach(pb::Attach { version, key_hash, next_key_hash, ..attach() }).err()
    };
    let field = |version, key, next| error(version, key, next).map(|error| error.field);
    assert_eq!(
        (field(0, 0, 0), field(2, 0, 0), field(3, 16, 0), field(3, 16, 16)),
        Default::default()
    );
    for (version, key, next, wrong) in [
        (0, 16, 0, "attach.key_hash"),
        (3, 0, 0, "attach.key_hash"),
        (3, 15, 0, "attach.key_hash"),
        (3, 17, 0, "attach.key_hash"),
        (3, 16, 15, "attach.next_key_hash"),
        (4, 16, 0, "attach.version"),
        (1, 0, 0, "attach.version"),
    ] {
        assert_eq!(field(version, key, next), Some(wrong), "{version} {key} {next}");
    }
}

#[test]
fn sacks_have_limits() {
    let sack = |acked, beyond: Vec<u64>| {
        let sack = pb::Sack { acked, beyond };
        batch_error(move |batch| batch.sacks = vec![sack]).is_none()
    };
    for (length, ok) in [(MAX_BEYOND - 1, true), (MAX_BEYOND, true), (MAX_BEYOND + 1, false)] {
        assert_eq!(sack(0, vec![9; length]), ok, "{length}");
    }
    let limit = MAX_NUMBER as i64;
    for (acked, ok) in [(-2, false), (-1, true), (limit, true), (limit + 1, false)] {
        assert_eq!(sack(acked, Vec::new()), ok, "{acked}");
    }
    assert!(!sack(-1, vec![MAX_NUMBER + 1]));
}

#[test]
fn an_invalid_core_frame_is_reported_by_its_field() {
    use pb::close::Cause;
    use pb::core_frame::Frame;
    let close = |cause| {
        core_error(Frame::Close(pb::Close {
            transport: 7,
            cause: Some(cause),
            ..Default::default()
        }))
    };
    let reset = pb::Reset { reason: "a\nb".to_owned(), application_level: true };
    assert_eq!(close(Cause::Reset(reset)), "close.reset.reason");
    assert_eq!(close(Cause::Kill(0)), "close.kill");
    let messages = pb::Messages {
        transport: 7,
        messages: vec![b"a\xff"[..].into()],
        ..pb::Messages::default()
    };
    assert_eq!(core_error(Frame::Messages(messages)), "messages");
    let messages = pb::Messages {
        transport: 7,
        messages: vec![b"a"[..].into()],
        compress: Some(true),
        ..pb::Messages::default()
    };
    assert_eq!(core_error(Frame::Messages(messages)), "messages.compress");
    let update = pb::SackUpdate { transport: 7, sack: None };
    assert_eq!(core_error(Frame::Sack(update)), "sack.sack");
    let opened = pb::Opened { transport: 7, sack: Some(negative()), ..Default::default() };
    assert_eq!(core_error(Frame::Opened(opened)), "opened.sack");
    let status = pb::Close { transport: 7, status: Some(negative()), ..Default::default() };
    assert_eq!(core_error(Frame::Close(status)), "close.status");
}

#[test]
fn a_frame_of_no_transport_is_reported_without_one() {
    let hello = pb::edge_frame::Frame::Hello(pb::EdgeHello::default());
    for (frame, field) in [(None, "frame"), (Some(hello), "hello")] {
        let error = decode::edge_frame(pb::EdgeFrame { frame }).unwrap_err();
        assert_eq!((error.transport, error.field), (None, field));
    }
    let hello = pb::core_frame::Frame::Hello(pb::CoreHello::default());
    for (frame, field) in [(None, "frame"), (Some(hello), "hello")] {
        let error = decode::core_frame(pb::CoreFrame { frame }).unwrap_err();
        assert_eq!((error.transport, error.field), (None, field));
    }
}

#[test]
fn every_kill_reason_is_known() {
    for reason in KillReason::ALL {
        let kill = Some(reason);
        let batch = Batch { end: Some(End { kill }), ..Batch::default() };
        let frame = EdgeFrame { transport: TransportId(1), message: EdgeMessage::Batch(batch) };
        assert_eq!(decode::edge_frame(encode::edge_frame(frame.clone())), Ok(frame));
    }
}
