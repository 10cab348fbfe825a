//! Audit of several application instances: each event must reach the instances in order and without a gap.
//!
//! Pure: the input are event log entries, the output are violations. Event N of a stream is the client's message N - 1,
//! and its answer is message N - 1 to the client; an instance acknowledges an event only after its entry. Hence:
//!
//! - The events of one assignment start at the first unacknowledged event and have no gap.
//! - When a stream is assigned, all acknowledged events have an entry.
//! - An unacknowledged event may be delivered to a second instance; it is counted as redelivered.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::event_log::Entry;
use crate::message::{self, Direction, Length};

pub(crate) struct Audit {
    streams: Vec<Stream>,
    length: Length,
    counts: Counts,
    /// Violations by stream.
    violations: Vec<(usize, String)>,
    /// Ends that an instance received twice in one assignment.
    double_ends: Vec<String>,
}

/// Counters of permitted irregularities.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Assignments of streams to instances.
    pub(crate) assignments: u64,
    /// Events delivered more than once.
    pub(crate) redelivered: u64,
    /// Assignments that start before an already acknowledged event: they were in flight to a suspended process.
    pub(crate) stale: u64,
}

struct Stream {
    /// All lower events have an entry; the first message is event 1.
    next: u64,
    /// The highest first event of an assignment.
    acknowledged: u64,
    /// The next event by instance, for all current and former owners.
    instances: BTreeMap<u64, u64>,
    /// The highest number of answers that the core held at the start of an assignment.
    accepted: u64,
    /// The instance of the last assignment.
    last: Option<u64>,
    /// Instances that have received the end since their last assignment.
    ended: BTreeSet<u64>,
}

/// The effect of an entry on the c2s messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first delivery of a message.
    First,
    /// No new message.
    None,
}

