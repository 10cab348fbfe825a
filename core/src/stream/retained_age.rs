//! Age of the retained messages of a stream, in memory: when the oldest ones must be dropped.
//!
//! Messages that become retained within one sixteenth of the limit share one mark, so the marks are few. After a recovery
//! all retained messages count as new: no deadline is stored.

use std::collections::VecDeque;

use minerva_proto::MessageNumber;

use super::Millis;

/// Marks per age limit.
const MARKS: u64 = 16;

/// Ends of the retained messages with their times.
#[derive(Debug, Default)]
pub(super) struct RetainedAge {
    /// End of the messages, and the time at which the first of them was acknowledged.
    marks: VecDeque<(MessageNumber, Millis)>,
}

impl RetainedAge {
    /// Notes the retained messages from `first` up to `end` at the end of a turn.
    pub(super) fn update(
        &mut self,
        (first, end): (MessageNumber, MessageNumber),
        age_ms: u64,
        now: Millis,
    ) {
        while self.marks.front().is_some_and(|(mark, _)| *mark <= first) {
            self.marks.pop_front();
        }
        let noted = self.marks.back().map_or(first, |(mark, _)| *mark);
        if end <= noted {
            return;
        }
        match self.marks.back_mut() {
            Some((mark, since)) if now < since.after(age_ms / MARKS) => *mark = end,
            Some(_) | None => self.marks.push_back((end, now)),
        }
    }

    /// The time at which the oldest messages must be dropped.
    pub(super) fn deadline(&self, age_ms: u64) -> Option<Millis> {
        self.marks.front().map(|(_, since)| since.after(age_ms))
    }

    /// The end of the messages whose time is over.
    pub(super) fn take_due(&mut self, age_ms: u64, now: Millis) -> Option<MessageNumber> {
        let mut end = None;
        while self.deadline(age_ms).is_some_and(|at| at <= now) {
            end = self.marks.pop_front().map(|(mark, _)| mark);
        }
        end
    }
}
