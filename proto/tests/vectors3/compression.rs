//! Compressed runs of version 3.

use bytes::BytesMut;
use minerva_proto::v3::deflate::Inflater;
use minerva_proto::v3::{Frame, FrameError, FrameType, cut};

use super::entries::{bytes, code, entries, max_message};

/// The plain bytes of the frame `Z`, encoded again after all checks.
fn inflate(wire: &[u8], max_message: usize) -> Result<BytesMut, FrameError> {
    let raw = cut(&mut BytesMut::from(wire), max_message)?.expect("a whole frame");
    assert_eq!(raw.frame_type, FrameType::Compressed);
    let mut run = Inflater::new().inflate(&raw.body, max_message)?;
    let mut plain = BytesMut::new();
    while let Some(frame) = run.next_frame()? {
        Frame::decode(frame)?.encode(&mut plain);
    }
    Ok(plain)
}

#[test]
fn runs_inflate_to_frames() {
    for entry in entries("compressed") {
        let plain = inflate(&bytes(&entry["hex"]), max_message(&entry));
        assert_eq!(plain.map(BytesMut::freeze), Ok(bytes(&entry["plain"])), "{}", entry["name"]);
    }
}

#[test]
fn invalid_runs_are_refused() {
    for entry in entries("compressed_refused") {
        let refused = inflate(&bytes(&entry["hex"]), max_message(&entry)).map_err(FrameError::code);
        assert_eq!(refused, Err(code(&entry)), "{}", entry["name"]);
    }
}
