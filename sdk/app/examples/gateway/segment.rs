//! Segments: the bytes of a connection as messages of a stream, in base64 (RFC 4648 section 4, with padding),
//! because a message has bytes 0x20-0x7E only. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Most bytes of a segment: 64 KiB as base64.
pub(crate) const MAX_SEGMENT: usize = 48 << 10;
/// Longest encoded segment.
const MAX_MESSAGE: usize = MAX_SEGMENT / 3 * 4;

/// A message is not a valid segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error("not base64")]
    NotBase64,
    #[error("a segment of more than {MAX_SEGMENT} bytes")]
    TooLong,
}

/// Encodes a segment as a message.
pub(crate) fn encode(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

/// Decodes a message; a segment may be empty.
pub(crate) fn decode(message: &[u8]) -> Result<Vec<u8>, SegmentError> {
    if message.len() > MAX_MESSAGE {
        return Err(SegmentError::TooLong);
    }
    STANDARD.decode(message).map_err(|_| SegmentError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_match_the_rfc_vectors() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("\0~\u{3e}", "AH4+"),
        ];
        for (bytes, message) in vectors {
            assert_eq!(encode(bytes.as_bytes()), message);
            assert_eq!(decode(message.as_bytes()), Ok(bytes.as_bytes().to_vec()));
        }
    }

    #[test]
    fn every_byte_at_every_position_survives_as_a_message() {
        let all: Vec<u8> = (0..=255).collect();
        for from in 0..3 {
            let message = encode(&all[from..]);
            assert!(message.iter().all(|byte| matches!(byte, 0x20..=0x7E)));
            assert_eq!(decode(&message).unwrap(), all[from..]);
        }
    }

    #[test]
    fn the_length_of_a_segment_is_bounded() {
        for (length, outcome) in [
            (MAX_SEGMENT - 1, Ok(())),
            (MAX_SEGMENT, Ok(())),
            (MAX_SEGMENT + 1, Err(SegmentError::TooLong)),
        ] {
            let message = encode(&vec![0xFF; length]);
            assert_eq!(decode(&message).map(|bytes| assert_eq!(bytes.len(), length)), outcome);
        }
    }

    #[test]
    fn invalid_base64_is_refused() {
        // Missing padding, excess padding, one letter, another alphabet, spaces, and non-zero trailing bits.
        for message in ["Zg", "Zg=", "Zg===", "Z", "_-==", "Zm9v ", "Zm 9v", "Zh==", "====", "PING"]
        {
            let expected = if message == "PING" { Ok(()) } else { Err(SegmentError::NotBase64) };
            assert_eq!(decode(message.as_bytes()).map(drop), expected, "{message}");
        }
    }
}
