//! Frames of a later release, as raw protobuf with field numbers that no release has.

use prost::Message as _;
use prost::bytes::{BufMut, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::KillReason;
use crate::link::unknown::{in_core_frame, in_edge_frame};
use crate::link::{
    Batch, CloseCause, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage, End, TransportId, decode,
    encode, pb,
};

/// Field number of a later release.
const LATER: u32 = 900;

/// A field with content, behind other fields of a message.
fn field(number: u32, content: &[u8], into: &mut BytesMut) {
    encode_key(number, WireType::LengthDelimited, into);
    encode_varint(content.len() as u64, into);
    into.put_slice(content);
}

/// A request with the fields of `frames` as field 1, and a field that no release has.
fn request(frames: &[Vec<u8>]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for frame in frames {
        field(1, frame, &mut bytes);
        field(LATER, b"unknown", &mut bytes);
    }
    bytes
}

fn later_frame() -> Vec<u8> {
    let mut bytes = BytesMut::new();
    field(LATER, b"\x08\x07", &mut bytes);
    bytes.to_vec()
}

/// The content of a frame with an added field: `tag` is the key of the frame's field in the oneof.
fn with_added_field(frame: &[u8]) -> Vec<u8> {
    let (key, mut content) = (frame[0], BytesMut::new());
    assert_eq!(usize::from(frame[1]), frame.len() - 2, "a short frame");
    content.put_slice(&frame[2..]);
    field(LATER, b"unknown", &mut content);
    let mut bytes = BytesMut::new();
    bytes.put_u8(key);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.put_slice(&content);
    bytes.to_vec()
}

#[test]
fn an_unknown_edge_frame_does_not_affect_its_neighbours() {
    let detach = EdgeFrame { transport: TransportId(7), message: EdgeMessage::Detach };
    let known = encode::edge_frame(detach.clone()).encode_to_vec();
    let frames = [known.clone(), later_frame(), with_added_field(&known), Vec::new()];
    let request = pb::RelayRequest::decode(request(&frames)).unwrap();
    let unknown: Vec<u64> = request.frames.iter().map(in_edge_frame).collect();
    assert_eq!(unknown, [0, 1, 0, 1]);
    for index in [0, 2] {
        assert_eq!(decode::edge_frame(request.frames[index].clone()), Ok(detach.clone()));
    }
}

#[test]
fn an_unknown_core_frame_does_not_affect_its_neighbours() {
    let released = CoreFrame::Released(vec![3]);
    let known = encode::core_frame(released.clone()).encode_to_vec();
    let frames = [known.clone(), later_frame(), with_added_field(&known), Vec::new()];
    let response = pb::RelayResponse::decode(request(&frames)).unwrap();
    let unknown: Vec<u64> = response.frames.iter().map(in_core_frame).collect();
    assert_eq!(unknown, [0, 1, 0, 1]);
    for index in [0, 2] {
        assert_eq!(decode::core_frame(response.frames[index].clone()), Ok(released.clone()));
    }
}

#[test]
fn an_unknown_reason_of_a_kill_counts_as_an_invalid_frame() {
    let end = |kill| Some(pb::End { kill: Some(kill) });
    for (kill, unknown, known_as) in [
        (4, 0, KillReason::InvalidFrameTypeOrArguments),
        (5, 0, KillReason::RwinOverflow),
        (6, 1, KillReason::InvalidFrameTypeOrArguments),
        (i32::MAX, 1, KillReason::InvalidFrameTypeOrArguments),
        (-1, 1, KillReason::InvalidFrameTypeOrArguments),
    ] {
        let batch = pb::Batch { transport: 7, end: end(kill), ..Default::default() };
        let frame = pb::EdgeFrame { frame: Some(pb::edge_frame::Frame::Batch(batch)) };
        assert_eq!(in_edge_frame(&frame), unknown, "{kill}");
        let batch = Batch { end: Some(End { kill: Some(known_as) }), ..Batch::default() };
        assert_eq!(decode::edge_frame(frame).unwrap().message, EdgeMessage::Batch(batch));
        let cause = Some(pb::close::Cause::Kill(kill));
        let close = pb::Close { transport: 7, cause, ..Default::default() };
        let frame = pb::CoreFrame { frame: Some(pb::core_frame::Frame::Close(close)) };
        assert_eq!(in_core_frame(&frame), unknown, "{kill}");
        let decoded = decode::core_frame(frame).unwrap();
        assert_eq!(decoded.close_cause(), Some(&CloseCause::Kill(known_as)));
    }
}

#[test]
fn unknown_values_of_an_attach_are_counted() {
    for (kind, kill, unknown) in [(4, 5, 0), (0, 5, 0), (5, 5, 1), (4, 6, 1), (99, 99, 2)] {
        let batch = pb::Batch { end: Some(pb::End { kill: Some(kill) }), ..Default::default() };
        let attach = pb::Attach { kind, batch: Some(batch), ..Default::default() };
        let frame = pb::EdgeFrame { frame: Some(pb::edge_frame::Frame::Attach(attach)) };
        assert_eq!(in_edge_frame(&frame), unknown, "{kind} {kill}");
    }
}

#[test]
fn an_unknown_cause_is_a_graceful_close() {
    let mut close =
        pb::Close { transport: 7, ..Default::default() }.encode_to_vec().as_slice().into();
    field(LATER, b"unknown", &mut close);
    let close = pb::Close::decode(close).unwrap();
    let frame = pb::CoreFrame { frame: Some(pb::core_frame::Frame::Close(close)) };
    let CoreFrame::Transport { transport, message: CoreMessage::Close(close) } =
        decode::core_frame(frame).unwrap()
    else {
        panic!("not a Close");
    };
    assert_eq!((transport, close.cause), (TransportId(7), CloseCause::Gentle));
}
