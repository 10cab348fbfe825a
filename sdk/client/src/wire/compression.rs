//! Compressed runs of version 3, in both directions. Called by `wire.rs`.

use std::cell::RefCell;

use bytes::BytesMut;
use minerva_proto::v3::deflate::{Deflater, Inflater};
use minerva_proto::v3::{self, FrameType, MAX_MESSAGE};

use super::{Frame, decode_v3, encode_v3};

thread_local! {
    /// Allocated at the first use; about 40 KB per thread.
    static INFLATER: RefCell<Option<Box<Inflater>>> = const { RefCell::new(None) };
    /// Allocated at the first use; about 300 KB per thread.
    static DEFLATER: RefCell<Option<Box<Deflater>>> = const { RefCell::new(None) };
}

/// Decodes the frames of a run of the server.
pub(super) fn inflate(body: &[u8], frames: &mut Vec<Frame>) -> Result<(), v3::FrameError> {
    let mut run = INFLATER
        .with_borrow_mut(|inflater| inflater.get_or_insert_default().inflate(body, MAX_MESSAGE))?;
    while let Some(raw) = run.next_frame()? {
        frames.extend(decode_v3(raw)?);
    }
    Ok(())
}

/// Appends frames as one compressed run, or as they are if compression saves less than a quarter.
pub(super) fn put_run(frames: Vec<Frame>, dst: &mut BytesMut) {
    let mut plain = BytesMut::new();
    for frame in frames {
        encode_v3(frame, &mut plain);
    }
    let body =
        DEFLATER.with_borrow_mut(|deflater| deflater.get_or_insert_default().deflate(&plain));
    match body {
        Some(body) => {
            v3::put_header(FrameType::Compressed, body.len(), dst);
            dst.extend_from_slice(&body);
        }
        None => dst.extend_from_slice(&plain),
    }
}
