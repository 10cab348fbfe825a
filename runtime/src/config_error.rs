//! The error of a wrong option. Programs print it and exit with [`EXIT_CONFIG`](crate::EXIT_CONFIG); the
//! subcommand `doctor` reports the error as a finding.

use std::fmt::Display;
use std::net::SocketAddr;

/// A wrong option: name, problem, and fix for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{option}: {problem}\n  fix: {fix}")]
pub struct ConfigError {
    pub(crate) option: String,
    pub(crate) problem: String,
    pub(crate) fix: String,
}

impl ConfigError {
    /// Makes an error from an option, such as `--listen`, the problem and the fix.
    pub fn new(option: impl Into<String>, problem: impl Display, fix: impl Into<String>) -> Self {
        Self { option: option.into(), problem: problem.to_string(), fix: fix.into() }
    }

    /// Reports that the listen address of an option cannot be bound.
    pub fn cannot_listen(option: &str, address: SocketAddr, error: &std::io::Error) -> Self {
        let problem = format!("cannot listen on {address}: {error}");
        Self::new(
            option,
            problem,
            "choose a free address of this machine, or stop the program that uses it",
        )
    }
}
