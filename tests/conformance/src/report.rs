//! The report: each failure at once, then a table per face and the totals.

use std::collections::BTreeMap;

use crate::differences::Differences;
use crate::face::{Face, Untranslatable};
use crate::player::{Mismatch, Playback};
use crate::vectors::Class;

/// Classification of a playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// As recorded.
    Passed,
    /// A mismatch that the list of differences contains.
    Listed,
    /// A mismatch that the class permits.
    Free,
    /// A mismatch that is not permitted, or no response of the server.
    Failed,
    /// Passed, but the list of differences contains the vector.
    Stale,
}

/// Counts by face, class and verdict.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<(Face, Class), BTreeMap<Verdict, usize>>,
    left_out: BTreeMap<Untranslatable, usize>,
    /// The error of a program that ended.
    server_error: Option<String>,
}

/// Classifies a playback.
pub(crate) fn judge(class: Class, listed: Option<bool>, playback: &Playback) -> Verdict {
    match (&playback.mismatch, listed) {
        (Some(_), _) if !playback.answered => Verdict::Failed,
        (Some(_), _) if class != Class::Protocol => Verdict::Free,
        (Some(_), Some(_)) => Verdict::Listed,
        (Some(_), None) => Verdict::Failed,
        (None, Some(false)) => Verdict::Stale,
        (None, Some(true) | None) => Verdict::Passed,
    }
}

impl Report {
    /// Adds a playback; prints failures, with `verbose` all.
    pub(crate) fn add(
        &mut self,
        (name, class, face): (&str, Class, Face),
        differences: &Differences,
        playback: &Playback,
        verbose: bool,
    ) {
        let verdict = judge(class, differences.lists(name, face), playback);
        *self.counts.entry((face, class)).or_default().entry(verdict).or_default() += 1;
        if verdict.is_failure() || verbose {
            println!("{} {name} [{face}] [{class:?}]", verdict.word());
            if let Some(Mismatch { step, text }) = &playback.mismatch {
                println!("   step {step}: {}", text.replace('\n', "\n      "));
            }
        }
    }

    /// Counts a vector that cannot be played.
    pub(crate) fn leave_out(&mut self, reason: Untranslatable) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Records the end of a program under test.
    pub(crate) fn fail(&mut self, error: String) {
        println!("FAILED server: {error}");
        self.server_error = Some(error);
    }

    /// Prints the table and the totals. Returns whether the run has passed.
    pub(crate) fn finish(&self) -> bool {
        println!(
            "{:<10} {:<13} {:>7} {:>7} {:>7} {:>7} {:>7}",
            "face", "class", "passed", "listed", "differ", "failed", "stale"
        );
        for ((face, class), counts) in &self.counts {
            let of = |verdict| counts.get(&verdict).copied().unwrap_or(0);
            println!(
                "{face:<10} {:<13} {:>7} {:>7} {:>7} {:>7} {:>7}",
                format!("{class:?}"),
                of(Verdict::Passed),
                of(Verdict::Listed),
                of(Verdict::Free),
                of(Verdict::Failed),
                of(Verdict::Stale),
            );
        }
        for (reason, number) in &self.left_out {
            println!("{number} vectors left out over websocket: {reason}");
        }
        for face in Face::ALL {
            self.print_share(face);
        }
        let failed = self.total(Verdict::is_failure) + usize::from(self.server_error.is_some());
        println!("{} passed, {failed} failed", self.total(|verdict| !verdict.is_failure()));
        failed == 0
    }

    fn print_share(&self, face: Face) {
        let Some(counts) = self.counts.get(&(face, Class::Protocol)) else { return };
        let passed = counts.get(&Verdict::Passed).copied().unwrap_or(0)
            + counts.get(&Verdict::Stale).copied().unwrap_or(0);
        let all: usize = counts.values().sum();
        let percent = 100.0 * passed as f64 / all as f64;
        println!("{face}: {passed} of {all} protocol vectors as recorded ({percent:.1} %)");
    }

    fn total(&self, which: impl Fn(Verdict) -> bool) -> usize {
        let all = self.counts.values().flatten();
        all.filter(|(verdict, _)| which(**verdict)).map(|(_, number)| number).sum()
    }
}

impl Verdict {
    fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::Stale => true,
            Self::Passed | Self::Listed | Self::Free => false,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Listed => "listed",
            Self::Free => "differs",
            Self::Failed => "FAILED",
            Self::Stale => "STALE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playback(differs: bool, answered: bool) -> Playback {
        let mismatch = differs.then(|| Mismatch { step: 0, text: String::new() });
        Playback { mismatch, answered }
    }

    #[test]
    fn unlisted_protocol_mismatches_missing_responses_and_stale_entries_fail() {
        use Class::{Protocol, Quirk};
        for (class, listed, differs, answered, verdict) in [
            (Protocol, None, false, true, Verdict::Passed),
            (Protocol, None, true, true, Verdict::Failed),
            (Protocol, Some(false), true, true, Verdict::Listed),
            (Protocol, Some(false), false, true, Verdict::Stale),
            (Protocol, Some(true), false, true, Verdict::Passed),
            (Protocol, Some(true), true, true, Verdict::Listed),
            (Protocol, Some(true), true, false, Verdict::Failed),
            (Quirk, None, true, true, Verdict::Free),
            (Quirk, None, true, false, Verdict::Failed),
            (Quirk, None, false, true, Verdict::Passed),
        ] {
            assert_eq!(judge(class, listed, &playback(differs, answered)), verdict);
        }
    }

    #[test]
    fn a_mismatch_or_an_ended_server_fails_the_run() {
        let list = Differences::default();
        let key = ("a/b", Class::Protocol, Face::Tcp);
        let mut report = Report::default();
        report.add(key, &list, &playback(false, true), false);
        assert!(report.finish());
        report.add(key, &list, &playback(true, true), false);
        assert!(!report.finish());
        let mut report = Report::default();
        report.fail("process ended".to_owned());
        assert!(!report.finish());
    }
}
