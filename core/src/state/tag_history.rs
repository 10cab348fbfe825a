//! Claim tags of numbers: which claim of the partition assigned a message, an event or a stream number.
//!
//! After a rollback of the store an owner may assign numbers that an earlier owner has assigned before. The tag
//! distinguishes the two. The stream state keeps one [`TagHistory`], the partition one [`CreatedTags`]. Pure.

use std::collections::VecDeque;

use minerva_proto::{ClaimTag, EventNumber, MessageNumber};

/// Lines of a history. A store keeps as many claims of a partition.
pub(crate) const MAX_LINES: usize = 32;

/// The next numbers of a stream in all three sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextNumbers {
    /// Client to server: the first message that has not been received.
    pub c2s: MessageNumber,
    /// The next event.
    pub event: EventNumber,
    /// Server to client: the next message.
    pub s2c: MessageNumber,
}

/// The numbers from which a tag applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TagLine {
    pub(crate) tag: ClaimTag,
    pub(crate) first: NextNumbers,
}

/// The claim tags of the numbers of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagHistory {
    /// Tag of the claim that created the stream.
    created: ClaimTag,
    /// The tags of the numbers, ascending; at most [`MAX_LINES`].
    lines: Vec<TagLine>,
}

impl TagHistory {
    /// The history of a stream created under `tag`.
    pub(super) fn new(tag: ClaimTag) -> Self {
        let mut this = Self { created: tag, lines: Vec::new() };
        this.note(tag, NextNumbers::default());
        this
    }

    /// A history from a snapshot; `None` if no stream with these next numbers can have the lines.
    pub(super) fn restore(created: ClaimTag, lines: Vec<TagLine>) -> Option<Self> {
        let ascends = |pair: &[TagLine]| pair[0].first.is_at_most(&pair[1].first);
        let is_valid = lines.len() <= MAX_LINES && lines.windows(2).all(ascends);
        is_valid.then_some(Self { created, lines })
    }

    /// Whether no tag is known.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.created.is_known()
    }

    /// Tag of the claim that created the stream.
    pub fn created(&self) -> ClaimTag {
        self.created
    }

    pub(super) fn lines(&self) -> &[TagLine] {
        &self.lines
    }

    /// Tag of the last line.
    pub(super) fn last(&self) -> ClaimTag {
        self.lines.last().map_or(ClaimTag::UNKNOWN, |line| line.tag)
    }

    /// Notes that `tag` applies from the next numbers on.
    pub(super) fn note(&mut self, tag: ClaimTag, first: NextNumbers) {
        if tag == self.last() {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.remove(0);
        }
        // Most streams have one line.
        self.lines.reserve_exact(1);
        self.lines.push(TagLine { tag, first });
    }

    /// Removes the lines of numbers below all of `bases`.
    pub(super) fn prune(&mut self, bases: NextNumbers) {
        let behind = self.lines.iter().skip(1);
        let obsolete = behind.take_while(|line| line.first.is_at_most(&bases)).count();
        self.lines.drain(..obsolete);
    }

    /// The tag of the number for which `is_from` holds on the lines from which a tag applies to the number.
    fn tag_of(&self, is_from: impl Fn(&NextNumbers) -> bool) -> Option<ClaimTag> {
        let line = self.lines.iter().rev().find(|line| is_from(&line.first))?;
        Some(line.tag).filter(|tag| tag.is_known())
    }

    pub(super) fn tag_of_received(&self, number: MessageNumber) -> Option<ClaimTag> {
        self.tag_of(|first| first.c2s <= number)
    }

    pub(super) fn tag_of_event(&self, number: EventNumber) -> Option<ClaimTag> {
        self.tag_of(|first| first.event <= number)
    }

    pub(super) fn tag_of_sent(&self, number: MessageNumber) -> Option<ClaimTag> {
        self.tag_of(|first| first.s2c <= number)
    }

    /// The lines of the s2c messages from `first` to `last`; `None` if a tag is unknown.
    pub(super) fn lines_of_sent(
        &self,
        first: MessageNumber,
        last: MessageNumber,
    ) -> Option<&[TagLine]> {
        let of = |number| self.lines.iter().rposition(|line| line.first.s2c <= number);
        let lines = self.lines.get(of(first)?..=of(last)?)?;
        lines.iter().all(|line| line.tag.is_known()).then_some(lines)
    }
}

impl NextNumbers {
    /// Whether each number is at most the number of the same sequence in `other`.
    pub(super) fn is_at_most(&self, other: &Self) -> bool {
        self.c2s <= other.c2s && self.event <= other.event && self.s2c <= other.s2c
    }
}

/// The claim tags of the stream numbers of one partition: from which stream count on a tag applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreatedTags {
    /// First count and tag, ascending; at most [`MAX_LINES`].
    lines: VecDeque<(u64, ClaimTag)>,
}

impl CreatedTags {
    /// The tags from a meta blob; `None` if the counts do not ascend.
    pub(super) fn restore(lines: Vec<(u64, ClaimTag)>) -> Option<Self> {
        let ascends = |pair: &[(u64, ClaimTag)]| pair[0].0 < pair[1].0;
        let is_valid = lines.len() <= MAX_LINES && lines.windows(2).all(ascends);
        is_valid.then(|| Self { lines: lines.into() })
    }

