//! Text forms of claim tags: `FIRST TAG` in an `L` frame and in the hello's `line`, `STREAM.TAG` in `born`.

use std::fmt;

use crate::{ClaimTag, MessageNumber, MessageTag, ReceivedTags, StreamNumber, decimal};

/// The creation of a stream: its number, and the tag of the claim that created the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCreation {
    /// The number of the stream, never 0.
    pub stream: StreamNumber,
    /// The tag of the claim.
    pub tag: ClaimTag,
}

impl StreamCreation {
    /// Parses `STREAM.TAG`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (stream, tag) = split(text, b'.')?;
        // Stream numbers use all 64 bits, unlike the other numbers on the wire.
        let number = decimal::parse_u64(stream).filter(|number| *number > 0)?;
        Some(Self { stream: StreamNumber(number), tag: ClaimTag::parse(tag)? })
    }
}

impl fmt::Display for StreamCreation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stream, self.tag)
    }
}

/// Parses `FIRST TAG`.
pub(super) fn parse_tag(text: &[u8]) -> Option<MessageTag> {
    let (first, tag) = split(text, b' ')?;
    Some(MessageTag { first: MessageNumber(decimal::parse(first)?), tag: ClaimTag::parse(tag)? })
}

/// The text `FIRST TAG`.
pub(super) fn format_tag(pair: &MessageTag) -> String {
    format!("{} {}", pair.first, pair.tag)
}

/// Parses one or more pairs, separated by commas.
pub(super) fn parse_tags(text: &[u8]) -> Option<ReceivedTags> {
    let pairs = text.split(|&byte| byte == b',').take(crate::MAX_TAG_PAIRS + 1).map(parse_tag);
    ReceivedTags::new(pairs.collect::<Option<_>>()?).ok()
}

/// The text of the pairs, separated by commas.
pub(super) fn format_tags(tags: &ReceivedTags) -> String {
    tags.pairs().iter().map(format_tag).collect::<Vec<_>>().join(",")
}

fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_TAG_PAIRS;

    #[test]
    fn a_creation_has_a_number_of_64_bits() {
        for text in ["1.0000000000000000", "18446744073709551615.ffffffffffffffff"] {
            assert_eq!(StreamCreation::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for wrong in [
            "0.0000000000000001",
            "01.0000000000000001",
            "18446744073709551616.0000000000000001",
            "1 0000000000000001",
            "1.000000000000001",
            "1.00000000000000001",
            "1.000000000000000A",
            "1.+000000000000001",
            ".0000000000000001",
            "1",
            "",
        ] {
            assert_eq!(StreamCreation::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn pairs_ascend_and_are_bounded() {
        for (count, ok) in [
            (0, false),
            (1, true),
            (MAX_TAG_PAIRS - 1, true),
            (MAX_TAG_PAIRS, true),
            (MAX_TAG_PAIRS + 1, false),
        ] {
            let pairs: Vec<_> = (0..count).map(|first| format!("{first} {first:016x}")).collect();
            let text = pairs.join(",");
            let tags = parse_tags(text.as_bytes());
            assert_eq!(tags.is_some(), ok, "{count}");
            assert!(tags.is_none_or(|tags| format_tags(&tags) == text), "{text}");
        }
        for wrong in ["1 0000000000000001,1 0000000000000002", "1 0000000000000001,", "1  1", ","] {
            assert_eq!(parse_tags(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
