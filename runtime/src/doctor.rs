//! The subcommand `doctor`: whether the machine, and what a program depends on, are set up as the work needs it,
//! and what to change. This file is how that is said; [`machine()`] looks at the machine, and the core adds what it
//! knows of a store. Called by each program's `main.rs`, never by a process that serves.

mod machine;
mod readings;

use std::fmt;
use std::io::Write;

use crate::config_error::ConfigError;
pub use machine::{Needs, machine};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but worse or less safely than it could.
    Warn,
    /// Will not do.
    Fail,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    verdict: Verdict,
    what: String,
    value: String,
    fix: Option<String>,
}

impl Finding {
    /// Something as it should be.
    pub fn ok(what: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Ok, what: what.into(), value: value.to_string(), fix: None }
    }

    /// Something that works and should be changed.
    pub fn warn(what: impl Into<String>, value: impl fmt::Display, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, fix: Some(fix.into()), ..Self::ok(what, value) }
    }

    /// Something that has to be changed.
    pub fn fail(what: impl Into<String>, value: impl fmt::Display, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, fix: Some(fix.into()), ..Self::ok(what, value) }
    }

    /// An option with which the program would not start.
    pub fn wrong(what: impl Into<String>, error: ConfigError) -> Self {
        Self::fail(what, format!("{}: {}", error.option, error.problem), error.fix)
    }

    /// How bad it is.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What was looked at.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(f, "{verdict}  {}: {}", self.what, self.value)?;
        match &self.fix {
            Some(fix) => write!(f, "; fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// Something will not do as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} checks failed; the lines that begin with `fail` say what to change")]
pub struct Unfit(usize, usize);

/// Prints the findings, one line each.
///
/// # Errors
/// If one of them is a failure.
pub fn report(findings: &[Finding]) -> Result<(), Unfit> {
    let mut out = std::io::stdout().lock();
    for finding in findings {
        // Whoever reads may stop after the first lines; the exit code says the rest.
        let _ = writeln!(out, "{finding}");
    }
    judge(findings)
}

fn judge(findings: &[Finding]) -> Result<(), Unfit> {
    match findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        failed => Err(Unfit(failed, findings.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_begins_with_its_verdict() {
        assert_eq!(Finding::ok("a", 1).to_string(), "ok    a: 1");
        assert_eq!(Finding::warn("b", "x", "do y").to_string(), "warn  b: x; fix: do y");
        assert_eq!(Finding::fail("c", "x", "do y").to_string(), "fail  c: x; fix: do y");
    }

    #[test]
    fn only_a_failure_fails() {
        let (ok, warn, fail) =
            (Finding::ok("a", 1), Finding::warn("b", 2, "c"), Finding::fail("d", 3, "e"));
        assert!(judge(&[]).is_ok());
        assert!(judge(&[ok.clone(), warn.clone()]).is_ok());
        let error = judge(&[ok, fail, warn]).unwrap_err().to_string();
        assert!(error.starts_with("1 of 3 checks failed"), "{error}");
    }
}
