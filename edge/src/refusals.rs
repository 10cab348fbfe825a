//! Counts and logs the refusals of version 3: a metric by code, and one log line per code at growing intervals, with an
//! example. Neither has a stream id or a key of a client. For both versions, one line about services without an
//! application.

use minerva_proto::StreamId;
use minerva_proto::link::{Attach, NO_APPLICATION, UNSERVED};
use minerva_proto::v3::Refusal;
use minerva_runtime::recurring::RecurringFaults;

use crate::clock;
use crate::metrics::{Metrics, RefusalCode};

static FAULTS: RecurringFaults = RecurringFaults::new();

/// Transports that failed by a defect of the server.
static FAILURES: RecurringFaults = RecurringFaults::new();

/// Records the refusal of a transport; `attach` is the content of its hello, if received.
pub(crate) fn record(metrics: &Metrics, refusal: &Refusal, attach: Option<&Attach>) {
    let Some(code) = refusal.code() else { return };
    metrics.refusals.get_or_create(&RefusalCode { code: code.as_str() }).inc();
    if let Some(refused) = FAULTS.record(code.as_str(), clock::now()) {
        let service = attach.map(|attach| attach.caller.service.as_str());
        let title = refusal.title();
        tracing::warn!(code = code.as_str(), refused, title, service, "refused a transport");
    }
}

/// Logs the failure of a transport by a defect of the server, if a line is due.
pub(crate) fn note_failure(stream: &StreamId, reason: &str) {
    let stream = stream.short_hash();
    if let Some(failures) = FAILURES.record(reason, clock::now()) {
        tracing::warn!(%stream, reason, failures, "a transport has failed");
    } else {
        tracing::debug!(%stream, reason, "a transport has failed");
    }
}

/// Logs that a core refuses streams of a service without an application instance, if a line is due.
pub(crate) fn note_unavailable(attach: &Attach, reason: &str) {
    let stream = attach.stream_id.short_hash();
    tracing::debug!(%stream, reason, "a stream is unavailable");
    if !is_unserved(reason) {
        return;
    }
    if let Some(refused) = FAULTS.record(reason, clock::now()) {
        let service = attach.caller.service.as_str();
        let text = "no application serves this service; start one, or check the client's URL";
        tracing::warn!(refused, service, reason, "{text}");
    }
}

/// Whether a core's reason for `Unavailable` is the lack of an application instance.
fn is_unserved(reason: &str) -> bool {
    matches!(reason, UNSERVED | NO_APPLICATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_many_transports_have_one_line() {
        let fail = |stream: u32, reason: &str| {
            note_failure(&StreamId::parse(&format!("{stream:024}")).unwrap(), reason);
        };
        let lines = crate::log_lines::of(|| {
            (0..100).for_each(|stream| fail(stream, "a defect"));
            fail(100, "another defect");
        });
        assert!((2..=3).contains(&lines.len()), "{lines:?}");
        assert!(lines[0].contains("reason=\"a defect\" failures=1"), "{lines:?}");
        assert!(!lines[0].contains("000000"), "a hash, no stream id: {lines:?}");
    }
}
