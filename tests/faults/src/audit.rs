//! Whether several instances of an application service, between which streams move, got each event that
//! they had to get, in order.
//!
//! Pure: fed with notes, asked for the findings. Event N of a stream is the client's string N - 1, and answered
//! by the string N - 1 to the client; an instance acknowledges an event only behind its note. Hence:
//!
//! - What one instance gets of a stream begins at the first event that was not acknowledged and leaves none out.
//! - When a stream comes to an instance, all events acknowledged before have a note.
//! - An event may come to a second instance, if it was not acknowledged: that is counted, and no harm.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::message::{self, Direction, Length};
use crate::notes::Note;

/// All streams of a run.
pub(crate) struct Audit {
    streams: Vec<Stream>,
    length: Length,
    counts: Counts,
    /// What must not be, by stream, in words.
    wrong: Vec<(usize, String)>,
}

/// What happened that is no harm.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Times that an instance got a stream.
    pub(crate) begun: u64,
    /// Events that came again.
    pub(crate) redelivered: u64,
    /// Times that an instance got a stream from an event before one that was acknowledged already: news that
    /// was on its way to a process that was stopped meanwhile.
    pub(crate) late: u64,
}

/// One stream.
struct Stream {
    /// All events below have a note; the first string is event 1.
    next: u64,
    /// The furthest that a stream began.
    acknowledged: u64,
    /// The next event of each instance that has, or had, the stream.
    instances: BTreeMap<u64, u64>,
}

/// What a note means for the strings from the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The string came for the first time.
    First,
    /// Nothing new.
    None,
}

impl Audit {
    pub(crate) fn new(streams: usize, length: Length) -> Self {
        let stream = || Stream { next: 1, acknowledged: 0, instances: BTreeMap::new() };
        let streams = (0..streams).map(|_| stream()).collect();
        Self { streams, length, counts: Counts::default(), wrong: Vec::new() }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// What must not be, by stream, in words.
    pub(crate) fn wrong(&self) -> &[(usize, String)] {
        &self.wrong
    }

    /// Answers that there must be: one for each event with a note.
    pub(crate) fn answers(&self, stream: usize) -> u64 {
        self.streams[stream].next - 1
    }

    /// Takes a note about one of its streams.
    pub(crate) fn take(&mut self, note: &Note) -> Arrival {
        match note {
            Note::Began { instance, stream, first_event, first_send } => {
                self.begin(*instance, *stream, *first_event, *first_send);
            }
            Note::Took { instance, stream, event, string } => {
                return self.event(*instance, *stream, *event, string);
            }
            Note::Wrong { instance, stream, what } => self.find(*stream, *instance, what),
            Note::Ended { .. } => {}
        }
        Arrival::None
    }

    fn begin(&mut self, instance: u64, number: usize, first_event: u64, first_send: u64) {
        self.counts.begun += 1;
        let stream = &mut self.streams[number];
        // Event 0 is the start itself.
        let first_string = first_event.max(1);
        let (next, acknowledged) = (stream.next, stream.acknowledged);
        stream.instances.insert(instance, first_string);
        stream.acknowledged = acknowledged.max(first_event);
        self.counts.late += u64::from(first_event < acknowledged);
        if first_string > next {
            let what = format!("events {next} to {first_event} - 1 acknowledged, not handled");
            self.find(number, instance, &what);
        }
        if first_send + 1 < first_string {
            let what = format!("begins at event {first_event}, of which no answer {first_send} is");
            self.find(number, instance, &what);
        }
        if first_send + 1 > next {
            let what = format!("{first_send} answers, but only events below {next} were handled");
            self.find(number, instance, &what);
        }
    }

    fn event(&mut self, instance: u64, number: usize, event: u64, string: &[u8]) -> Arrival {
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
            self.find(number, instance, &what);
        } else if event > next {
            self.find(number, instance, &format!("event {event} where {next} was not handled"));
        }
        let read = message::read(string, Direction::C2s, number, self.length);
        if read.map(|number| number + 1) != Some(event) {
            self.find(number, instance, &format!("event {event} is the string {read:?}"));
        }
        if is_first { Arrival::First } else { Arrival::None }
    }