    /// Notes the creation of the stream `count` under `tag`.
    pub fn note(&mut self, count: u64, tag: ClaimTag) {
        let last = self.lines.back().copied();
        let (last_count, last_tag) = last.unwrap_or((0, ClaimTag::UNKNOWN));
        if tag == last_tag || (last.is_some() && count <= last_count) {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((count, tag));
    }

    /// The tag under which the stream `count` was created; `None` if the tag is unknown or the count was never reached.
    pub fn of(&self, count: u64, streams_made: u64) -> Option<ClaimTag> {
        let mut lines = self.lines.iter().rev();
        let (_, tag) = lines.find(|(first, _)| *first <= count && count <= streams_made)?;
        Some(*tag).filter(|tag| tag.is_known())
    }

    /// First count and tag of each line, ascending.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = (u64, ClaimTag)> {
        self.lines.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClaimTag = ClaimTag(0xa);
    const B: ClaimTag = ClaimTag(0xb);

    fn numbers(c2s: u64, event: u64, s2c: u64) -> NextNumbers {
        let (c2s, event, s2c) = (MessageNumber(c2s), EventNumber(event), MessageNumber(s2c));
        NextNumbers { c2s, event, s2c }
    }

    #[test]
    fn a_tag_applies_from_the_next_numbers_on() {
        let mut history = TagHistory::new(A);
        history.note(A, numbers(1, 2, 1));
        history.note(B, numbers(2, 3, 4));
        let sent = |number| history.tag_of_sent(MessageNumber(number));
        assert_eq!([sent(0), sent(3), sent(4), sent(9)], [Some(A), Some(A), Some(B), Some(B)]);
        let received = |number| history.tag_of_received(MessageNumber(number));
        assert_eq!([received(1), received(2)], [Some(A), Some(B)]);
        let event = |number| history.tag_of_event(EventNumber(number));
        assert_eq!([event(2), event(3)], [Some(A), Some(B)]);
        assert_eq!(history.created(), A);
    }

    #[test]
    fn a_range_of_messages_has_the_lines_from_the_first_to_the_last() {
        let mut history = TagHistory::new(A);
        history.note(B, numbers(1, 1, 4));
        let tags = |first, last| {
            let lines = history.lines_of_sent(MessageNumber(first), MessageNumber(last))?;
            Some(lines.iter().map(|line| line.tag).collect::<Vec<_>>())
        };
        assert_eq!(
            [tags(0, 3), tags(3, 4), tags(4, 9)],
            [Some(vec![A]), Some(vec![A, B]), Some(vec![B])]
        );
        history.prune(numbers(1, 1, 4));
        let of = |first| history.lines_of_sent(MessageNumber(first), MessageNumber(9)).is_some();
        assert_eq!([of(3), of(4)], [false, true], "the tag of number 3 was pruned");
        history.note(ClaimTag::UNKNOWN, numbers(1, 1, 6));
        assert!(history.lines_of_sent(MessageNumber(4), MessageNumber(6)).is_none());
    }

    #[test]
    fn numbers_of_an_unknown_claim_have_no_tag() {
        let mut history = TagHistory::new(ClaimTag::UNKNOWN);
        assert!(history.is_empty());
        assert_eq!(history.tag_of_sent(MessageNumber(0)), None);
        history.note(A, numbers(1, 1, 2));
        assert_eq!(history.tag_of_sent(MessageNumber(1)), None);
        assert_eq!(history.tag_of_sent(MessageNumber(2)), Some(A));
        history.note(ClaimTag::UNKNOWN, numbers(1, 1, 3));
        assert_eq!(history.tag_of_sent(MessageNumber(3)), None);
    }

    #[test]
    fn a_line_is_pruned_when_the_next_line_begins_below_all_three_bases() {
        let history = || {
            let mut history = TagHistory::new(A);
            history.note(B, numbers(2, 3, 4));
            history
        };
        for (bases, lines) in [
            (numbers(1, 3, 4), 2),
            (numbers(2, 2, 4), 2),
            (numbers(2, 3, 3), 2),
            (numbers(2, 3, 4), 1),
            (numbers(9, 9, 9), 1),
        ] {
            let mut pruned = history();
            pruned.prune(bases);
            assert_eq!(pruned.lines().len(), lines, "{bases:?}");
            assert_eq!(pruned.last(), B);
        }
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let mut history = TagHistory::new(ClaimTag(1));
        let mut created = CreatedTags::default();
        for claim in 2..=MAX_LINES as u64 + 1 {
            assert_eq!(history.lines().len() as u64, claim - 1);
            history.note(ClaimTag(claim), numbers(0, 0, claim));
            created.note(claim, ClaimTag(claim));
        }
        assert_eq!(history.lines().len(), MAX_LINES);
        assert_eq!(history.tag_of_sent(MessageNumber(1)), None, "the oldest line was dropped");
        assert_eq!(history.tag_of_sent(MessageNumber(2)), Some(ClaimTag(2)));
        assert_eq!(created.lines().len(), MAX_LINES);
        created.note(99, ClaimTag(99));
        assert_eq!(created.lines().len(), MAX_LINES);
        assert_eq!((created.of(2, 99), created.of(3, 99)), (None, Some(ClaimTag(3))));
    }

    #[test]
    fn stream_counts_have_the_tag_of_the_claim_that_reached_them() {
        let mut created = CreatedTags::default();
        created.note(1, ClaimTag::UNKNOWN);
        assert_eq!(created.lines().len(), 0);
        created.note(3, A);
        created.note(4, A);
        created.note(6, B);
        let of = |count| created.of(count, 6);
        assert_eq!([of(2), of(3), of(5), of(6), of(7)], [None, Some(A), Some(A), Some(B), None]);
    }
}
