//! Frames of the wire protocol: an accepted frame is encoded to the same bytes, and any allowed message or reset is
//! accepted.

use bytes::{Bytes, BytesMut};
use minerva_proto::{Frame, KillReason, MessageNumber, Reset, Sack, is_message_allowed};

pub fn run(input: &[u8]) {
    let message = Frame::String(Bytes::copy_from_slice(input));
    let decoded = Frame::decode(encoded(&message).into());
    assert_eq!(decoded.ok(), is_message_allowed(input).then_some(message), "a message is changed");
    let reset =
        Frame::Reset(Reset::new(&String::from_utf8_lossy(input), input.len().is_multiple_of(2)));
    assert_eq!(Frame::decode(encoded(&reset).into()), Ok(reset), "a reset is changed");
    let Ok(frame) = Frame::decode(Bytes::copy_from_slice(input)) else { return };
    assert_eq!(encoded(&frame), input, "the frame is not canonical");
    assert_eq!(frame.encoded_len(), input.len(), "the announced length is wrong");
    let _ = frame.is_from_client();
}

pub fn seeds() -> Vec<Vec<u8>> {
    examples().iter().map(encoded).collect()
}

/// One frame of each type, and of each kill reason.
pub(crate) fn examples() -> Vec<Frame> {
    let mut examples = vec![
        Frame::Hello(Bytes::from(crate::hello::example().to_json())),
        Frame::String(Bytes::from_static(b"hello, world")),
        Frame::SeqNum(MessageNumber(42)),
        Frame::Sack(Sack::from_numbers(Some(10), [12, 14])),
        Frame::StreamStatus(Sack::NONE),
        Frame::StreamCreated,
        Frame::YouCloseIt,
        Frame::Comment(Bytes::from_static(b"beat")),
        Frame::Reset(Reset::new("no | more", true)),
    ];
    examples.extend(KillReason::ALL.map(Frame::TransportKill));
    examples
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.to_vec()
}
