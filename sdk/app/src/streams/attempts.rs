//! The outcome of a request that goes to every core, as far as failed attempts leave it open. Pure; called by
//! `scatter_gather`.

use tonic::{ConnectError, Status};
use tonic_types::StatusExt as _;

use super::core_request::CoreRequest;
use super::error::StreamsError;

/// The attempts of one request so far.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) last_problem: Option<String>,
    /// A core may have applied the request, and its answer is not known.
    pub(super) may_be_applied: bool,
    /// Some core has not answered the current attempt.
    pub(super) is_in_flight: bool,
}

impl Attempts {
    pub(super) fn on_problem(&mut self, problem: String, may_be_applied: bool) {
        self.last_problem = Some(problem);
        self.may_be_applied |= may_be_applied;
    }

    /// The error of a request that a core has refused. Another core may have applied its part of a change, except if the
    /// refusal concerns the only stream of the request.
    pub(super) fn into_refusal<Q: CoreRequest>(
        self,
        request: &Q,
        error: StreamsError,
    ) -> StreamsError {
        let is_of_stream = matches!(
            error,
            StreamsError::NotFound
                | StreamsError::Ended
                | StreamsError::Full { .. }
                | StreamsError::TooManyGroups
        );
        if Q::IS_CHANGE && self.may_be_applied && !is_of_stream {
            return StreamsError::Unknown { problem: error.to_string(), key: request.key() };
        }
        error
    }

    /// The error of a request without a complete answer until the deadline.
    pub(super) fn into_error<Q: CoreRequest>(self, request: &Q) -> StreamsError {
        let problem = self.last_problem.unwrap_or_else(|| "not in time".to_owned());
        if Q::IS_CHANGE && (self.may_be_applied || self.is_in_flight) {
            return StreamsError::Unknown { problem, key: request.key() };
        }
        StreamsError::Unavailable(problem)
    }
}

/// Whether a request that failed with this status may have been applied.
pub(super) fn may_be_applied(status: &Status) -> bool {
    if status.get_error_details().error_info().is_some_and(|info| info.reason == "NOT_OWNER") {
        return false;
    }
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return false;
        }
        cause = error.source();
    }
    true
}
