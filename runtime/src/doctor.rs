//! The subcommand `doctor`: checks the machine and the dependencies of a program, and reports fixes.
//!
//! [`check_machine`] checks the machine, and the core adds findings about its store. Each `main.rs` calls [`report`];
//! a serving process never does.

mod finding;
mod machine;
mod readings;

use std::io::Write;

pub use finding::{Finding, Verdict};
pub use machine::{ClientRequirements, Requirements, check_machine};

/// At least one check failed.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {checks} checks failed; the lines that begin with `fail` name the fixes")]
pub struct DoctorError {
    failed: usize,
    checks: usize,
}

/// Prints the findings to standard output, one line each.
///
/// # Errors
/// If one of the findings is a failure.
pub fn report(findings: &[Finding]) -> Result<(), DoctorError> {
    let mut out = std::io::stdout().lock();
    for finding in findings {
        // The reader may close the pipe early; the exit code still reports the outcome.
        let _ = writeln!(out, "{finding}");
    }
    check(findings)
}

fn check(findings: &[Finding]) -> Result<(), DoctorError> {
    match findings.iter().filter(|finding| finding.verdict() == Verdict::Fail).count() {
        0 => Ok(()),
        failed => Err(DoctorError { failed, checks: findings.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_fails() {
        let (ok, warn, fail) =
            (Finding::ok("a", 1), Finding::warn("b", 2, "c"), Finding::fail("d", 3, "e"));
        assert!(check(&[]).is_ok());
        assert!(check(&[ok.clone(), warn.clone()]).is_ok());
        let error = check(&[ok, fail, warn]).unwrap_err().to_string();
        assert!(error.starts_with("1 of 3 checks failed"), "{error}");
    }
}
