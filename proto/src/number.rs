//! Numbers of the protocol, one type for each sequence, so that two of them cannot be confused.
//!
//! All parts of Minerva use these types in their state and interfaces. The generated gRPC types and the stored records
//! keep `u64`; their codecs convert with `.0` and `From<u64>`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use crate::stream_id::text_hash;

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// This number plus 1.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// This number minus 1; `None` for 0.
            pub const fn previous(self) -> Option<Self> {
                match self.0.checked_sub(1) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The distance from `earlier` to this number; `None` if `earlier` is greater.
            pub const fn checked_sub(self, earlier: Self) -> Option<u64> {
                self.0.checked_sub(earlier.0)
            }

            /// The distance from `earlier` to this number; 0 if `earlier` is greater.
            pub const fn saturating_sub(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }

            /// This number plus a distance; `None` above `u64::MAX`.
            pub const fn checked_add(self, distance: u64) -> Option<Self> {
                match self.0.checked_add(distance) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// This number plus a distance, at most `u64::MAX`.
            #[must_use]
            pub const fn saturating_add(self, distance: u64) -> Self {
                Self(self.0.saturating_add(distance))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl Add<u64> for $name {
            type Output = Self;

            fn add(self, distance: u64) -> Self {
                Self(self.0 + distance)
            }
        }

        impl AddAssign<u64> for $name {
            fn add_assign(&mut self, distance: u64) {
                self.0 += distance;
            }
        }

        impl Sub for $name {
            type Output = u64;

            fn sub(self, earlier: Self) -> u64 {
                self.0 - earlier.0
            }
        }
    )*};
}

number! {
    /// Number of a stream in a deployment, never 0 and never reused: the partition in the upper 16 bits, the count of
    /// streams that the partition has made in the lower 48.
    StreamNumber

    /// Number of a message in one direction of a stream, from 0; on the wire at most [`MAX_NUMBER`](crate::MAX_NUMBER).
    /// The sends of an application instance have their own sequence of this type.
    MessageNumber

    /// Number of an event of a stream, from 0: `Started`, one event for each c2s message, `Ended`.
    EventNumber

    /// Number of a transport of a stream, chosen by the client in ascending order (`tnum` of the hello).
    TransportNumber

    /// Number of a batch of one transport on the link, from 0.
    BatchNumber

    /// Position of an entry in the log of a partition.
    LogIndex
}

impl StreamNumber {
    /// Bits of the count.
    const COUNT_BITS: u32 = 48;

    /// The greatest count, 2^48 - 1.
    pub const MAX_COUNT: u64 = (1 << Self::COUNT_BITS) - 1;

    /// The number of the stream that is the `count`th of its partition; counts above [`Self::MAX_COUNT`] wrap.
    pub const fn new(partition: u16, count: u64) -> Self {
        Self((partition as u64) << Self::COUNT_BITS | (count & Self::MAX_COUNT))
    }

    /// The partition of the stream.
    pub const fn partition(self) -> u16 {
        (self.0 >> Self::COUNT_BITS) as u16
    }

    /// The position of the stream among those of its partition, from 1.
    pub const fn count(self) -> u64 {
        self.0 & Self::MAX_COUNT
    }
}

/// Tag of one claim of a partition: distinguishes the numbers that different owners assigned after a store rollback.
///
/// The epoch modulo 2^32 in the upper half, a hash of the owner name in the lower half. An owner name belongs to one
/// process, and a process claims an epoch of a partition at most once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimTag(pub u64);

impl ClaimTag {
    /// The tag of content that was stored without a tag.
    pub const UNKNOWN: Self = Self(0);

    /// The tag of the claim of `epoch` by `owner`; never [`Self::UNKNOWN`].
    pub fn new(epoch: u64, owner: &str) -> Self {
        let tag = epoch << 32 | text_hash(owner) >> 32;
        Self(tag.max(1))
    }

    /// Parses the text form: 16 hex digits, lower case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let text = std::str::from_utf8(text).ok()?;
        let is_canonical = text.len() == 16 && text.as_bytes().iter().all(is_digit);
        is_canonical.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }

    /// The epoch of the claim, modulo 2^32.
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether the owner of this claim may have made the claim `other`, too.
    pub const fn has_owner_of(self, other: Self) -> bool {
        self.0 as u32 == other.0 as u32
    }

    /// Whether this is the tag of a claim.
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for ClaimTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_tag_holds_the_epoch_and_a_hash_of_the_owner() {
        let tag = ClaimTag::new(7, "core-1");
        assert_eq!((tag.0 >> 32, tag.epoch()), (7, 7));
        assert_eq!(tag.0 as u32, (text_hash("core-1") >> 32) as u32);
        assert_eq!(tag, ClaimTag::new(7 | 1 << 32, "core-1"), "epochs count modulo 2^32");
        assert_ne!(tag, ClaimTag::new(7, "core-2"));
        assert_ne!(tag, ClaimTag::new(8, "core-1"));
        assert!(tag.has_owner_of(ClaimTag::new(8, "core-1")));
        assert!(!tag.has_owner_of(ClaimTag::new(7, "core-2")));
        assert_eq!(ClaimTag(0x1f).to_string(), "000000000000001f");
        assert!(tag.is_known() && !ClaimTag::UNKNOWN.is_known());
    }

    #[test]
    fn the_text_of_a_claim_tag_is_canonical() {
        for tag in [0, 0x1f, u64::MAX] {
            assert_eq!(ClaimTag::parse(ClaimTag(tag).to_string().as_bytes()), Some(ClaimTag(tag)));
        }
        for wrong in ["", "1f", "000000000000001F", "00000000000000001", "+00000000000001f"] {
            assert_eq!(ClaimTag::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_stream_number_has_16_bits_of_partition_and_48_bits_of_count() {
        for (partition, count, number) in [
            (0, 1, 1),
            (1, 0, 1 << 48),
            (1, 2, 1 << 48 | 2),
            (0, StreamNumber::MAX_COUNT, (1 << 48) - 1),
            (u16::MAX, StreamNumber::MAX_COUNT, u64::MAX),
        ] {
            let stream = StreamNumber::new(partition, count);
            assert_eq!(stream, StreamNumber(number));
            assert_eq!((stream.partition(), stream.count()), (partition, count));
        }
        assert_eq!(StreamNumber::new(1, 1 << 48 | 7), StreamNumber::new(1, 7), "counts wrap");
    }

    #[test]
    fn differences_are_plain_numbers() {
        let (first, third) = (MessageNumber(1), MessageNumber(3));
        assert_eq!(third - first, 2);
        assert_eq!((first.checked_sub(third), first.saturating_sub(third)), (None, 0));
        assert_eq!((first.next(), first + 2), (MessageNumber(2), third));
        assert_eq!((first.previous(), MessageNumber(0).previous()), (Some(MessageNumber(0)), None));
        assert_eq!(MessageNumber(u64::MAX).checked_add(1), None);
        assert_eq!(MessageNumber(u64::MAX).saturating_add(1), MessageNumber(u64::MAX));
        assert_eq!(first.to_string(), "1");
    }
}