    fn find(&mut self, stream: usize, instance: u64, what: &str) {
        self.wrong.push((stream, format!("instance {instance}, stream {stream}: {what}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length = Length::UpTo(20);

    /// `begin(instance, first event, first send)`.
    fn begin(instance: u64, first_event: u64, first_send: u64) -> Note {
        Note::Began { instance, stream: 0, first_event, first_send }
    }

    fn took(instance: u64, event: u64) -> Note {
        let string = message::write(Direction::C2s, 0, event - 1, LENGTH).to_vec();
        Note::Took { instance, stream: 0, event, string }
    }

    /// Number of faults, redelivered events, late beginnings, answers.
    fn judge(notes: &[Note]) -> (usize, u64, u64, u64) {
        let mut audit = Audit::new(1, LENGTH);
        for note in notes {
            audit.take(note);
        }
        let Counts { redelivered, late, .. } = audit.counts();
        (audit.wrong().len(), redelivered, late, audit.answers(0))
    }

    #[test]
    fn a_stream_may_move_and_what_was_not_acknowledged_comes_again() {
        let first = [begin(1, 0, 0), took(1, 1), took(1, 2), took(1, 3)];
        assert_eq!(judge(&first), (0, 0, 0, 3));
        let moved = [first.as_slice(), &[begin(2, 2, 3), took(2, 2), took(2, 3), took(2, 4)]];
        assert_eq!(judge(&moved.concat()), (0, 2, 0, 4));
        let all = [first.as_slice(), &[begin(2, 4, 3), took(2, 4)]].concat();
        assert_eq!(judge(&all), (0, 0, 0, 4));
    }

    #[test]
    fn one_that_was_stopped_may_handle_what_it_had() {
        let notes =
            [begin(1, 0, 0), took(1, 1), begin(2, 1, 1), took(2, 1), took(2, 2), took(1, 2)];
        assert_eq!(judge(&notes), (0, 2, 0, 2));
        let late = [begin(1, 0, 0), took(1, 1), begin(3, 2, 1), begin(2, 1, 0), took(2, 1)];
        assert_eq!(judge(&late), (0, 1, 1, 1));
    }

    #[test]
    fn what_is_missing_is_found() {
        let gap = [begin(1, 0, 0), took(1, 1), took(1, 3)];
        assert_eq!(judge(&gap).0, 1, "one event left out");
        assert_eq!(
            judge(&[begin(1, 0, 0), took(1, 1), begin(2, 3, 2)]).0,
            2,
            "acknowledged by nobody"
        );
        assert_eq!(judge(&[begin(1, 0, 0), took(1, 1), begin(2, 2, 0)]).0, 1, "an answer is lost");
        assert_eq!(judge(&[begin(1, 0, 0), begin(2, 0, 1)]).0, 1, "an answer to nothing");
    }

    #[test]
    fn wrong_order_and_wrong_content_are_found() {
        let twice = [begin(1, 0, 0), took(1, 1), took(1, 1)];
        assert_eq!(judge(&twice), (1, 1, 0, 1));
        assert_eq!(judge(&[begin(1, 0, 0), took(1, 1), took(1, 2), took(1, 1)]).0, 1);
        assert_eq!(judge(&[took(1, 1)]).0, 1, "of a stream that it does not have");
        let mut other = took(1, 1);
        if let Note::Took { string, .. } = &mut other {
            string.push(b'x');
        }
        assert_eq!(judge(&[begin(1, 0, 0), other]).0, 1);
        let said = Note::Wrong { instance: 1, stream: 0, what: "no".to_owned() };
        assert_eq!(judge(&[said]).0, 1);
    }
}
