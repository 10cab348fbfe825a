//! Records that need not be stored at once: that clients have received strings. Whoever comes after this owner hears
//! it again, from the edge as long as it has the transport, or from the client when it says hello; so they wait for the
//! next append that has to be made, for a while. Owned by the partition.

use crate::record::Record;
use crate::stream::{EdgeOutput, Millis, Output};

/// How long they wait for company, in milliseconds.
pub(super) const PATIENCE_MS: u64 = 200;

/// How many wait at most.
pub(super) const MAX_WAITING: usize = 1000;

/// What waits to be stored.
#[derive(Debug, Default)]
pub(super) struct Unhurried {
    /// In the order in which it happened.
    waiting: Vec<(u64, Record)>,
    /// When it must not wait any longer.
    until: Option<Millis>,
}

impl Unhurried {
    /// Takes a turn's records, and what is to be said after them; gives what is to be stored now, in order:
    /// everything, or nothing. The edge forgets a transport that is closed, and with it what was said on it.
    pub(super) fn pass(
        &mut self,
        records: Vec<(u64, Record)>,
        outputs: &[Output],
        now: Millis,
    ) -> Vec<(u64, Record)> {
        let closes = |output: &Output| matches!(output, Output::Edge(_, EdgeOutput::Close { .. }));
        let hurries = records.iter().any(|(_, record)| !matches!(record, Record::Sacked(_)))
            || outputs.iter().any(closes);
        if self.waiting.is_empty() {
            if hurries {
                return records;
            }
            self.waiting = records;
        } else {
            self.waiting.extend(records);
        }
        if hurries || self.waiting.len() >= MAX_WAITING || self.until.is_some_and(|at| at <= now) {
            return self.take();
        }
        if !self.waiting.is_empty() {
            self.until.get_or_insert(Millis(now.0.saturating_add(PATIENCE_MS)));
        }
        Vec::new()
    }

    /// Everything that waits.
    pub(super) fn take(&mut self) -> Vec<(u64, Record)> {
        self.until = None;
        std::mem::take(&mut self.waiting)
    }

    /// The store has all that happened, or will have when its appends are confirmed.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When a turn must be made, mail or not.
    pub(super) fn until(&self) -> Option<Millis> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::Sack;

    use super::*;
    use crate::partition::LinkId;
    use crate::stream::{CloseCause, TransportId};

    fn sacked(stream: u64, number: u64) -> (u64, Record) {
        (stream, Record::Sacked(Sack::up_to(number)))
    }

    fn sent(stream: u64) -> (u64, Record) {
        (stream, Record::Sent { strings: vec!["a".into()] })
    }

    #[test]
    fn what_waits_comes_first() {
        let mut unhurried = Unhurried::default();
        assert_eq!(unhurried.pass(vec![sent(1)], &[], Millis(0)), [sent(1)]);
        assert!(unhurried.pass(vec![sacked(1, 0)], &[], Millis(0)).is_empty());
        assert!(unhurried.pass(vec![sacked(2, 0)], &[], Millis(1)).is_empty());
        let all = [sacked(1, 0), sacked(2, 0), sacked(3, 5), sent(1)];
        assert_eq!(unhurried.pass(vec![sacked(3, 5), sent(1)], &[], Millis(2)), all);
        assert_eq!((unhurried.until(), unhurried.take().len()), (None, 0));
    }

    #[test]
    fn a_close_is_not_said_before_what_was_heard_is_stored() {
        let mut unhurried = Unhurried::default();
        let (transport, cause) = (TransportId(1), CloseCause::Gentle);
        let close = EdgeOutput::Close { transport, sack: None, status: None, cause };
        let outputs = [Output::Edge(LinkId(1), close)];
        assert_eq!(unhurried.pass(vec![sacked(1, 0)], &outputs, Millis(0)), [sacked(1, 0)]);
        assert!(unhurried.pass(vec![sacked(1, 1)], &[], Millis(0)).is_empty());
        assert_eq!(unhurried.pass(Vec::new(), &outputs, Millis(0)), [sacked(1, 1)]);
    }

    #[test]
    fn it_waits_so_long_and_no_longer() {
        for (after, is_due) in
            [(PATIENCE_MS - 1, false), (PATIENCE_MS, true), (PATIENCE_MS + 1, true)]
        {
            let mut unhurried = Unhurried::default();
            assert!(unhurried.pass(Vec::new(), &[], Millis(5)).is_empty());
            assert_eq!(unhurried.until(), None);
            assert!(unhurried.pass(vec![sacked(1, 0)], &[], Millis(10)).is_empty());
            assert_eq!(unhurried.until(), Some(Millis(10 + PATIENCE_MS)));
            let now = unhurried.pass(Vec::new(), &[], Millis(10 + after));
            assert_eq!(now.len(), usize::from(is_due), "{after}");
            assert_eq!(unhurried.until().is_none(), is_due);
        }
    }

    #[test]
    fn so_many_wait_and_no_more() {
        for (count, is_full) in
            [(MAX_WAITING - 1, false), (MAX_WAITING, true), (MAX_WAITING + 1, true)]
        {
            let mut unhurried = Unhurried::default();
            let records = (0..count as u64).map(|number| sacked(number, 0)).collect();
            let now = unhurried.pass(records, &[], Millis(0));
            assert_eq!(now.len(), if is_full { count } else { 0 });
        }
    }
}
