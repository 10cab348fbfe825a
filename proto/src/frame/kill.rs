//! The argument of a TransportKill frame: why a server ends a transport and keeps the stream.

use std::fmt;

/// The five reasons of a TransportKill frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KillReason {
    /// The stream does not exist. Clients end the stream, so only the owner of the stream may send this reason.
    StreamAttachFailure,
    /// A SACK names messages that were never sent.
    AckedUnsentStrings,
    /// The bytes cannot be cut into frames, or a frame is too long.
    FrameCorruption,
    /// A frame is unknown, malformed or not allowed in its position.
    InvalidFrameTypeOrArguments,
    /// More messages beyond a gap than the receive window holds.
    RwinOverflow,
}

impl KillReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::StreamAttachFailure,
        Self::AckedUnsentStrings,
        Self::FrameCorruption,
        Self::InvalidFrameTypeOrArguments,
        Self::RwinOverflow,
    ];

    /// The text of the reason on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamAttachFailure => "stream_attach_failure",
            Self::AckedUnsentStrings => "acked_unsent_strings",
            Self::FrameCorruption => "frame_corruption",
            Self::InvalidFrameTypeOrArguments => "invalid_frame_type_or_arguments",
            Self::RwinOverflow => "rwin_overflow",
        }
    }

    /// Parses the text of a reason.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str().as_bytes() == text)
    }
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
