//! What the performances add up to: failures in full, a table per face, the last line.

use std::collections::BTreeMap;

use crate::differences::Differences;
use crate::face::{Face, Untranslatable};
use crate::player::{Fault, Performance};
use crate::vectors::Class;

/// What a performance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// As recorded.
    Passed,
    /// Differs as listed in the differences.
    Listed,
    /// Differs, and its class allows that.
    Free,
    /// Differs and must not, or the server did not answer at all.
    Failed,
    /// Passed although it is listed as different.
    Stale,
}

/// Counts and failures so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<(Face, Class), BTreeMap<Verdict, usize>>,
    left_out: BTreeMap<Untranslatable, usize>,
    /// The server ended or could not be asked any more.
    broken: Option<String>,
}

/// Judges a performance.
pub(crate) fn judge(class: Class, listed: Option<bool>, performance: &Performance) -> Verdict {
    match (&performance.fault, listed) {
        (Some(_), _) if !performance.answered => Verdict::Failed,
        (Some(_), _) if class != Class::Protocol => Verdict::Free,
        (Some(_), Some(_)) => Verdict::Listed,
        (Some(_), None) => Verdict::Failed,
        (None, Some(false)) => Verdict::Stale,
        (None, Some(true) | None) => Verdict::Passed,
    }
}

impl Report {
    /// Adds a performance and prints it if it is a failure, or if `verbose`.
    pub(crate) fn add(
        &mut self,
        (name, class, face): (&str, Class, Face),
        differences: &Differences,
        performance: &Performance,
        verbose: bool,
    ) {
        let verdict = judge(class, differences.lists(name, face), performance);
        *self.counts.entry((face, class)).or_default().entry(verdict).or_default() += 1;
        if verdict.is_failure() || verbose {
            println!("{} {name} [{face}] [{class:?}]", verdict.word());
            if let Some(Fault { step, what }) = &performance.fault {
                println!("   step {step}: {}", what.replace('\n', "\n      "));
            }
        }
    }

    /// Counts a vector that cannot be played.
    pub(crate) fn leave_out(&mut self, reason: Untranslatable) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Notes that the server did not survive.
    pub(crate) fn broken(&mut self, how: String) {
        println!("FAILED server: {how}");
        self.broken = Some(how);
    }

    /// Prints the table and the last line; true if nothing failed.
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
        let failed = self.total(Verdict::is_failure) + usize::from(self.broken.is_some());
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

    fn performance(differs: bool, answered: bool) -> Performance {
        let fault = differs.then(|| Fault { step: 0, what: String::new() });
        Performance { fault, answered }
    }

    #[test]
    fn only_unlisted_protocol_differences_silence_and_stale_entries_fail() {
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
            assert_eq!(judge(class, listed, &performance(differs, answered)), verdict);
        }
    }

    #[test]
    fn a_failure_or_a_broken_server_fails_the_run() {
        let list = Differences::default();
        let key = ("a/b", Class::Protocol, Face::Tcp);
        let mut report = Report::default();
        report.add(key, &list, &performance(false, true), false);
        assert!(report.finish());
        report.add(key, &list, &performance(true, true), false);
        assert!(!report.finish());
        let mut report = Report::default();
        report.broken("it ended".to_owned());
        assert!(!report.finish());
    }
}
