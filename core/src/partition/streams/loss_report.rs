//! The log lines about a rollback of the store that peers prove or report after the claim: one warning, and later totals.
//! Pure.
//!
//! The clients of a partition return one after another, and each may prove another lost stream. The first proof is
//! reported at once; further lost streams are added up and reported at growing intervals.

use minerva_proto::{ClaimTag, LogIndex, StreamNumber};

use super::PartitionStreams;
use crate::stream::Millis;

/// First and longest interval between two lines, in milliseconds; each interval is twice the previous one.
const INTERVALS_MS: (u64, u64) = (10_000, 300_000);

/// The losses of one partition since the claim.
#[derive(Debug, Default)]
pub(super) struct LossReport {
    /// End of the log at the claim.
    log_end: LogIndex,
    /// Whether an edge, an app instance or the store has proven the rollback. Clients can invent reports.
    is_proven: bool,
    /// The first lost claim of such a proof.
    claim: Option<ClaimTag>,
    lost: LostStreams,
    reported: Option<Reported>,
}

/// Streams that lost messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LostStreams {
    /// Streams that ended with `state lost`.
    ended: u64,
    /// Hellos of streams that the store does not hold at all.
    unrecorded: u64,
}

/// The last line.
#[derive(Debug)]
struct Reported {
    lost: LostStreams,
    interval_ms: u64,
    /// No further line before this time, except the first one about a proof.
    next: Millis,
    is_proven: bool,
}

impl LossReport {
    pub(super) fn new(log_end: LogIndex) -> Self {
        Self { log_end, ..Self::default() }
    }

    /// An edge or an app instance has proven a rollback.
    pub(super) fn on_proof(&mut self) {
        self.is_proven = true;
    }

    /// An edge or an app instance has reported a claim that the store has lost.
    pub(super) fn on_lost_claim(&mut self, tag: ClaimTag) {
        self.is_proven = true;
        self.claim.get_or_insert(tag);
    }

    /// Whether a peer that cannot be a hostile client has proven the rollback.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// A stream has ended with `state lost`.
    pub(super) fn on_ended(&mut self) {
        self.lost.ended += 1;
    }

    /// A client attaches to a stream that the store has lost without a trace.
    pub(super) fn on_unrecorded(&mut self) {
        self.lost.unrecorded += 1;
    }

    /// The time of the next line, if there is something to report.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.reported.as_ref().filter(|last| last.lost != self.lost).map(|last| last.next)
    }

    /// Returns true if a line is due, and counts the line as logged.
    fn take_due(&mut self, now: Millis) -> bool {
        let interval_ms = match &self.reported {
            None if self.is_proven || self.lost != LostStreams::default() => INTERVALS_MS.0,
            Some(last) if last.is_proven != self.is_proven => last.interval_ms,
            Some(last) if last.lost != self.lost && last.next <= now => {
                (last.interval_ms * 2).min(INTERVALS_MS.1)
            }
            _ => return false,
        };
        let next = now.after(interval_ms);
        let (lost, is_proven) = (self.lost, self.is_proven);
        self.reported = Some(Reported { lost, interval_ms, next, is_proven });
        true
    }
}

impl PartitionStreams {
    /// Notes that a peer has proven a rollback of the store.
    pub(super) fn note_rollback(&mut self, is_proven: bool) {
        self.tombstones.note_rollback(is_proven);
        if is_proven {
            self.losses.on_proof();
        }
    }

    /// Logs proven losses if a line is due.
    pub(super) fn report_losses(&mut self, now: Millis) {
        if !self.losses.take_due(now) {
            return;
        }
        let is_live = |number: &&StreamNumber| {
            self.streams.get(number).is_some_and(|stream| !stream.state().is_ended())
        };
        let LossReport { log_end, claim, lost, is_proven, .. } = &self.losses;
        let event = match is_proven {
            true => "the store lost acknowledged writes before this claim",
            false => "clients alone report that the store lost writes before this claim",
        };
        tracing::warn!(
            partition = self.partition,
            epoch = %self.epoch,
            log_index_expected = format!("above {log_end}"),
            log_index_found = log_end.0,
            lost_claim = claim.map(|tag| tag.to_string()),
            streams_lost = lost.ended,
            streams_unrecorded = lost.unrecorded,
            streams_kept = self.streams.keys().filter(is_live).count(),
            "{event}; the affected streams end with `state lost`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_proof_is_reported_at_once_and_later_losses_at_growing_intervals() {
        let mut report = LossReport::new(LogIndex(7));
        assert!(!report.take_due(Millis(0)), "nothing is proven");
        report.on_lost_claim(ClaimTag::new(5, "a"));
        report.on_ended();
        assert!(report.take_due(Millis(0)));
        assert_eq!(report.deadline(), None, "all losses are reported");
        let mut begin = 0;
        for interval in [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000] {
            report.on_unrecorded();
            assert_eq!(report.deadline(), Some(Millis(begin + interval)));
            assert!(!report.take_due(Millis(begin + interval - 1)), "{interval}");
            begin += interval;
            assert!(report.take_due(Millis(begin)), "{interval}");
        }
        assert_eq!(report.lost, LostStreams { ended: 1, unrecorded: 7 });
    }

    #[test]
    fn a_proof_after_the_reports_of_clients_is_logged_at_once() {
        let mut report = LossReport::new(LogIndex(7));
        report.on_ended();
        assert!(report.take_due(Millis(0)) && !report.is_proven);
        report.on_proof();
        assert!(report.take_due(Millis(1)) && report.is_proven);
        assert!(!report.take_due(Millis(2)));
        report.on_ended();
        assert_eq!(report.deadline(), Some(Millis(10_001)));
    }

    #[test]
    fn a_proof_alone_is_reported_once() {
        let mut report = LossReport::new(LogIndex(0));
        report.on_proof();
        assert!(report.take_due(Millis(0)));
        report.on_proof();
        assert!(!report.take_due(Millis(1_000_000)));
    }
}
