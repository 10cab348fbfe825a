//! Frames: what travels on a transport. A frame is a byte string whose last byte is its type. Owns
//! which frames there are and what their arguments may be; knows nothing of order, of streams or of who
//! may send which one. How bytes are cut into frames is [`Framing`]'s matter.

mod framing;
mod kill;
mod reset;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

pub use framing::{FrameCorruption, Framing};
pub use kill::KillReason;
pub use reset::Reset;

use crate::{MessageNumber, Sack, decimal, is_message_allowed};

/// One unit on a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `H`, from the client: the JSON text, not yet checked ([`crate::Hello::parse`] does).
    Hello(Bytes),
    /// Space, both ways: one application message, bytes 0x20-0x7E only.
    String(Bytes),
    /// `N`, both ways: the number of the next string on this transport.
    SeqNum(MessageNumber),
    /// `A`, both ways: which strings were received.
    Sack(Sack),
    /// `T`, from the server: the last SACK it saw from the client.
    StreamStatus(Sack),
    /// `C`, from the server: the answer to a hello with `new`.
    StreamCreated,
    /// `Y`, from the server: client, please close this connection.
    YouCloseIt,
    /// `^`, from the server: preamble, heartbeat, padding.
    Comment(Bytes),
    /// `!`, both ways: the stream is given up.
    Reset(Reset),
    /// `K`, from the server: this transport is over, the stream is not.
    TransportKill(KillReason),
}

/// Bytes that are no frame; answered with [`KillReason::InvalidFrameTypeOrArguments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not even a type byte.
    #[error("empty frame")]
    Empty,
    /// No such type.
    #[error("unknown frame type 0x{0:02x}")]
    UnknownType(u8),
    /// The type is known, its arguments are wrong.
    #[error("wrong arguments for frame type 0x{0:02x}")]
    Arguments(u8),
}

impl Frame {
    /// Reads one frame, of either direction, and checks its arguments.
    ///
    /// # Errors
    /// If the bytes are no frame.
    pub fn decode(mut bytes: Bytes) -> Result<Self, FrameError> {
        let Some(&kind) = bytes.last() else {
            return Err(FrameError::Empty);
        };
        bytes.truncate(bytes.len() - 1);
        let frame = match kind {
            b'H' => Some(Self::Hello(bytes)),
            b' ' => is_message_allowed(&bytes).then_some(Self::String(bytes)),
            b'N' => decimal::parse(&bytes).map(|number| Self::SeqNum(MessageNumber(number))),
            b'A' => Sack::parse(&bytes).ok().map(Self::Sack),
            b'T' => Sack::parse(&bytes).ok().map(Self::StreamStatus),
            b'C' => bytes.is_empty().then_some(Self::StreamCreated),
            b'Y' => bytes.is_empty().then_some(Self::YouCloseIt),
            b'^' => Some(Self::Comment(bytes)),
            b'!' => Reset::parse(&bytes).map(Self::Reset),
            b'K' => KillReason::parse(&bytes).map(Self::TransportKill),
            _ => return Err(FrameError::UnknownType(kind)),
        };
        frame.ok_or(FrameError::Arguments(kind))
    }

    /// Appends the frame's bytes, without the framing around it.
    pub fn encode(&self, dst: &mut BytesMut) {
        dst.reserve(self.encoded_len());
        match self {
            Self::Hello(json) => dst.put_slice(json),
            Self::String(string) => dst.put_slice(string),
            Self::SeqNum(number) => dst.put_slice(number.to_string().as_bytes()),
            Self::Sack(sack) | Self::StreamStatus(sack) => {
                dst.put_slice(sack.to_string().as_bytes());
            }
            Self::StreamCreated | Self::YouCloseIt => {}
            Self::Comment(text) => dst.put_slice(text),
            Self::Reset(reset) => reset.encode(dst),
            Self::TransportKill(reason) => dst.put_slice(reason.as_str().as_bytes()),
        }
        dst.put_u8(self.type_byte());
    }

    /// How many bytes [`Frame::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        let arguments = match self {
            Self::Hello(bytes) | Self::String(bytes) | Self::Comment(bytes) => bytes.len(),
            Self::SeqNum(number) => decimal::decimal_len(number.0),
            Self::Sack(sack) | Self::StreamStatus(sack) => sack.text_len(),
            Self::StreamCreated | Self::YouCloseIt => 0,
            Self::Reset(reset) => reset.encoded_len(),
            Self::TransportKill(reason) => reason.as_str().len(),
        };
        arguments + 1
    }

    /// Whether a server accepts this frame (in its place: a hello only as the first one).
    pub fn is_from_client(&self) -> bool {
        match self {
            Self::Hello(_) | Self::String(_) | Self::SeqNum(_) | Self::Sack(_) | Self::Reset(_) => {
                true
            }
            Self::StreamStatus(_)
            | Self::StreamCreated
            | Self::YouCloseIt
            | Self::Comment(_)
            | Self::TransportKill(_) => false,
        }
    }

    fn type_byte(&self) -> u8 {
        match self {
            Self::Hello(_) => b'H',
            Self::String(_) => b' ',
            Self::SeqNum(_) => b'N',
            Self::Sack(_) => b'A',
            Self::StreamStatus(_) => b'T',
            Self::StreamCreated => b'C',
            Self::YouCloseIt => b'Y',
            Self::Comment(_) => b'^',
            Self::Reset(_) => b'!',
            Self::TransportKill(_) => b'K',
        }
    }
}
