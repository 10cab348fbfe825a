//! Lengths of version 3: unsigned LEB128 in the shortest form, 1 to 3 bytes. Used by frame headers and compressed runs.

use bytes::BufMut;

/// Most bytes of a length.
pub(super) const MAX_LENGTH_BYTES: usize = 3;

/// A length is not in the shortest form, or has more than [`MAX_LENGTH_BYTES`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LengthError;

/// Parses the length at the front of `bytes`; returns the length and the number of parsed bytes, `None` if bytes are
/// missing.
pub(super) fn parse_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, LengthError> {
    let mut length = 0;
    for (index, &byte) in bytes.iter().take(MAX_LENGTH_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let is_shortest = byte != 0 || index == 0;
            return if is_shortest { Ok(Some((length, index + 1))) } else { Err(LengthError) };
        }
    }
    if bytes.len() < MAX_LENGTH_BYTES { Ok(None) } else { Err(LengthError) }
}

/// Appends a length. The callers' limits are below 2^21, the first length with more than [`MAX_LENGTH_BYTES`] bytes.
pub(super) fn put_length(mut length: usize, dst: &mut impl BufMut) {
    while length >= 0x80 {
        dst.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    dst.put_u8(length as u8);
}

/// The number of bytes that [`put_length`] appends.
pub(super) const fn length_len(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_round_trip_at_their_boundaries() {
        for boundary in [0_usize, 1 << 7, 1 << 14, 1 << 20, (1 << 21) - 2] {
            for length in boundary.saturating_sub(1)..=boundary + 1 {
                let mut bytes = Vec::new();
                put_length(length, &mut bytes);
                assert_eq!(bytes.len(), length_len(length), "{length}");
                assert_eq!(parse_length(&bytes), Ok(Some((length, bytes.len()))), "{length}");
                for missing in 0..bytes.len() {
                    assert_eq!(parse_length(&bytes[..missing]), Ok(None), "{length}");
                }
            }
        }
    }

    #[test]
    fn a_length_is_in_the_shortest_form() {
        for wrong in [&[0x80, 0][..], &[0xff, 0], &[0x80, 0x80, 0], &[0xff, 0xff, 0], &[0x81; 3]] {
            assert_eq!(parse_length(wrong), Err(LengthError), "{wrong:?}");
        }
    }
}
