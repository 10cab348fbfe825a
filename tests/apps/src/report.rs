//! What was checked, and how it went: a line each, and the sum at the end.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock;

/// Time for one check, some ten times what it needs; the ledger has its own.
const LIMIT: Duration = Duration::from_secs(60);

/// Counts checks.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    /// Does a check, within a time, and prints how it went.
    pub(crate) async fn check(
        &mut self,
        name: &str,
        check: impl Future<Output = anyhow::Result<()>>,
    ) {
        let began = clock::now();
        let outcome = timeout(LIMIT, check).await;
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("not done after {LIMIT:?}")));
        self.count(name, outcome, clock::now().duration_since(began));
    }

    /// Counts a check that was done.
    pub(crate) fn count(&mut self, name: &str, outcome: anyhow::Result<()>, took: Duration) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name:<44} {:>6.2} s", took.as_secs_f64());
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {name}: {error:#}");
            }
        }
    }

    /// How many checks failed so far.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// Prints the sum.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
