//! The stored form of the tag history; a part of snapshots.

use minerva_proto::{ClaimTag, EventNumber, MessageNumber};
use prost::Message;

use super::super::tag_history::{NextNumbers, TagHistory, TagLine};
use super::DecodeError;

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredTags {
    #[prost(fixed64, tag = "1")]
    created: u64,
    #[prost(message, repeated, tag = "2")]
    lines: Vec<StoredTagLine>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredTagLine {
    #[prost(fixed64, tag = "1")]
    tag: u64,
    #[prost(uint64, tag = "2")]
    c2s: u64,
    #[prost(uint64, tag = "3")]
    event: u64,
    #[prost(uint64, tag = "4")]
    s2c: u64,
}

impl From<&TagHistory> for StoredTags {
    fn from(tags: &TagHistory) -> Self {
        let line = |line: &TagLine| {
            let NextNumbers { c2s, event, s2c } = line.first;
            StoredTagLine { tag: line.tag.0, c2s: c2s.0, event: event.0, s2c: s2c.0 }
        };
        Self { created: tags.created().0, lines: tags.lines().iter().map(line).collect() }
    }
}

impl TryFrom<StoredTags> for TagHistory {
    type Error = DecodeError;

    fn try_from(stored: StoredTags) -> Result<Self, DecodeError> {
        let line = |StoredTagLine { tag, c2s, event, s2c }| TagLine {
            tag: ClaimTag(tag),
            first: NextNumbers {
                c2s: MessageNumber(c2s),
                event: EventNumber(event),
                s2c: MessageNumber(s2c),
            },
        };
        let lines = stored.lines.into_iter().map(line).collect();
        Self::restore(ClaimTag(stored.created), lines).ok_or(DecodeError::Field("tags"))
    }
}