impl Audit {
    pub(crate) fn new(streams: usize, length: Length) -> Self {
        let stream = || Stream {
            next: 1,
            acknowledged: 0,
            accepted: 0,
            instances: BTreeMap::new(),
            last: None,
            ended: BTreeSet::new(),
        };
        let streams = (0..streams).map(|_| stream()).collect();
        let (counts, violations, double_ends) = Default::default();
        Self { streams, length, counts, violations, double_ends }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Violations by stream.
    pub(crate) fn violations(&self) -> &[(usize, String)] {
        &self.violations
    }

    /// Ends that an instance received twice in one assignment.
    pub(crate) fn double_ends(&self) -> &[String] {
        &self.double_ends
    }

    /// The instance of the last assignment.
    pub(crate) fn last_instance(&self, stream: usize) -> Option<u64> {
        self.streams[stream].last
    }

    /// Required number of answers: one for each event with an entry.
    pub(crate) fn answers(&self, stream: usize) -> u64 {
        self.streams[stream].next - 1
    }

    /// Number of answers that the core held according to an instance.
    pub(crate) fn accepted(&self, stream: usize) -> u64 {
        self.streams[stream].accepted
    }

    /// Processes an entry; its stream must be below the number of streams.
    pub(crate) fn take(&mut self, entry: &Entry) -> Arrival {
        match entry {
            Entry::Started { instance, stream, first_event, first_send } => {
                self.start(*instance, *stream, *first_event, *first_send);
            }
            Entry::Handled { instance, stream, event, message } => {
                return self.event(*instance, *stream, *event, message);
            }
            Entry::Violation { instance, stream, what } => self.violation(*stream, *instance, what),
            Entry::Ended { instance, stream, .. } => self.end(*instance, *stream),
        }
        Arrival::None
    }

    fn start(&mut self, instance: u64, number: usize, first_event: u64, first_send: u64) {
        self.counts.assignments += 1;
        let stream = &mut self.streams[number];
        // Event 0 is the start of the stream.
        let first_message_event = first_event.max(1);
        let (next, acknowledged) = (stream.next, stream.acknowledged);
        stream.instances.insert(instance, first_message_event);
        stream.last = Some(instance);
        stream.ended.remove(&instance);
        stream.acknowledged = acknowledged.max(first_event);
        stream.accepted = stream.accepted.max(first_send);
        self.counts.stale += u64::from(first_event < acknowledged);
        if first_message_event > next {
            let what = format!("events {next} to {first_event} - 1 acknowledged, not handled");
            self.violation(number, instance, &what);
        }
        if first_send + 1 < first_message_event {
            let what = format!("starts at event {first_event}, but answer {first_send} is missing");
            self.violation(number, instance, &what);
        }
        if first_send + 1 > next {
            let what = format!("{first_send} answers, but only events below {next} were handled");
            self.violation(number, instance, &what);
        }
    }

    fn end(&mut self, instance: u64, number: usize) {
        let stream = &mut self.streams[number];
        if !stream.ended.insert(instance) {
            self.double_ends.push(format!("instance {instance}, stream {number}: a second end"));
        }
    }

    fn event(&mut self, instance: u64, number: usize, event: u64, message: &[u8]) -> Arrival {
        let stream = &mut self.streams[number];
        let expected = stream.instances.insert(instance, event + 1);
        let next = stream.next;
        let is_first = event == next;
        if is_first {
            stream.next += 1;
        }
        self.counts.redelivered += u64::from(event < next);
        if expected != Some(event) {
            let what = format!("event {event} where {expected:?} is next");
            self.violation(number, instance, &what);
        } else if event > next {
            self.violation(
                number,
                instance,
                &format!("event {event} where {next} was not handled"),
            );
        }
        let read = message::read(message, Direction::C2s, number, self.length);
        if read.map(|number| number + 1) != Some(event) {
            self.violation(number, instance, &format!("event {event} is the message {read:?}"));
        }
        if is_first { Arrival::First } else { Arrival::None }
    }

    fn violation(&mut self, stream: usize, instance: u64, what: &str) {
        self.violations.push((stream, format!("instance {instance}, stream {stream}: {what}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length = Length::UpTo(20);

    fn started(instance: u64, first_event: u64, first_send: u64) -> Entry {
        Entry::Started { instance, stream: 0, first_event, first_send }
    }

    fn handled(instance: u64, event: u64) -> Entry {
        let message = message::write(Direction::C2s, 0, event - 1, LENGTH).to_vec();
        Entry::Handled { instance, stream: 0, event, message }
    }

    /// Returns violations, redelivered events, stale assignments, answers.
    fn judge(entries: &[Entry]) -> (usize, u64, u64, u64) {
        let mut audit = Audit::new(1, LENGTH);
        for entry in entries {
            audit.take(entry);
        }
        let Counts { redelivered, stale, .. } = audit.counts();
        (audit.violations().len(), redelivered, stale, audit.answers(0))
    }

    #[test]
    fn a_moved_stream_redelivers_unacknowledged_events() {
        let first = [started(1, 0, 0), handled(1, 1), handled(1, 2), handled(1, 3)];
        assert_eq!(judge(&first), (0, 0, 0, 3));
        let moved =
            [first.as_slice(), &[started(2, 2, 3), handled(2, 2), handled(2, 3), handled(2, 4)]];
        assert_eq!(judge(&moved.concat()), (0, 2, 0, 4));
        let all = [first.as_slice(), &[started(2, 4, 3), handled(2, 4)]].concat();
        assert_eq!(judge(&all), (0, 0, 0, 4));
    }

    #[test]
    fn a_suspended_instance_may_handle_its_queued_events() {
        let entries = [
            started(1, 0, 0),
            handled(1, 1),
            started(2, 1, 1),
            handled(2, 1),
            handled(2, 2),
            handled(1, 2),
        ];
        assert_eq!(judge(&entries), (0, 2, 0, 2));
        let late =
            [started(1, 0, 0), handled(1, 1), started(3, 2, 1), started(2, 1, 0), handled(2, 1)];
        assert_eq!(judge(&late), (0, 1, 1, 1));
    }

    #[test]
    fn missing_events_and_answers_are_found() {
        let gap = [started(1, 0, 0), handled(1, 1), handled(1, 3)];
        assert_eq!(judge(&gap).0, 1, "one event left out");
        assert_eq!(
            judge(&[started(1, 0, 0), handled(1, 1), started(2, 3, 2)]).0,
            2,
            "acknowledged by nobody"
        );
        assert_eq!(
            judge(&[started(1, 0, 0), handled(1, 1), started(2, 2, 0)]).0,
            1,
            "an answer is lost"
        );
        assert_eq!(judge(&[started(1, 0, 0), started(2, 0, 1)]).0, 1, "an answer to nothing");
    }

    #[test]
    fn an_assignment_ends_once() {
        let ended = |instance| Entry::Ended { instance, stream: 0, reason: "x".to_owned() };
        let double_ends = |entries: &[Entry]| {
            let mut audit = Audit::new(1, LENGTH);
            for entry in entries {
                audit.take(entry);
            }
            audit.double_ends().len()
        };
        let first = [started(1, 0, 0), ended(1)];
        assert_eq!(double_ends(&first), 0);
        assert_eq!(double_ends(&[&first[..], &[started(2, 0, 0), ended(2)]].concat()), 0);
        assert_eq!(double_ends(&[&first[..], &[started(1, 0, 0), ended(1)]].concat()), 0);
        assert_eq!(double_ends(&[&first[..], &[ended(1)]].concat()), 1);
    }

    #[test]
    fn wrong_order_and_content_are_found() {
        let twice = [started(1, 0, 0), handled(1, 1), handled(1, 1)];
        assert_eq!(judge(&twice), (1, 1, 0, 1));
        assert_eq!(judge(&[started(1, 0, 0), handled(1, 1), handled(1, 2), handled(1, 1)]).0, 1);
        assert_eq!(judge(&[handled(1, 1)]).0, 1, "of a stream that it does not have");
        let mut other = handled(1, 1);
        if let Entry::Handled { message, .. } = &mut other {
            message.push(b'x');
        }
        assert_eq!(judge(&[started(1, 0, 0), other]).0, 1);
        let violation = Entry::Violation { instance: 1, stream: 0, what: "no".to_owned() };
        assert_eq!(judge(&[violation]).0, 1);
    }
}
