//! Frames of both versions of the protocol as the stream machine has them, and their codec. The driver's transports and the
//! simulation encode and decode; the machine chooses the version of each transport.
#![cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "the simulation has the codec of the client")
)]

mod compression;

use bytes::{BufMut, Bytes, BytesMut};
use minerva_proto::v3::{self, FrameType, Refusal, Welcome};
use minerva_proto::{
    FrameError, Framing, FramingError, KillReason, MAX_FRAME, Message, MessageNumber, MessageTag,
    Reset, Sack, Utf8Bytes,
};

/// Version of the protocol on a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireVersion {
    /// Text of the bytes 0x20-0x7E.
    V2,
    /// Text and binary messages, resume keys and refusals.
    V3,
}

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
    /// Version 2: the server has attached the stream.
    Created,
    /// Version 3: the server has attached the transport.
    Welcome(Welcome),
    /// Version 3: claim tag of the messages from a number on.
    ClaimTag(MessageTag),
    /// Request of the server to close the connection.
    YouCloseIt,
    /// Preamble, heartbeat or padding.
    Comment(Bytes),
    /// Ends the stream.
    Reset(Reset),
    /// Version 2: the server ends this transport.
    Kill(KillReason),
    /// Version 3: the server ends this transport.
    Refusal(Refusal),
    /// Version 3: the server asks for new credentials.
    CredentialsWanted,
    /// Version 3: new credentials of the client.
    Credentials(String),
    /// Version 3: messages of the client, with their numbers, to be compressed if worth it.
    Run(Vec<Self>),
}

/// Received bytes are not frames of the version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes cannot be cut into frames.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A frame of version 2 is invalid.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame of version 3 is invalid.
    #[error(transparent)]
    Version3(#[from] v3::FrameError),
    /// The answer to a hello of version 3 has the form of version 2.
    #[error(
        "the server has version 2 of the protocol, which carries only text of the bytes 0x20-0x7E"
    )]
    OnlyVersion2,
    /// The answer to a hello begins with no frame.
    #[error("the answer is not from a Minerva server")]
    Foreign,
}

/// Checks the first byte of the answer to a hello: whether the answer has the version of the hello.
///
/// # Errors
/// If the answer to a hello of version 3 has version 2 or is no frame.
pub fn check_answer(version: WireVersion, answer: &[u8]) -> Result<(), DecodeError> {
    match answer.first() {
        Some(0 | b';') if version == WireVersion::V3 => Err(DecodeError::OnlyVersion2),
        Some(byte) if version == WireVersion::V3 && FrameType::from_byte(*byte).is_none() => {
            Err(DecodeError::Foreign)
        }
        Some(_) | None => Ok(()),
    }
}

/// Appends frames of the client. `framing` is that of version 2, which a hello of version 3 has as well.
pub fn encode(version: WireVersion, framing: Framing, frames: Vec<Frame>, dst: &mut BytesMut) {
    for frame in frames {
        match (version, frame) {
            (_, Frame::Hello(json)) => framing.put(&minerva_proto::Frame::Hello(json), dst),
            (WireVersion::V2, frame) => encode_v2(framing, frame, dst),
            (WireVersion::V3, frame) => encode_v3(frame, dst),
        }
    }
}

fn encode_v2(framing: Framing, frame: Frame, dst: &mut BytesMut) {
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
        // Do not exist in version 2.
        Frame::Welcome(_)
        | Frame::ClaimTag(_)
        | Frame::Refusal(_)
        | Frame::CredentialsWanted
        | Frame::Credentials(_)
        | Frame::Run(_) => return,
    };
    framing.put(&frame, dst);
}

