//! Frames of the wire protocol and their arguments. A frame is a byte string whose last byte is the type.
//!
//! Clients, edges and tests encode and decode with [`Frame`]; [`Framing`] delimits frames on a transport. The order of
//! frames and the state of a stream are the caller's responsibility.

mod framing;
mod kill;
mod reset;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

pub use framing::{Framing, FramingError};
pub use kill::KillReason;
pub use reset::Reset;

use crate::{MessageNumber, Sack, decimal, is_message_allowed};

/// One frame on a transport, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `H`, from the client: the unchecked JSON text; see [`crate::Hello::parse`].
    Hello(Bytes),
    /// Space, both ways: one application message of bytes 0x20-0x7E.
    String(Bytes),
    /// `N`, both ways: the number of the next message on this transport.
    SeqNum(MessageNumber),
    /// `A`, both ways: acknowledges received messages.
    Sack(Sack),
    /// `T`, from the server: the last SACK received from the client.
    StreamStatus(Sack),
    /// `C`, from the server: answer to a hello with `new`.
    StreamCreated,
    /// `Y`, from the server: request to the client to close the connection.
    YouCloseIt,
    /// `^`, from the server: preamble, heartbeat, padding.
    Comment(Bytes),
    /// `!`, both ways: ends the stream.
    Reset(Reset),
    /// `K`, from the server: ends this transport; the stream continues.
    TransportKill(KillReason),
}

/// The bytes are not a frame; the transport is killed with [`KillReason::InvalidFrameTypeOrArguments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame has no type byte.
    #[error("empty frame")]
    Empty,
    /// The type byte is unknown.
    #[error("unknown frame type 0x{0:02x}")]
    UnknownType(u8),
    /// The arguments are wrong for this type byte.
    #[error("wrong arguments for frame type 0x{0:02x}")]
    Arguments(u8),
}

impl Frame {
    /// Decodes one frame, of either direction, and checks its arguments.
    ///
    /// # Errors
    /// If the bytes are not a frame.
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

    /// Appends the bytes of the frame, without delimiters.
    pub fn encode(&self, dst: &mut BytesMut) {
        dst.reserve(self.encoded_len());
        match self {
            Self::Hello(json) => dst.put_slice(json),
            Self::String(message) => dst.put_slice(message),
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

    /// The number of bytes that [`Frame::encode`] appends.
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

    /// Returns true for the frames that a client may send; a hello is valid only as the first one.
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
