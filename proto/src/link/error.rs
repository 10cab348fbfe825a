//! Errors of the checked codec.

use super::TransportId;

/// A frame breaks the contract of the link. The consequence is the end of one transport at most, never of the link.
///
/// The text names the field and the rule, never the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct LinkFrameError {
    /// The transport, if the frame names one.
    pub transport: Option<TransportId>,
    /// Path of the offending field, such as `attach.service`: one of a few dozen, so usable as a metric label.
    pub field: &'static str,
    /// The broken rule.
    pub problem: String,
}

impl LinkFrameError {
    /// An error about `field`.
    pub fn new(
        transport: Option<TransportId>,
        field: &'static str,
        problem: impl ToString,
    ) -> Self {
        Self { transport, field, problem: problem.to_string() }
    }
}

/// An offence within a frame whose transport is added by the caller.
pub(super) struct FieldError {
    field: &'static str,
    problem: String,
}

impl FieldError {
    pub(super) fn new(field: &'static str, problem: impl ToString) -> Self {
        Self { field, problem: problem.to_string() }
    }

    pub(super) fn at(self, transport: TransportId) -> LinkFrameError {
        LinkFrameError { transport: Some(transport), field: self.field, problem: self.problem }
    }
}
