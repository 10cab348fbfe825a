//! Compressed runs of version 3, the bodies of `Z` frames: the length of the plain bytes, then one complete raw deflate
//! stream (RFC 1951) without a dictionary. The plain bytes are whole frames of the types `N`, `L`, `m` and `b`.
//!
//! Edges and clients keep one [`Deflater`] or [`Inflater`] per thread and one [`CompressionBackoff`] per transport. No
//! state of a run outlives the run, so an idle connection needs no memory for compression.

mod backoff;

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::framing::{RawFrame, cut};
use super::length::{length_len, parse_length, put_length};
use super::{FrameError, MAX_MESSAGE};

pub use backoff::CompressionBackoff;

/// Fastest level; docs/rationales.md has the measurement.
const LEVEL: u32 = 1;
/// Excess of a run over the longest message, in bytes.
const MAX_EXCESS: usize = 64 * 1024;
/// Longest run, in plain bytes.
pub const MAX_RUN: usize = MAX_MESSAGE + MAX_EXCESS;
/// Frames of a run between two messages: a number and a claim tag. A thousand times as many bytes without an effect would
/// otherwise cost the receiver time.
const MAX_WITHOUT_MESSAGE: usize = 2;
/// A run is kept if it has at most three quarters of the plain bytes.
const KEPT: (usize, usize) = (3, 4);

/// The longest run, in plain bytes, that a receiver accepts for a longest message.
pub const fn max_run(max_message: usize) -> usize {
    let max_message = if max_message < MAX_MESSAGE { max_message } else { MAX_MESSAGE };
    max_message + MAX_EXCESS
}

/// The length of the plain bytes, as declared by the body of a `Z` frame.
///
/// The receiver charges this length to its limits before it inflates the run.
///
/// # Errors
/// If the length is malformed, or greater than [`max_run`].
pub fn declared_len(body: &[u8], max_message: usize) -> Result<usize, FrameError> {
    split_body(body, max_message).map(|(length, _)| length)
}

/// The declared length and the deflate stream.
fn split_body(body: &[u8], max_message: usize) -> Result<(usize, &[u8]), FrameError> {
    let (length, length_bytes) = parse_length(body).ok().flatten().ok_or(FrameError::Compressed)?;
    let limit = max_run(max_message);
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    Ok((length, &body[length_bytes..]))
}

/// Compresses runs, one after the other.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Deflater {
    /// A compressor; allocates about 300 KB.
    pub fn new() -> Self {
        Self::with_level(LEVEL)
    }

    /// A compressor of another level, for measurements.
    pub fn with_level(level: u32) -> Self {
        Self(Compress::new(Compression::new(level), false))
    }

    /// Compresses whole frames to the body of a `Z` frame. `None` if the body would exceed three quarters of the plain
    /// bytes, or if the plain bytes exceed [`MAX_RUN`].
    pub fn deflate(&mut self, plain: &[u8]) -> Option<Bytes> {
        let longest = plain.len() / KEPT.1 * KEPT.0;
        if plain.len() > MAX_RUN || longest <= length_len(plain.len()) {
            return None;
        }
        let mut body = Vec::with_capacity(longest);
        put_length(plain.len(), &mut body);
        self.0.reset();
        // Writes no more than the capacity: an incompressible run ends early.
        let status = self.0.compress_vec(plain, &mut body, FlushCompress::Finish);
        let is_kept = matches!(status, Ok(Status::StreamEnd)) && body.len() <= longest;
        is_kept.then(|| body.into())
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

/// Inflates runs, one after the other.
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Inflater {
    /// A decompressor; allocates about 40 KB.
    pub fn new() -> Self {
        Self(Decompress::new(false))
    }

    /// Inflates the body of a `Z` frame, in memory of the declared length.
    ///
    /// # Errors
    /// If the declared length is malformed, too great or not the length of the run, or input is left.
    pub fn inflate(&mut self, body: &[u8], max_message: usize) -> Result<Run, FrameError> {
        let (length, stream) = split_body(body, max_message)?;
        // One more byte, so that a longer run is noticed.
        let mut plain = Vec::with_capacity(length + 1);
        self.0.reset(false);
        let status = self.0.decompress_vec(stream, &mut plain, FlushDecompress::Finish);
        let is_whole = matches!(status, Ok(Status::StreamEnd))
            && self.0.total_in() == stream.len() as u64
            && plain.len() == length;
        if !is_whole {
            return Err(FrameError::Compressed);
        }
        Ok(Run { plain: BytesMut::from(Bytes::from(plain)), max_message, without_message: 0 })
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// The frames of an inflated run.
#[derive(Debug)]
pub struct Run {
    plain: BytesMut,
    max_message: usize,
    /// Frames since the last message.
    without_message: usize,
}

impl Run {
    /// Bytes of the frames that are not split off yet.
    pub fn len(&self) -> usize {
        self.plain.len()
    }

    /// Returns true behind the last frame.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Splits off the next frame; `None` at the end of the run.
    ///
    /// # Errors
    /// If a frame is malformed, too long, unfinished, of a type that a run must not contain, or the third one without a
    /// message.
    pub fn next_frame(&mut self) -> Result<Option<RawFrame>, FrameError> {
        if self.plain.is_empty() {
            return Ok(None);
        }
        match cut(&mut self.plain, self.max_message)? {
            Some(frame) if frame.frame_type.is_message() => {
                self.without_message = 0;
                Ok(Some(frame))
            }
            Some(frame)
                if frame.frame_type.is_compressible()
                    && self.without_message < MAX_WITHOUT_MESSAGE =>
            {
                self.without_message += 1;
                Ok(Some(frame))
            }
            Some(_) | None => Err(FrameError::Compressed),
        }
    }
}

#[cfg(test)]
mod tests;
