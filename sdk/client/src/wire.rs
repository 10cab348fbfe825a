//! Frames as the stream machine has them, and their codec. The driver's transports and the simulation encode and decode.

use bytes::{Bytes, BytesMut};
use minerva_proto::{
    FrameError, Framing, FramingError, KillReason, MAX_FRAME, Message, MessageNumber, Reset, Sack,
    Utf8Bytes,
};

/// A frame, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The JSON text of a hello.
    Hello(Bytes),
    /// An application message.
    Message(Message),
    /// Number of the next message on this transport.
    SeqNum(MessageNumber),
    /// Acknowledges received messages.
    Sack(Sack),
    /// The last SACK that the server has received.
    StreamStatus(Sack),
    /// The server has attached the stream.
    Created,
    /// Request of the server to close the connection.
    YouCloseIt,
    /// Preamble, heartbeat or padding.
    Comment(Bytes),
    /// Ends the stream.
    Reset(Reset),
    /// The server ends this transport.
    Kill(KillReason),
}

/// Received bytes are not frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes cannot be cut into frames.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A frame is invalid.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Appends frames of the client.
pub fn encode(framing: Framing, frames: Vec<Frame>, dst: &mut BytesMut) {
    frames.into_iter().for_each(|frame| encode_frame(framing, frame, dst));
}

fn encode_frame(framing: Framing, frame: Frame, dst: &mut BytesMut) {
    use minerva_proto::Frame as Wire;
    let frame = match frame {
        Frame::Hello(json) => Wire::Hello(json),
        Frame::Message(message) => Wire::String(message.into_bytes()),
        Frame::SeqNum(number) => Wire::SeqNum(number),
        Frame::Sack(sack) => Wire::Sack(sack),
        Frame::StreamStatus(sack) => Wire::StreamStatus(sack),
        Frame::Created => Wire::StreamCreated,
        Frame::YouCloseIt => Wire::YouCloseIt,
        Frame::Comment(text) => Wire::Comment(text),
        Frame::Reset(reset) => Wire::Reset(reset),
        Frame::Kill(reason) => Wire::TransportKill(reason),
    };
    framing.put(&frame, dst);
}

/// Takes all complete frames out of `buf`.
///
/// # Errors
/// If the bytes are not frames.
pub fn decode(framing: Framing, buf: &mut BytesMut) -> Result<Vec<Frame>, DecodeError> {
    let mut frames = Vec::new();
    while let Some(bytes) = framing.cut(buf, MAX_FRAME)? {
        frames.push(frame_of(minerva_proto::Frame::decode(bytes)?)?);
    }
    Ok(frames)
}

fn frame_of(frame: minerva_proto::Frame) -> Result<Frame, FrameError> {
    use minerva_proto::Frame as Wire;
    Ok(match frame {
        Wire::Hello(json) => Frame::Hello(json),
        Wire::String(text) => {
            // Decoded frames are ASCII.
            let text = Utf8Bytes::try_from(text).map_err(|_| FrameError::Arguments(b' '))?;
            Frame::Message(text.into())
        }
        Wire::SeqNum(number) => Frame::SeqNum(number),
        Wire::Sack(sack) => Frame::Sack(sack),
        Wire::StreamStatus(sack) => Frame::StreamStatus(sack),
        Wire::StreamCreated => Frame::Created,
        Wire::YouCloseIt => Frame::YouCloseIt,
        Wire::Comment(text) => Frame::Comment(text),
        Wire::Reset(reset) => Frame::Reset(reset),
        Wire::TransportKill(reason) => Frame::Kill(reason),
    })
}
