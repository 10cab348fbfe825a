//! Frames of the server that both versions of the wire protocol have. Encoded by `outbound.rs`.

use bytes::Bytes;
use minerva_proto::{Frame, Reset, Sack, v3};

/// Text of the heartbeat comment of version 2.
const HEARTBEAT: &[u8] = b"beat";

/// A frame that has a form in each version.
#[derive(Debug)]
pub(super) enum ServerFrame {
    /// Acknowledges messages of the client.
    Sack(Sack),
    /// The last SACK received from the client.
    Status(Sack),
    /// The end of the stream.
    Reset(Reset),
    /// A sign of life.
    Heartbeat,
    /// Request to the client to close the connection.
    YouCloseIt,
}

impl ServerFrame {
    /// The form in version 2.
    pub(super) fn into_v2(self) -> Frame {
        match self {
            Self::Sack(sack) => Frame::Sack(sack),
            Self::Status(sack) => Frame::StreamStatus(sack),
            Self::Reset(reset) => Frame::Reset(reset),
            Self::Heartbeat => Frame::Comment(Bytes::from_static(HEARTBEAT)),
            Self::YouCloseIt => Frame::YouCloseIt,
        }
    }

    /// The form in version 3.
    pub(super) fn into_v3(self) -> v3::Frame {
        match self {
            Self::Sack(sack) => v3::Frame::Sack(sack),
            Self::Status(sack) => v3::Frame::StreamStatus(sack),
            Self::Reset(reset) => v3::Frame::Reset(reset),
            Self::Heartbeat => v3::Frame::Comment(Bytes::new()),
            Self::YouCloseIt => v3::Frame::YouCloseIt,
        }
    }
}
