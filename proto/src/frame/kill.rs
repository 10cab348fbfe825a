//! Why a server ended a transport but not its stream.

use std::fmt;

/// The five reasons of a TransportKill frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KillReason {
    /// There is no such stream. Only for a server that knows it: clients give the stream up.
    StreamAttachFailure,
    /// A SACK named strings that were never queued.
    AckedUnsentStrings,
    /// The bytes cannot be cut into frames, or a frame is too long.
    FrameCorruption,
    /// A frame that is unknown, malformed or not allowed in its place.
    InvalidFrameTypeOrArguments,
    /// More strings past a gap than the receive window holds.
    RwinOverflow,
}

impl KillReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::StreamAttachFailure,
        Self::AckedUnsentStrings,
        Self::FrameCorruption,
        Self::InvalidFrameTypeOrArguments,
        Self::RwinOverflow,
    ];

    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamAttachFailure => "stream_attach_failure",
            Self::AckedUnsentStrings => "acked_unsent_strings",
            Self::FrameCorruption => "frame_corruption",
            Self::InvalidFrameTypeOrArguments => "invalid_frame_type_or_arguments",
            Self::RwinOverflow => "rwin_overflow",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str().as_bytes() == text)
    }
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
