//! The report: a line per check and the totals.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock;

/// Time limit of one check, about ten times the usual duration; the ledger has its own limits.
const LIMIT: Duration = Duration::from_secs(60);

/// Counts of checks.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    /// Runs a check within the time limit and prints the result.
    pub(crate) async fn check(
        &mut self,
        name: &str,
        check: impl Future<Output = anyhow::Result<()>>,
    ) {
        let began = clock::now();
        let outcome = timeout(LIMIT, check).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("not complete after {LIMIT:?}")));
        self.count(name, outcome, clock::now().duration_since(began));
    }

    /// Counts a completed check and prints the result.
    pub(crate) fn count(&mut self, name: &str, outcome: anyhow::Result<()>, duration: Duration) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name:<44} {:>6.2} s", duration.as_secs_f64());
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {name}: {error:#}");
            }
        }
    }

    /// Number of failed checks.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// Prints the totals.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
