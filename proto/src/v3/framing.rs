//! Framing of version 3: a type byte, the length of the body, the body. The same on every kind of transport.
//!
//! Stateless, like the framing of version 2: all state is in the caller's buffer. Each call parses the header again, in
//! constant time, and no body is searched or copied.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::length::{length_len, parse_length, put_length};
use super::{FrameError, FrameType, MAX_BODY, UNBUDGETED_FRAME};

/// A frame with an unchecked body; see [`super::Frame::decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// The type.
    pub frame_type: FrameType,
    /// The body, a slice of the received bytes.
    pub body: Bytes,
}

/// Type and length of a frame, known before the body has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type.
    pub frame_type: FrameType,
    /// Length of type and length, in bytes.
    header_len: usize,
    /// Length of the body, in bytes.
    pub body_len: usize,
}

impl Header {
    /// Parses the header of the frame at the front of `bytes`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the type is unknown, the length is malformed, or the body is longer than [`MAX_BODY`], or `max_message` for a
    /// message.
    pub fn parse(bytes: &[u8], max_message: usize) -> Result<Option<Self>, FrameError> {
        let Some((&byte, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let frame_type = FrameType::from_byte(byte).ok_or(FrameError::UnknownType(byte))?;
        let length = parse_length(rest).map_err(|_| FrameError::Length)?;
        let Some((length, length_bytes)) = length else {
            return Ok(None);
        };
        let limit = if frame_type.is_message() { max_message.min(MAX_BODY) } else { MAX_BODY };
        if length > limit {
            return Err(FrameError::TooLarge { length, limit });
        }
        Ok(Some(Self { frame_type, header_len: 1 + length_bytes, body_len: length }))
    }

    /// Length of the whole frame, in bytes.
    pub const fn frame_len(&self) -> usize {
        self.header_len + self.body_len
    }

    /// Whether the frame must be charged to a budget before more of the body is read: it is longer than
    /// [`UNBUDGETED_FRAME`].
    pub const fn needs_budget(&self) -> bool {
        self.frame_len() > UNBUDGETED_FRAME
    }
}

/// Splits the next complete frame off the front of `buf`; returns `None` if more bytes are needed.
///
/// While a frame is incomplete, [`Header::parse`] has its length.
///
/// # Errors
/// As [`Header::parse`], as soon as the header has arrived; `buf` is unchanged then.
pub fn cut(buf: &mut BytesMut, max_message: usize) -> Result<Option<RawFrame>, FrameError> {
    let Some(header) = Header::parse(buf, max_message)?.filter(|h| h.frame_len() <= buf.len())
    else {
        return Ok(None);
    };
    buf.advance(header.header_len);
    let body = buf.split_to(header.body_len).freeze();
    Ok(Some(RawFrame { frame_type: header.frame_type, body }))
}

/// Appends type and length of a frame. The caller writes the body behind them, possibly as a slice of its own.
pub fn put_header(frame_type: FrameType, body_len: usize, dst: &mut impl BufMut) {
    dst.put_u8(frame_type.byte());
    put_length(body_len, dst);
}

/// Length of a frame with a body of this length.
pub const fn frame_len(body_len: usize) -> usize {
    1 + length_len(body_len) + body_len
}