fn encode_v3(frame: Frame, dst: &mut BytesMut) {
    use v3::Frame as Wire;
    let frame = match frame {
        Frame::Message(message) => return put_message(&message, dst),
        Frame::Run(frames) => return compression::put_run(frames, dst),
        Frame::SeqNum(number) => Wire::SeqNum(number),
        Frame::Sack(sack) => Wire::Sack(sack),
        Frame::StreamStatus(sack) => Wire::StreamStatus(sack),
        Frame::Welcome(welcome) => Wire::Welcome(welcome),
        Frame::ClaimTag(tag) => Wire::ClaimTag(tag),
        Frame::YouCloseIt => Wire::YouCloseIt,
        Frame::Comment(text) => Wire::Comment(text),
        Frame::Reset(reset) => Wire::Reset(reset),
        Frame::Refusal(refusal) => Wire::Refusal(refusal),
        Frame::Credentials(new) => Wire::Renewal(v3::Renewal::Credentials(new)),
        // A request of servers.
        Frame::CredentialsWanted => return,
        // Do not exist in version 3.
        Frame::Hello(_) | Frame::Created | Frame::Kill(_) => return,
    };
    frame.encode(dst);
}

fn put_message(message: &Message, dst: &mut BytesMut) {
    let frame_type = match message {
        Message::Text(_) => FrameType::Text,
        Message::Binary(_) => FrameType::Binary,
    };
    dst.reserve(v3::frame_len(message.len()));
    v3::put_header(frame_type, message.len(), dst);
    dst.put_slice(message.as_bytes());
}

/// Takes all complete frames out of `buf`. Frames without a meaning for clients are skipped.
///
/// # Errors
/// If the bytes are not frames of the version.
pub fn decode(
    version: WireVersion,
    framing: Framing,
    buf: &mut BytesMut,
) -> Result<Vec<Frame>, DecodeError> {
    let mut frames = Vec::new();
    match version {
        WireVersion::V2 => {
            while let Some(bytes) = framing.cut(buf, MAX_FRAME)? {
                frames.push(decode_v2(bytes)?);
            }
        }
        WireVersion::V3 => {
            while let Some(raw) = v3::cut(buf, v3::MAX_MESSAGE)? {
                if raw.frame_type == FrameType::Compressed {
                    compression::inflate(&raw.body, &mut frames)?;
                } else {
                    frames.extend(decode_v3(raw)?);
                }
            }
        }
    }
    Ok(frames)
}

fn decode_v2(bytes: Bytes) -> Result<Frame, FrameError> {
    use minerva_proto::Frame as Wire;
    Ok(match Wire::decode(bytes)? {
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

/// Decodes one frame of version 3; `None` for an addition.
fn decode_v3(raw: v3::RawFrame) -> Result<Option<Frame>, v3::FrameError> {
    use v3::Frame as Wire;
    if raw.frame_type == FrameType::Text {
        // Checks the text once.
        let text = Utf8Bytes::try_from(raw.body);
        let text = text.map_err(|error| v3::FrameError::NotUtf8(error.0))?;
        return Ok(Some(Frame::Message(text.into())));
    }
    Ok(Some(match Wire::decode(raw)? {
        Wire::Text(text) | Wire::Binary(text) => Frame::Message(Message::Binary(text)),
        Wire::Welcome(welcome) => Frame::Welcome(welcome),
        Wire::SeqNum(number) => Frame::SeqNum(number),
        Wire::Sack(sack) => Frame::Sack(sack),
        Wire::StreamStatus(sack) => Frame::StreamStatus(sack),
        Wire::YouCloseIt => Frame::YouCloseIt,
        Wire::Comment(text) => Frame::Comment(text),
        Wire::ClaimTag(tag) => Frame::ClaimTag(tag),
        Wire::Refusal(refusal) => Frame::Refusal(refusal),
        Wire::Reset(reset) => Frame::Reset(reset),
        Wire::Renewal(v3::Renewal::Wanted(_)) => Frame::CredentialsWanted,
        Wire::Renewal(v3::Renewal::Credentials(new)) => Frame::Credentials(new),
        Wire::Extension(_) => return Ok(None),
        // A run has no run inside.
        Wire::Compressed(_) => return Err(v3::FrameError::Compressed),
    }))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
