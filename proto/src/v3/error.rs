//! Faults of received frames, and the refusal for each.

use super::{Refusal, RefusalCode};

/// The bytes are not valid frames; the transport ends with [`FrameError::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The type byte is below 0x80 and unknown.
    #[error("unknown frame type 0x{0:02x}")]
    UnknownType(u8),
    /// The length is not in the shortest form, or has more than three bytes.
    #[error("the length of a frame is not in the shortest form")]
    Length,
    /// The body is longer than allowed for the type.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The announced length of the body.
        length: usize,
        /// The longest body of the type.
        limit: usize,
    },
    /// The body is wrong for this type byte.
    #[error("wrong body for frame type 0x{0:02x}")]
    Body(u8),
    /// A text message is not UTF-8.
    #[error("a text message is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// A compressed run is damaged, or longer or shorter than declared.
    #[error("a compressed run is damaged")]
    Compressed,
}

impl FrameError {
    /// The code of the refusal.
    pub const fn code(self) -> RefusalCode {
        match self {
            Self::UnknownType(_) | Self::Length | Self::Body(_) | Self::Compressed => {
                RefusalCode::Frame
            }
            Self::TooLarge { .. } => RefusalCode::TooLarge,
            Self::NotUtf8(_) => RefusalCode::Message,
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Self::with_title(error.code(), error)
    }
}
