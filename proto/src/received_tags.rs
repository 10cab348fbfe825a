//! Claim tags of s2c messages, as their receiver reports them. Carried by the link, compared by the owner of the stream.
//! Pure values; the owner's own tags are state of the core.

use crate::{ClaimTag, MessageNumber};

/// Limit of pairs in one report. One or two pairs are added when the partition has changed the owner.
pub const MAX_TAG_PAIRS: usize = 16;

/// A claim tag and the first message to which the tag applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageTag {
    /// Number of the first message.
    pub first: MessageNumber,
    /// The tag; applies up to the message before the next pair, which was received if the tag is known. Messages that
    /// were not received in between have the tag [`ClaimTag::UNKNOWN`].
    pub tag: ClaimTag,
}

/// The claim tags of the messages that a client has received, at most [`MAX_TAG_PAIRS`] pairs in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedTags {
    pairs: Vec<MessageTag>,
}

/// Pairs that are no report of received tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceivedTagsError {
    /// More than [`MAX_TAG_PAIRS`] pairs.
    #[error("has more than {MAX_TAG_PAIRS} pairs")]
    TooMany,
    /// A pair does not begin behind the pair before.
    #[error("the numbers must ascend")]
    Order,
}

impl ReceivedTags {
    /// Makes a report of pairs.
    ///
    /// # Errors
    /// If there are too many pairs, or their numbers do not ascend.
    pub fn new(pairs: Vec<MessageTag>) -> Result<Self, ReceivedTagsError> {
        if pairs.len() > MAX_TAG_PAIRS {
            return Err(ReceivedTagsError::TooMany);
        }
        if pairs.windows(2).any(|pair| pair[0].first >= pair[1].first) {
            return Err(ReceivedTagsError::Order);
        }
        Ok(Self { pairs })
    }

    /// Whether the receiver reports no tags.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs in ascending order.
    pub fn pairs(&self) -> &[MessageTag] {
        &self.pairs
    }

    /// The last message with each tag, except for the last pair, of which a SACK names the last message.
    pub fn last_messages(&self) -> impl Iterator<Item = (MessageNumber, ClaimTag)> {
        let last = |pair: &[MessageTag]| Some((pair[1].first.previous()?, pair[0].tag));
        self.pairs.windows(2).filter_map(last).filter(|(_, tag)| tag.is_known())
    }

    /// The tag with which a message was received; `None` if the tag is unknown.
    pub fn tag_of(&self, number: MessageNumber) -> Option<ClaimTag> {
        let pair = self.pairs.iter().rev().find(|pair| pair.first <= number)?;
        Some(pair.tag).filter(|tag| tag.is_known())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(u64, u64)]) -> Result<ReceivedTags, ReceivedTagsError> {
        let pair = |(first, tag): &(u64, u64)| MessageTag {
            first: MessageNumber(*first),
            tag: ClaimTag(*tag),
        };
        ReceivedTags::new(pairs.iter().map(pair).collect())
    }

    #[test]
    fn a_tag_applies_up_to_the_next_pair() {
        let tags = pairs(&[(2, 7), (5, 0), (6, 8)]).unwrap();
        let of = |number| tags.tag_of(MessageNumber(number)).map(|tag| tag.0);
        assert_eq!([of(1), of(2), of(4)], [None, Some(7), Some(7)]);
        assert_eq!([of(5), of(6), of(u64::MAX)], [None, Some(8), Some(8)]);
        let last: Vec<_> = tags.last_messages().map(|(number, tag)| (number.0, tag.0)).collect();
        assert_eq!(last, [(4, 7)], "an unknown tag has no last message");
        assert!(!tags.is_empty() && ReceivedTags::default().is_empty());
    }

    #[test]
    fn the_numbers_of_pairs_ascend() {
        for (second, ok) in [(1, false), (2, false), (3, true)] {
            assert_eq!(pairs(&[(2, 7), (second, 8)]).is_ok(), ok, "{second}");
        }
    }

    #[test]
    fn the_pairs_of_a_report_are_bounded() {
        for (count, ok) in
            [(MAX_TAG_PAIRS - 1, true), (MAX_TAG_PAIRS, true), (MAX_TAG_PAIRS + 1, false)]
        {
            let all: Vec<_> = (0..count as u64).map(|number| (number, number)).collect();
            assert_eq!(pairs(&all).is_ok(), ok, "{count}");
        }
    }
}
