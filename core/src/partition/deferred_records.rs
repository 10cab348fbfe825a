//! Records that are not appended on their own: SACKs of clients.
//!
//! A SACK record is deferred up to 200 ms and written with the next append. Losing a deferred record is safe: after a
//! failover the edge reports the SACK again while its transport lives, and the client does so in its next hello.
//! Used by the event loop of a partition.

use minerva_proto::StreamNumber;

use crate::state::Record;
use crate::stream::{Millis, Output};

/// Longest deferral of a record, in milliseconds.
pub(super) const MAX_DEFERRAL_MS: u64 = 200;

/// Deferred records at which all are appended.
pub(super) const MAX_DEFERRED: usize = 1000;

/// Records that wait for the next append.
#[derive(Debug, Default)]
pub(super) struct DeferredRecords {
    /// In the order of the turns that made them.
    records: Vec<(StreamNumber, Record)>,
    /// Deadline of the oldest record.
    deadline: Option<Millis>,
}

impl DeferredRecords {
    /// Takes the records and outputs of one turn; returns the records to append now: all pending ones, or none.
    ///
    /// Nothing is deferred in a turn that closes a transport: the edge then forgets the transport with the SACK.
    pub(super) fn after_turn(
        &mut self,
        records: Vec<(StreamNumber, Record)>,
        outputs: &[Output],
        now: Millis,
    ) -> Vec<(StreamNumber, Record)> {
        let closes = |output: &Output| matches!(output, Output::Edge(_, frame) if frame.close_cause().is_some());
        let must_append = records.iter().any(|(_, record)| !matches!(record, Record::Sacked(_)))
            || outputs.iter().any(closes);
        if self.records.is_empty() {
            if must_append {
                return records;
            }
            self.records = records;
        } else {
            self.records.extend(records);
        }
        if must_append
            || self.records.len() >= MAX_DEFERRED
            || self.deadline.is_some_and(|at| at <= now)
        {
            return self.take();
        }
        if !self.records.is_empty() {
            self.deadline.get_or_insert(now.after(MAX_DEFERRAL_MS));
        }
        Vec::new()
    }

    /// Removes and returns all deferred records.
    pub(super) fn take(&mut self) -> Vec<(StreamNumber, Record)> {
        self.deadline = None;
        std::mem::take(&mut self.records)
    }

    /// Returns true if every record has been submitted for an append.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The time at which a turn must append the deferred records.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::Sack;

    use minerva_proto::link::{CloseCause, CoreFrame, TransportId};

    use super::*;
    use crate::partition::LinkId;

    fn sacked(stream: u64, number: u64) -> (StreamNumber, Record) {
        (StreamNumber(stream), Record::Sacked(Sack::up_to(number)))
    }

    fn sent(stream: u64) -> (StreamNumber, Record) {
        (StreamNumber(stream), Record::Sent { messages: vec!["a".into()] })
    }

    #[test]
    fn deferred_records_precede_later_ones() {
        let mut deferred = DeferredRecords::default();
        assert_eq!(deferred.after_turn(vec![sent(1)], &[], Millis(0)), [sent(1)]);
        assert!(deferred.after_turn(vec![sacked(1, 0)], &[], Millis(0)).is_empty());
        assert!(deferred.after_turn(vec![sacked(2, 0)], &[], Millis(1)).is_empty());
        let all = [sacked(1, 0), sacked(2, 0), sacked(3, 5), sent(1)];
        assert_eq!(deferred.after_turn(vec![sacked(3, 5), sent(1)], &[], Millis(2)), all);
        assert_eq!((deferred.deadline(), deferred.take().len()), (None, 0));
    }

    #[test]
    fn a_close_appends_the_deferred_records() {
        let mut deferred = DeferredRecords::default();
        let (transport, cause) = (TransportId(1), CloseCause::Gentle);
        let close = CoreFrame::close(transport, cause);
        let outputs = [Output::Edge(LinkId(1), close)];
        assert_eq!(deferred.after_turn(vec![sacked(1, 0)], &outputs, Millis(0)), [sacked(1, 0)]);
        assert!(deferred.after_turn(vec![sacked(1, 1)], &[], Millis(0)).is_empty());
        assert_eq!(deferred.after_turn(Vec::new(), &outputs, Millis(0)), [sacked(1, 1)]);
    }

    #[test]
    fn a_record_is_deferred_until_its_deadline() {
        for (after, is_due) in
            [(MAX_DEFERRAL_MS - 1, false), (MAX_DEFERRAL_MS, true), (MAX_DEFERRAL_MS + 1, true)]
        {
            let mut deferred = DeferredRecords::default();
            assert!(deferred.after_turn(Vec::new(), &[], Millis(5)).is_empty());
            assert_eq!(deferred.deadline(), None);
            assert!(deferred.after_turn(vec![sacked(1, 0)], &[], Millis(10)).is_empty());
            assert_eq!(deferred.deadline(), Some(Millis(10 + MAX_DEFERRAL_MS)));
            let due = deferred.after_turn(Vec::new(), &[], Millis(10 + after));
            assert_eq!(due.len(), usize::from(is_due), "{after}");
            assert_eq!(deferred.deadline().is_none(), is_due);
        }
    }

    #[test]
    fn the_number_of_deferred_records_is_bounded() {
        for (count, is_full) in
            [(MAX_DEFERRED - 1, false), (MAX_DEFERRED, true), (MAX_DEFERRED + 1, true)]
        {
            let mut deferred = DeferredRecords::default();
            let records = (0..count as u64).map(|number| sacked(number, 0)).collect();
            let due = deferred.after_turn(records, &[], Millis(0));
            assert_eq!(due.len(), if is_full { count } else { 0 });
        }
    }
}
