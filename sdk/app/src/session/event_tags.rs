//! Claim tags of the received events of one stream. After a rollback of the store a core may deliver another event under
//! a received number, with another tag. Pure; owned by the stream.

use std::collections::VecDeque;

use minerva_proto::{ClaimTag, EventNumber};

/// Most lines. A line is added when the partition has changed the owner; tags of older events become unknown.
const MAX_LINES: usize = 16;

/// The tags of received events: from which event on a tag applies.
#[derive(Debug, Default)]
pub(super) struct EventTags {
    lines: VecDeque<(EventNumber, ClaimTag)>,
}

impl EventTags {
    /// Notes that the events from `first` on, which are new, have this tag.
    pub(super) fn note(&mut self, first: EventNumber, tag: ClaimTag) {
        if tag == self.last() {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((first, tag));
    }

    /// Tag of the last received event.
    pub(super) fn last(&self) -> ClaimTag {
        self.lines.back().map_or(ClaimTag::UNKNOWN, |(_, tag)| *tag)
    }

    /// Whether an event from `first` up to, not including, `end` was received under another tag.
    pub(super) fn contradict(&self, first: EventNumber, end: EventNumber, tag: ClaimTag) -> bool {
        let ends = self.lines.iter().skip(1).map(|(next, _)| *next).chain([end]);
        let mut lines = self.lines.iter().zip(ends);
        lines.any(|(&(begins, own), ends)| differ(own, tag) && begins.max(first) < ends.min(end))
    }
}

/// Whether both tags are known, and differ.
pub(super) fn differ(own: ClaimTag, other: ClaimTag) -> bool {
    own.is_known() && other.is_known() && own != other
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClaimTag = ClaimTag(1);
    const B: ClaimTag = ClaimTag(2);

    #[test]
    fn events_contradict_only_under_another_known_tag() {
        let mut tags = EventTags::default();
        tags.note(EventNumber(3), A);
        tags.note(EventNumber(4), A);
        tags.note(EventNumber(6), B);
        let contradict =
            |first, end, tag| tags.contradict(EventNumber(first), EventNumber(end), tag);
        for (first, end, tag, expected) in [
            (1, 3, B, false),
            (1, 4, B, true),
            (3, 6, A, false),
            (5, 6, B, true),
            (6, 9, B, false),
            (5, 7, A, true),
            (6, 6, A, false),
            (3, 9, ClaimTag::UNKNOWN, false),
        ] {
            assert_eq!(contradict(first, end, tag), expected, "{first} to {end}, {tag}");
        }
        assert_eq!(tags.last(), B);
    }

    #[test]
    fn the_oldest_line_is_dropped_beyond_the_limit() {
        for (count, kept) in
            [(MAX_LINES - 1, MAX_LINES - 1), (MAX_LINES, MAX_LINES), (MAX_LINES + 1, MAX_LINES)]
        {
            let mut tags = EventTags::default();
            for number in 1..=count as u64 {
                tags.note(EventNumber(number), ClaimTag(number));
            }
            assert_eq!(tags.lines.len(), kept);
            let is_first_known = tags.contradict(EventNumber(1), EventNumber(2), ClaimTag(99));
            assert_eq!(is_first_known, count == kept, "{count}");
        }
    }
}
