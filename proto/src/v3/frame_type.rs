//! The type byte of a frame of version 3, and the rules that depend on the type alone.

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameType {
    /// `W`, from the server: the stream is attached.
    Welcome,
    /// `m`, both ways: a text message.
    Text,
    /// `b`, both ways: a binary message.
    Binary,
    /// `N`, both ways: number of the next message.
    SeqNum,
    /// `A`, both ways: acknowledgement.
    Sack,
    /// `T`, from the server: the last SACK received from the client.
    StreamStatus,
    /// `Y`, from the server: request to close the connection.
    YouCloseIt,
    /// `^`, both ways: comment; a heartbeat if empty.
    Comment,
    /// `L`, both ways: claim tag of the next messages.
    ClaimTag,
    /// `Z`, both ways: a compressed run of frames.
    Compressed,
    /// `R`, from the server: ends the transport with a reason.
    Refusal,
    /// `t`, both ways: renewal of credentials.
    Renewal,
    /// `!`, both ways: ends the stream.
    Reset,
    /// 0x80 to 0xff: reserved for additions that an older peer skips.
    Extension(u8),
}

impl FrameType {
    /// The types with a meaning in this version.
    pub const KNOWN: [Self; 13] = [
        Self::Welcome,
        Self::Text,
        Self::Binary,
        Self::SeqNum,
        Self::Sack,
        Self::StreamStatus,
        Self::YouCloseIt,
        Self::Comment,
        Self::ClaimTag,
        Self::Compressed,
        Self::Refusal,
        Self::Renewal,
        Self::Reset,
    ];

    /// The type of a type byte; `None` for an unknown byte below 0x80.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'W' => Self::Welcome,
            b'm' => Self::Text,
            b'b' => Self::Binary,
            b'N' => Self::SeqNum,
            b'A' => Self::Sack,
            b'T' => Self::StreamStatus,
            b'Y' => Self::YouCloseIt,
            b'^' => Self::Comment,
            b'L' => Self::ClaimTag,
            b'Z' => Self::Compressed,
            b'R' => Self::Refusal,
            b't' => Self::Renewal,
            b'!' => Self::Reset,
            0x80.. => Self::Extension(byte),
            _ => return None,
        })
    }

    /// The type byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Welcome => b'W',
            Self::Text => b'm',
            Self::Binary => b'b',
            Self::SeqNum => b'N',
            Self::Sack => b'A',
            Self::StreamStatus => b'T',
            Self::YouCloseIt => b'Y',
            Self::Comment => b'^',
            Self::ClaimTag => b'L',
            Self::Compressed => b'Z',
            Self::Refusal => b'R',
            Self::Renewal => b't',
            Self::Reset => b'!',
            Self::Extension(byte) => byte,
        }
    }

    /// Returns true for the types that a client may send.
    pub const fn is_from_client(self) -> bool {
        !matches!(self, Self::Welcome | Self::StreamStatus | Self::YouCloseIt | Self::Refusal)
    }

    /// Returns true for the types that a compressed run may contain.
    pub const fn is_compressible(self) -> bool {
        matches!(self, Self::SeqNum | Self::ClaimTag | Self::Text | Self::Binary)
    }

    /// Returns true for text and binary messages.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_byte_has_at_most_one_type() {
        let known = (0..=0x7f).filter(|byte| FrameType::from_byte(*byte).is_some()).count();
        assert_eq!(known, FrameType::KNOWN.len());
        for frame_type in
            FrameType::KNOWN.into_iter().chain((0x80..=0xff).map(FrameType::Extension))
        {
            assert_eq!(FrameType::from_byte(frame_type.byte()), Some(frame_type));
        }
    }
}
