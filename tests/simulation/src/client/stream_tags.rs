//! The claim tags of the messages that a client has received, and their report.

use std::collections::BTreeMap;

use minerva_client::simulation::Frame;
use minerva_proto::link::CreatedStream;
use minerva_proto::{ClaimTag, MAX_TAG_PAIRS, MessageNumber, MessageTag, ReceivedTags};

use crate::claim_tags::{ClientTags, HelloTags};

/// The claim tags of one stream.
#[derive(Debug, Default)]
pub(super) struct StreamTags {
    created: Option<CreatedStream>,
    /// Ranges of received messages with one tag: the end and the tag, by first number.
    ranges: BTreeMap<u64, (u64, ClaimTag)>,
}

impl StreamTags {
    /// Notes the creation of the stream. Returns false if the stream has no tag, as one of wire version 2.
    pub(super) fn on_created(&mut self, created: CreatedStream) -> bool {
        self.created.get_or_insert(created).tag.is_known()
    }

    /// Whether a message was received before under another tag.
    pub(super) fn contradicts(&self, number: MessageNumber, tag: ClaimTag) -> bool {
        let range = self.ranges.range(..=number.0).next_back();
        let known = range.filter(|(_, (end, _))| number.0 < *end).map(|(_, (_, tag))| *tag);
        known.is_some_and(|known| known != tag && known.is_known() && tag.is_known())
    }

    /// Notes a received message. The first tag of a number counts.
    pub(super) fn receive(&mut self, number: MessageNumber, tag: ClaimTag) {
        let (mut first, mut end) = (number.0, number.0 + 1);
        if let Some((left, (left_end, left_tag))) = self.ranges.range(..=first).next_back() {
            if number.0 < *left_end {
                return;
            }
            if (*left_end, *left_tag) == (number.0, tag) {
                first = *left;
            }
        }
        if self.ranges.get(&end).is_some_and(|(_, right_tag)| *right_tag == tag)
            && let Some((right_end, _)) = self.ranges.remove(&end)
        {
            end = right_end;
        }
        self.ranges.insert(first, (end, tag));
    }

    /// The reports beside these frames.
    pub(super) fn report(&self, frames: &[Frame]) -> ClientTags {
        let mut tags = ClientTags::default();
        for frame in frames {
            if let Frame::Hello(_) = frame {
                tags.hello = Some(HelloTags { created: self.created, received: self.received() });
            } else if let Frame::Sack(sack) = frame {
                tags.sacks.push((sack.clone(), self.received()));
            }
        }
        tags
    }

    /// The newest pairs of number and tag. A gap in front of another tag has no tag.
    fn received(&self) -> ReceivedTags {
        let mut pairs: Vec<MessageTag> = Vec::new();
        let (mut before, mut last) = (0, ClaimTag::UNKNOWN);
        for (first, (end, tag)) in &self.ranges {
            if *tag != last && before < *first {
                let tag = ClaimTag::UNKNOWN;
                pairs.push(MessageTag { first: MessageNumber(before), tag });
            }
            if *tag != last {
                pairs.push(MessageTag { first: MessageNumber(*first), tag: *tag });
            }
            (before, last) = (*end, *tag);
        }
        let newest = pairs.split_off(pairs.len().saturating_sub(MAX_TAG_PAIRS));
        match ReceivedTags::new(newest) {
            Ok(received) => received,
            Err(error) => unreachable!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClaimTag = ClaimTag(1);
    const B: ClaimTag = ClaimTag(2);

    fn received(messages: &[(u64, ClaimTag)]) -> StreamTags {
        let mut tags = StreamTags::default();
        messages.iter().for_each(|(number, tag)| tags.receive(MessageNumber(*number), *tag));
        tags
    }

    fn pairs(messages: &[(u64, ClaimTag)]) -> Vec<(u64, ClaimTag)> {
        let report = received(messages).received();
        report.pairs().iter().map(|pair| (pair.first.0, pair.tag)).collect()
    }

    #[test]
    fn a_report_has_one_pair_per_change_of_the_tag() {
        assert_eq!(pairs(&[(0, A), (1, A), (2, B), (3, B)]), [(0, A), (2, B)]);
        assert_eq!(pairs(&[(2, A), (0, A), (1, A)]), [(0, A)], "in any order");
        let gap = [(0, A), (1, ClaimTag::UNKNOWN), (3, B)];
        assert_eq!(pairs(&[(0, A), (3, B)]), gap, "missing messages have no tag");
        assert_eq!(pairs(&[(0, A), (3, A)]), [(0, A)], "the tag goes on behind the gap");
    }

    #[test]
    fn a_report_has_the_newest_pairs_up_to_the_limit() {
        let most = MAX_TAG_PAIRS as u64;
        for (count, first) in [(most - 1, 0), (most, 0), (most + 1, 1)] {
            let messages: Vec<_> = (0..count).map(|n| (n, ClaimTag(n + 1))).collect();
            let pairs = pairs(&messages);
            assert_eq!(
                (pairs.first(), pairs.len() as u64),
                (Some(&(first, ClaimTag(first + 1))), count.min(most))
            );
        }
    }

    #[test]
    fn only_another_known_tag_contradicts() {
        let tags = received(&[(0, A), (1, A), (2, B), (4, ClaimTag::UNKNOWN)]);
        for (number, tag, expected) in [
            (0, A, false),
            (1, B, true),
            (2, A, true),
            (2, ClaimTag::UNKNOWN, false),
            (3, A, false),
            (4, A, false),
        ] {
            assert_eq!(tags.contradicts(MessageNumber(number), tag), expected, "{number} {tag}");
        }
    }
}
