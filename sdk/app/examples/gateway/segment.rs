//! Segments: the bytes of a connection as messages of a stream. A binary message is a raw segment. A text message is
//! base64 (RFC 4648 section 4, with padding), for clients that accept text only. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use minerva_app::{Accepts, Message};

/// Most bytes of a segment: 64 KiB as base64, and less than the limit of a message in either form.
pub(crate) const MAX_SEGMENT: usize = 48 << 10;
/// Longest segment in base64.
const MAX_BASE64: usize = MAX_SEGMENT / 3 * 4;

/// A message is not a valid segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error("not base64")]
    NotBase64,
    #[error("a segment of more than {MAX_SEGMENT} bytes")]
    TooLong,
}

/// Encodes a segment as a message that the client accepts.
pub(crate) fn encode(bytes: &[u8], accepts: Accepts) -> Message {
    match accepts {
        Accepts::TextAndBinary => bytes.into(),
        Accepts::AsciiText => STANDARD.encode(bytes).into(),
    }
}

/// Decodes a message; a segment may be empty.
pub(crate) fn decode(message: Message) -> Result<Bytes, SegmentError> {
    match message {
        Message::Binary(bytes) if bytes.len() <= MAX_SEGMENT => Ok(bytes),
        Message::Text(text) if text.len() <= MAX_BASE64 => {
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| SegmentError::NotBase64)?;
            Ok(bytes.into())
        }
        Message::Binary(_) | Message::Text(_) => Err(SegmentError::TooLong),
    }
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
            assert_eq!(encode(bytes.as_bytes(), Accepts::AsciiText), message);
            assert_eq!(decode(message.into()), Ok(bytes.into()));
        }
    }

    #[test]
    fn every_byte_at_every_position_survives_as_a_message() {
        let all: Vec<u8> = (0..=255).collect();
        for from in 0..3 {
            let text = encode(&all[from..], Accepts::AsciiText);
            assert!(text.as_text().unwrap().bytes().all(|byte| matches!(byte, 0x20..=0x7E)));
            let binary = encode(&all[from..], Accepts::TextAndBinary);
            assert_eq!((binary.as_text(), binary.len()), (None, all.len() - from));
            for message in [text, binary] {
                assert_eq!(decode(message).unwrap(), all[from..]);
            }
        }
    }

    #[test]
    fn the_length_of_a_segment_is_bounded() {
        for (length, outcome) in [
            (MAX_SEGMENT - 1, Ok(())),
            (MAX_SEGMENT, Ok(())),
            (MAX_SEGMENT + 1, Err(SegmentError::TooLong)),
        ] {
            for accepts in [Accepts::AsciiText, Accepts::TextAndBinary] {
                let segment = decode(encode(&vec![0xFF; length], accepts));
                assert_eq!(segment.map(|bytes| assert_eq!(bytes.len(), length)), outcome);
            }
        }
    }

    #[test]
    fn invalid_base64_is_refused() {
        // Missing padding, excess padding, one letter, another alphabet, spaces, and non-zero trailing bits.
        for message in ["Zg", "Zg=", "Zg===", "Z", "_-==", "Zm9v ", "Zm 9v", "Zh==", "====", "PING"]
        {
            let expected = if message == "PING" { Ok(()) } else { Err(SegmentError::NotBase64) };
            assert_eq!(decode(message.into()).map(drop), expected, "{message}");
        }
    }
}
