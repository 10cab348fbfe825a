//! Claim tags of the received messages (version 3). Two messages with one number and different tags prove that the store of
//! the server has lost acknowledged writes. Pure; called by the stream machine.

use std::collections::BTreeMap;

use minerva_proto::{ClaimTag, MAX_TAG_PAIRS, MessageNumber, MessageTag, ReceivedTags};

/// Kept ranges of messages below the first missing one; older ranges are forgotten. A range is added when the partition of
/// the stream has changed the owner.
const MAX_RANGES: usize = 4 * MAX_TAG_PAIRS;

/// The claim tags of one stream. The ranges beyond the first missing message are bounded by the receive window.
#[derive(Debug, Default)]
pub(super) struct ClaimTags {
    /// Ranges of received messages with one tag: the end and the tag, by first number.
    ranges: BTreeMap<MessageNumber, (MessageNumber, ClaimTag)>,
}

impl ClaimTags {
    /// Whether a message was received before under another tag.
    pub(super) fn contradicts(&self, number: MessageNumber, tag: ClaimTag) -> bool {
        let range = self.ranges.range(..=number).next_back();
        let known = range.filter(|(_, (end, _))| number < *end).map(|(_, (_, tag))| *tag);
        known.is_some_and(|known| known != tag && known.is_known() && tag.is_known())
    }

    /// Records a received message; `missing` is the first missing one afterwards. The first tag of a number counts.
    pub(super) fn receive(&mut self, number: MessageNumber, tag: ClaimTag, missing: MessageNumber) {
        let (mut first, mut end) = (number, number.next());
        if let Some((left, (left_end, left_tag))) = self.ranges.range(..=number).next_back() {
            if number < *left_end {
                return;
            }
            if (*left_end, *left_tag) == (number, tag) {
                first = *left;
            }
        }
        if self.ranges.get(&end).is_some_and(|(_, right_tag)| *right_tag == tag)
            && let Some((right_end, _)) = self.ranges.remove(&end)
        {
            end = right_end;
        }
        self.ranges.insert(first, (end, tag));
        self.forget(missing);
    }

    /// Forgets the oldest ranges, but not that of the last message before the first missing one.
    fn forget(&mut self, missing: MessageNumber) {
        while self.ranges.len() > MAX_RANGES
            && self.ranges.keys().nth(1).is_some_and(|second| *second < missing)
        {
            self.ranges.pop_first();
        }
    }

    /// The report: the newest pairs of number and tag. A gap in front of another tag has no tag.
    pub(super) fn report(&self) -> ReceivedTags {
        let mut pairs: Vec<MessageTag> = Vec::new();
        let (mut before, mut last) = (MessageNumber(0), ClaimTag::UNKNOWN);
        for (&first, &(end, tag)) in &self.ranges {
            if tag != last && before < first && !pairs.is_empty() {
                pairs.push(MessageTag { first: before, tag: ClaimTag::UNKNOWN });
            }
            if tag != last {
                pairs.push(MessageTag { first, tag });
            }
            (before, last) = (end, tag);
        }
        let newest = pairs.split_off(pairs.len().saturating_sub(MAX_TAG_PAIRS));
        // The numbers ascend, because ranges do not overlap.
        ReceivedTags::new(newest).unwrap_or_default()
    }
}

/// The pairs to report again to a peer that has `known`: a pair replaces the known ones from its number on.
pub(super) fn changed<'a>(known: &ReceivedTags, now: &'a ReceivedTags) -> &'a [MessageTag] {
    let (known, now) = (known.pairs(), now.pairs());
    // The oldest pairs may have been forgotten since.
    let skipped =
        now.first().map_or(0, |first| known.partition_point(|pair| pair.first < first.first));
    let equal = known[skipped..].iter().zip(now).take_while(|(known, now)| known == now).count();
    &now[equal..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClaimTag = ClaimTag(1);
    const B: ClaimTag = ClaimTag(2);

    fn received(messages: &[(u64, ClaimTag)]) -> ClaimTags {
        let mut tags = ClaimTags::default();
        for (number, tag) in messages {
            tags.receive(MessageNumber(*number), *tag, MessageNumber(0));
        }
        tags
    }

    fn pairs(tags: &ReceivedTags) -> Vec<(u64, ClaimTag)> {
        tags.pairs().iter().map(|pair| (pair.first.0, pair.tag)).collect()
    }

    #[test]
    fn a_report_has_one_pair_per_change_of_the_tag() {
        let report = |messages| pairs(&received(messages).report());
        assert_eq!(report(&[(0, A), (1, A), (2, B), (3, B)]), [(0, A), (2, B)]);
        assert_eq!(report(&[(2, A), (0, A), (1, A)]), [(0, A)], "in any order");
        let gap = [(0, A), (1, ClaimTag::UNKNOWN), (3, B)];
        assert_eq!(report(&[(0, A), (3, B)]), gap, "missing messages have no tag");
        assert_eq!(report(&[(0, A), (3, A)]), [(0, A)], "the tag goes on behind the gap");
        assert_eq!(report(&[(4, B)]), [(4, B)], "nothing precedes the first range");
    }

    #[test]
    fn a_report_has_the_newest_pairs_up_to_the_limit() {
        let most = MAX_TAG_PAIRS as u64;
        for (count, first) in [(most - 1, 0), (most, 0), (most + 1, 1)] {
            let messages: Vec<_> = (0..count).map(|n| (n, ClaimTag(n + 1))).collect();
            let pairs = pairs(&received(&messages).report());
            let expected = (Some(&(first, ClaimTag(first + 1))), count.min(most));
            assert_eq!((pairs.first(), pairs.len() as u64), expected);
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

    #[test]
    fn the_oldest_ranges_below_the_missing_message_are_forgotten() {
        for count in [MAX_RANGES - 1, MAX_RANGES, MAX_RANGES + 1] {
            let mut tags = ClaimTags::default();
            for number in 0..count as u64 {
                let (number, tag) = (MessageNumber(number), ClaimTag(number % 2 + 1));
                tags.receive(number, tag, number.next());
            }
            assert_eq!(tags.ranges.len(), count.min(MAX_RANGES));
            assert_eq!(tags.contradicts(MessageNumber(0), B), count <= MAX_RANGES, "{count}");
        }
        // The range of the cumulative number is kept, whatever waits behind the gap.
        let mut tags = received(&[(0, A)]);
        for number in 0..=MAX_RANGES as u64 {
            tags.receive(MessageNumber(2 + 2 * number), B, MessageNumber(1));
        }
        assert!(tags.contradicts(MessageNumber(0), B));
    }

    #[test]
    fn changed_pairs_replace_those_of_the_peer() {
        let tags = |pairs: &[(u64, ClaimTag)]| {
            let pair = |(first, tag): &(u64, ClaimTag)| MessageTag {
                first: MessageNumber(*first),
                tag: *tag,
            };
            ReceivedTags::new(pairs.iter().map(pair).collect()).unwrap()
        };
        for (known, now, expected) in [
            (&[][..], &[(0, A)][..], 1),
            (&[(0, A)], &[(0, A)], 0),
            (&[(0, A)], &[(0, A), (3, B)], 1),
            (&[(0, A), (1, ClaimTag::UNKNOWN), (3, B)], &[(0, A), (1, B)], 1),
            // The oldest pair was dropped.
            (&[(0, A), (3, B)], &[(3, B), (5, A)], 1),
        ] {
            let (known, now) = (tags(known), tags(now));
            assert_eq!(changed(&known, &now), &now.pairs()[now.pairs().len() - expected..]);
        }
    }
}
