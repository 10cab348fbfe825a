//! Frames of version 3 and their bodies. [`super::cut`] delimits them; the order of frames is the caller's
//! responsibility.

use bytes::{BufMut, Bytes, BytesMut};

use super::framing::{RawFrame, frame_len, put_header};
use super::{FrameError, FrameType, Refusal, Renewal, Welcome, tags};
use crate::{MessageNumber, MessageTag, Reset, Sack, decimal};

/// One frame on a transport, in either direction. [`FrameType`] describes the types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The stream is attached.
    Welcome(Welcome),
    /// A text message: UTF-8, any code point.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// Number of the next message on this transport.
    SeqNum(MessageNumber),
    /// Acknowledges received messages.
    Sack(Sack),
    /// The last SACK received from the client.
    StreamStatus(Sack),
    /// Request to the client to close the connection.
    YouCloseIt,
    /// Ignored by the receiver; a heartbeat if empty.
    Comment(Bytes),
    /// Claim tag of the messages from a number on.
    ClaimTag(MessageTag),
    /// A compressed run of frames, unchecked.
    Compressed(Bytes),
    /// Ends this transport with a reason.
    Refusal(Refusal),
    /// Renewal of credentials.
    Renewal(Renewal),
    /// Ends the stream.
    Reset(Reset),
    /// A frame of a newer peer, to be skipped; the body is dropped.
    Extension(u8),
}

impl Frame {
    /// Decodes one frame, of either direction, and checks its body.
    ///
    /// # Errors
    /// If the body is wrong for the type.
    pub fn decode(raw: RawFrame) -> Result<Self, FrameError> {
        let RawFrame { frame_type, body } = raw;
        let frame = match frame_type {
            FrameType::Text => return text(body),
            FrameType::Binary => Some(Self::Binary(body)),
            FrameType::Comment => Some(Self::Comment(body)),
            FrameType::Compressed => Some(Self::Compressed(body)),
            FrameType::Extension(byte) => Some(Self::Extension(byte)),
            FrameType::YouCloseIt => body.is_empty().then_some(Self::YouCloseIt),
            FrameType::SeqNum => decimal::parse(&body).map(|n| Self::SeqNum(MessageNumber(n))),
            FrameType::Sack => Sack::parse(&body).ok().map(Self::Sack),
            FrameType::StreamStatus => Sack::parse(&body).ok().map(Self::StreamStatus),
            FrameType::ClaimTag => tags::parse_tag(&body).map(Self::ClaimTag),
            FrameType::Reset => Reset::parse(&body).map(Self::Reset),
            FrameType::Welcome => Welcome::parse(&body).map(Self::Welcome),
            FrameType::Refusal => Refusal::parse(&body).map(Self::Refusal),
            FrameType::Renewal => Renewal::parse(&body).map(Self::Renewal),
        };
        frame.ok_or(FrameError::Body(frame_type.byte()))
    }

    /// Appends the bytes of the frame. The caller ensures that the body has at most [`super::MAX_BODY`] bytes.
    pub fn encode(&self, dst: &mut BytesMut) {
        match self {
            Self::Text(body)
            | Self::Binary(body)
            | Self::Comment(body)
            | Self::Compressed(body) => self.put(body, dst),
            Self::YouCloseIt | Self::Extension(_) => self.put(b"", dst),
            Self::SeqNum(number) => self.put(number.to_string().as_bytes(), dst),
            Self::Sack(sack) | Self::StreamStatus(sack) => {
                self.put(sack.to_string().as_bytes(), dst);
            }
            Self::ClaimTag(tag) => self.put(tags::format_tag(tag).as_bytes(), dst),
            Self::Reset(reset) => {
                let mut body = BytesMut::with_capacity(reset.encoded_len());
                reset.encode(&mut body);
                self.put(&body, dst);
            }
            Self::Welcome(welcome) => self.put(welcome.to_json().as_bytes(), dst),
            Self::Refusal(refusal) => self.put(refusal.to_json().as_bytes(), dst),
            Self::Renewal(renewal) => self.put(renewal.to_json().as_bytes(), dst),
        }
    }

    /// The type of the frame.
    pub const fn frame_type(&self) -> FrameType {
        match self {
            Self::Welcome(_) => FrameType::Welcome,
            Self::Text(_) => FrameType::Text,
            Self::Binary(_) => FrameType::Binary,
            Self::SeqNum(_) => FrameType::SeqNum,
            Self::Sack(_) => FrameType::Sack,
            Self::StreamStatus(_) => FrameType::StreamStatus,
            Self::YouCloseIt => FrameType::YouCloseIt,
            Self::Comment(_) => FrameType::Comment,
            Self::ClaimTag(_) => FrameType::ClaimTag,
            Self::Compressed(_) => FrameType::Compressed,
            Self::Refusal(_) => FrameType::Refusal,
            Self::Renewal(_) => FrameType::Renewal,
            Self::Reset(_) => FrameType::Reset,
            Self::Extension(byte) => FrameType::Extension(*byte),
        }
    }

    fn put(&self, body: &[u8], dst: &mut BytesMut) {
        dst.reserve(frame_len(body.len()));
        put_header(self.frame_type(), body.len(), dst);
        dst.put_slice(body);
    }
}

/// Checks a text message as a whole. A byte order mark is part of the message.
fn text(body: Bytes) -> Result<Frame, FrameError> {
    match std::str::from_utf8(&body) {
        Ok(_) => Ok(Frame::Text(body)),
        Err(error) => Err(FrameError::NotUtf8(error.valid_up_to())),
    }
}

#[cfg(test)]
mod tests;
