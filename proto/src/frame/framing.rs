//! Framing: cuts bytes into frames and appends frames to bytes. TCP prefixes each frame with its length; HTTP and
//! WebSocket end each frame with a line feed. Stateless; all state is in the caller's buffer.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Frame;

/// A frame exceeds the length limit. The rest of the transport cannot be framed, so the transport is killed with
/// [`super::KillReason::FrameCorruption`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame is longer than allowed")]
pub struct FramingError;

/// The delimiters of frames on a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// TCP: a big-endian length of four bytes before each frame.
    Int32,
    /// HTTP and WebSocket: a line feed after each frame.
    Lines,
}

impl Framing {
    /// Splits the next complete frame off the front of `buf`; returns `None` if more bytes are needed.
    ///
    /// Lines may also end with CR LF. A frame of length zero is returned as a frame, though
    /// [`Frame::decode`](super::Frame::decode) rejects it.
    ///
    /// # Errors
    /// As soon as the next frame is known to exceed `max_frame` bytes; `buf` is unchanged then.
    pub fn cut(self, buf: &mut BytesMut, max_frame: usize) -> Result<Option<Bytes>, FramingError> {
        match self {
            Self::Int32 => cut_int32(buf, max_frame),
            Self::Lines => cut_line(buf, max_frame),
        }
    }

    /// Appends a frame with its delimiter.
    pub fn put(self, frame: &Frame, dst: &mut BytesMut) {
        match self {
            Self::Int32 => {
                // The frames of this crate are far shorter than 4 GiB.
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

fn cut_int32(buf: &mut BytesMut, max_frame: usize) -> Result<Option<Bytes>, FramingError> {
    let Some(prefix) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > max_frame {
        return Err(FramingError);
    }
    if buf.len() < 4 + length {
        return Ok(None);
    }
    buf.advance(4);
    Ok(Some(buf.split_to(length).freeze()))
}

fn cut_line(buf: &mut BytesMut, max_frame: usize) -> Result<Option<Bytes>, FramingError> {
    // The longest valid line: a frame, CR, LF.
    let window = &buf[..buf.len().min(max_frame.saturating_add(2))];
    // `contains` is a vectorised search; the bytes of a long frame are searched once per read.
    let end = if window.contains(&b'\n') { window.iter().position(|&b| b == b'\n') } else { None };
    let Some(end) = end else {
        // A CR at the end of the window may be the first byte of a CR LF.
        let too_long = window.len() > max_frame + 1
            || (window.len() == max_frame + 1 && window.last() != Some(&b'\r'));
        return if too_long { Err(FramingError) } else { Ok(None) };
    };
    let length = if end > 0 && window[end - 1] == b'\r' { end - 1 } else { end };
    if length > max_frame {
        return Err(FramingError);
    }
    let mut line = buf.split_to(end + 1);
    line.truncate(length);
    Ok(Some(line.freeze()))
}
