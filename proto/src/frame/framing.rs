//! How bytes are cut into frames and frames put into bytes: by their length on TCP, by lines on HTTP
//! and WebSocket. Keeps no state of its own; the caller's buffer is all there is.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Frame;

/// Bytes that cannot be cut into frames: one is longer than allowed. Answered with
/// [`super::KillReason::FrameCorruption`]; what follows on the transport means nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame is longer than allowed")]
pub struct FrameCorruption;

/// What stands around a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// TCP: four bytes of length, big-endian, before each frame.
    Int32,
    /// HTTP and WebSocket: a line feed behind each frame.
    Lines,
}

impl Framing {
    /// Cuts the next whole frame off the front of `buf`; `None`: more bytes are needed. Lines may also
    /// end in CR LF. A frame of length zero is a frame (and never a valid one).
    ///
    /// # Errors
    /// As soon as it is clear that the next frame is longer than `max_frame` bytes; `buf` is then as
    /// it was.
    pub fn cut(
        self,
        buf: &mut BytesMut,
        max_frame: usize,
    ) -> Result<Option<Bytes>, FrameCorruption> {
        match self {
            Self::Int32 => cut_int32(buf, max_frame),
            Self::Lines => cut_line(buf, max_frame),
        }
    }

    /// Appends a frame with what stands around it.
    pub fn put(self, frame: &Frame, dst: &mut BytesMut) {
        match self {
            Self::Int32 => {
                // No frame that this crate makes comes near 4 GiB.
                let length = u32::try_from(frame.encoded_len()).unwrap_or(u32::MAX);
                dst.reserve(4 + frame.encoded_len());
                dst.put_u32(length);
                frame.encode(dst);
            }
            Self::Lines => {
                dst.reserve(frame.encoded_len() + 1);
                frame.encode(dst);
                dst.put_u8(b'\n');
            }
        }
    }
}

fn cut_int32(buf: &mut BytesMut, max_frame: usize) -> Result<Option<Bytes>, FrameCorruption> {
    let Some(prefix) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > max_frame {
        return Err(FrameCorruption);
    }
    if buf.len() < 4 + length {
        return Ok(None);
    }
    buf.advance(4);
    Ok(Some(buf.split_to(length).freeze()))
}

fn cut_line(buf: &mut BytesMut, max_frame: usize) -> Result<Option<Bytes>, FrameCorruption> {
    // The longest line: a frame, CR, LF.
    let window = &buf[..buf.len().min(max_frame.saturating_add(2))];
    // `contains` is the fast search of the standard library; long frames are looked at many times.
    let end = if window.contains(&b'\n') { window.iter().position(|&b| b == b'\n') } else { None };
    let Some(end) = end else {
        // Without the line feed, a CR at the very end may still turn out to be part of the line's end.
        let too_long = window.len() > max_frame + 1
            || (window.len() == max_frame + 1 && window.last() != Some(&b'\r'));
        return if too_long { Err(FrameCorruption) } else { Ok(None) };
    };
    let length = if end > 0 && window[end - 1] == b'\r' { end - 1 } else { end };
    if length > max_frame {
        return Err(FrameCorruption);
    }
    let mut line = buf.split_to(end + 1);
    line.truncate(length);
    Ok(Some(line.freeze()))
}
