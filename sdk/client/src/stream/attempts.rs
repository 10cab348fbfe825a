//! Failed attempts since the last attached primary, and the current problem. Pure; called by the stream machine.

use std::collections::VecDeque;

use crate::problem::{FailedAttempt, Problem};

/// Most kept attempts; older ones are dropped.
const MAX_ATTEMPTS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: VecDeque<FailedAttempt>,
    /// Failed primaries since the last attached one.
    count: usize,
    /// Consecutive attempts that a wrong configuration explains.
    halts: usize,
    problem: Option<Problem>,
}

impl Attempts {
    /// Records a failed primary.
    pub(super) fn on_failure(&mut self, attempt: FailedAttempt) {
        self.count += 1;
        self.halts = if attempt.problem.code.halts() { self.halts + 1 } else { 0 };
        self.problem = Some(attempt.problem.clone());
        self.failed.truncate(MAX_ATTEMPTS - 1);
        self.failed.push_front(attempt);
    }

    /// Records a problem other than that of a primary.
    pub(super) fn on_problem(&mut self, problem: Problem) {
        self.problem = Some(problem);
    }

    /// Records that the server has attached a primary.
    pub(super) fn on_attached(&mut self) {
        *self = Self::default();
    }

    pub(super) fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// The failures, in order, if there are at least `round` of them.
    pub(super) fn round(&self, round: usize) -> Option<Vec<FailedAttempt>> {
        (self.count >= round).then(|| self.failed.iter().rev().cloned().collect())
    }

    /// Whether the configuration explains the whole last round of `round` attempts.
    pub(super) fn is_halted(&self, round: usize) -> bool {
        self.halts >= round
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::v3::RefusalCode;

    use super::*;
    use crate::config::TransportKind;
    use crate::problem::ProblemCode;

    fn attempt(number: usize, code: ProblemCode) -> FailedAttempt {
        let (transport, address) = (TransportKind::Tcp, number.to_string());
        FailedAttempt { transport, address, problem: Problem::new(code, "") }
    }

    #[test]
    fn the_newest_failures_are_kept_until_a_primary_is_attached() {
        for count in [MAX_ATTEMPTS - 1, MAX_ATTEMPTS, MAX_ATTEMPTS + 1] {
            let mut attempts = Attempts::default();
            (0..count).for_each(|n| attempts.on_failure(attempt(n, ProblemCode::Network)));
            assert_eq!(attempts.round(count + 1), None);
            let kept: Vec<_> = attempts.round(count).unwrap();
            let expected = (count.saturating_sub(MAX_ATTEMPTS)..count).map(|n| n.to_string());
            assert!(kept.iter().map(|attempt| attempt.address.clone()).eq(expected));
            assert_eq!(attempts.problem().map(|problem| problem.code), Some(ProblemCode::Network));
            attempts.on_attached();
            assert_eq!((attempts.problem(), attempts.round(1)), (None, None));
        }
    }

    #[test]
    fn a_round_of_refusals_for_the_configuration_halts() {
        let (origin, network) = (ProblemCode::Refused(RefusalCode::Origin), ProblemCode::Network);
        let mut attempts = Attempts::default();
        for (code, halted) in [(origin, false), (origin, true), (network, false), (origin, false)] {
            attempts.on_failure(attempt(0, code));
            assert_eq!(attempts.is_halted(2), halted);
        }
    }
}
