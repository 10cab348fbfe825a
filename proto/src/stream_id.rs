//! The stream id, a secret chosen by the client: rules, partition hash, and the short hash for logs.

use std::fmt;
use std::sync::Arc;

/// Shortest stream id, in characters.
pub const MIN_STREAM_ID: usize = 20;
/// Longest stream id, in characters.
pub const MAX_STREAM_ID: usize = 30;

/// The secret name of a stream: 20 to 30 ASCII characters.
///
/// The id grants full access to the stream, so `Debug` and `Display` write [`StreamId::short_hash`] instead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Arc<str>);

/// A text is not a stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// The text is too short or too long.
    #[error("a stream id has {MIN_STREAM_ID} to {MAX_STREAM_ID} characters")]
    Length,
    /// The text has a character outside ASCII.
    #[error("a stream id is ASCII")]
    NotAscii,
}

impl StreamId {
    /// Parses a stream id. Control characters are allowed, as in the original protocol.
    ///
    /// # Errors
    /// If the length is wrong or a character is outside ASCII.
    pub fn parse(text: &str) -> Result<Self, StreamIdError> {
        if !text.is_ascii() {
            return Err(StreamIdError::NotAscii);
        }
        if !(MIN_STREAM_ID..=MAX_STREAM_ID).contains(&text.len()) {
            return Err(StreamIdError::Length);
        }
        Ok(Self(text.into()))
    }

    /// The secret text, for the wire and the store; never to be logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash that logs show in place of the id.
    pub fn short_hash(&self) -> ShortHash {
        // The high half is independent of the partition, which is taken from the low bits.
        ShortHash((self.stable_hash() >> 32) as u32)
    }

    /// The hash that selects the partition of a store without a key, by [`PartitionHash`](crate::PartitionHash); the same
    /// on every machine and in every version.
    ///
    /// FNV-1a (64 bits), then the finaliser of MurmurHash3, because the low bits of FNV alone are poorly distributed.
    pub(crate) fn stable_hash(&self) -> u64 {
        text_hash(&self.0)
    }
}

/// FNV-1a (64 bits), then the finaliser of MurmurHash3. Stored and sent values depend on the result.
pub(crate) fn text_hash(text: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    mix(text.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
}

/// The 64-bit finaliser of MurmurHash3.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.short_hash())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.short_hash().fmt(f)
    }
}

/// Eight hex digits that identify a stream in logs without revealing the id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortHash(u32);

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_20_to_30() {
        for (length, ok) in [(0, false), (19, false), (20, true), (30, true), (31, false)] {
            assert_eq!(StreamId::parse(&"a".repeat(length)).is_ok(), ok, "{length}");
        }
    }

    #[test]
    fn all_ascii_characters_are_allowed() {
        let text = "\u{1}\u{7f} ~!\"abcdefghijklmnop";
        assert_eq!(StreamId::parse(text).map(|id| id.as_str().to_owned()), Ok(text.to_owned()));
        assert_eq!(StreamId::parse("é23456789012345678901"), Err(StreamIdError::NotAscii));
    }

    #[test]
    fn debug_and_display_hide_the_id() {
        let id = StreamId::parse("secret-secret-secret").unwrap();
        for shown in [format!("{id}"), format!("{id:?}"), format!("{:?}", id.short_hash())] {
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert_eq!(id.to_string().len(), 8);
    }

    /// Stored streams are located by these values, so they must never change.
    #[test]
    fn hash_is_stable() {
        let hash = |text: &str| StreamId::parse(text).unwrap().stable_hash();
        assert_eq!(hash("aaaaaaaaaaaaaaaaaaaa"), 0xc074_9e0d_4cd8_f92a);
        assert_eq!(hash("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123"), 0xeacd_57dd_4f1f_85f9);
    }

    #[test]
    fn hash_spreads_over_partitions() {
        let mut counts = [0_u32; 64];
        for n in 0..6400 {
            let id = StreamId::parse(&format!("stream-number-{n:08}")).unwrap();
            counts[(id.stable_hash() % 64) as usize] += 1;
        }
        assert!(counts.iter().all(|&n| (50..=160).contains(&n)), "{counts:?}");
    }
}
