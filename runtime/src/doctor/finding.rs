//! One line of the doctor's report: a checked subject, the value found, and a fix where one is needed.

use std::fmt;

use crate::config_error::ConfigError;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No change needed.
    Ok,
    /// The program works, but slower or less safely than possible.
    Warn,
    /// The program does not work.
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    verdict: Verdict,
    subject: String,
    value: String,
    fix: Option<String>,
}

impl Finding {
    /// Makes a finding that needs no change.
    pub fn ok(subject: impl Into<String>, value: impl fmt::Display) -> Self {
        let (subject, value) = (subject.into(), value.to_string());
        Self { verdict: Verdict::Ok, subject, value, fix: None }
    }

    /// Makes a finding that should be fixed.
    pub fn warn(
        subject: impl Into<String>,
        value: impl fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Warn, fix: Some(fix.into()), ..Self::ok(subject, value) }
    }

    /// Makes a finding that must be fixed.
    pub fn fail(
        subject: impl Into<String>,
        value: impl fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Fail, fix: Some(fix.into()), ..Self::ok(subject, value) }
    }

    /// Makes a failure of an option with which the program would not start.
    pub fn config_error(subject: impl Into<String>, error: ConfigError) -> Self {
        Self::fail(subject, format!("{}: {}", error.option, error.problem), error.fix)
    }

    /// Severity of this finding.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Name of the checked setting or dependency.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(f, "{verdict}  {}: {}", self.subject, self.value)?;
        match &self.fix {
            Some(fix) => write!(f, "; fix: {fix}"),
            None => Ok(()),
        }
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
}
