//! Counts and logs the refusals of version 3: a metric by code, and one log line per code at growing intervals, with an
//! example. Neither has a stream id or a key of a client.

use minerva_proto::link::Attach;
use minerva_proto::v3::Refusal;
use minerva_runtime::recurring::RecurringFaults;

use crate::clock;
use crate::metrics::{Metrics, RefusalCode};

static FAULTS: RecurringFaults = RecurringFaults::new();

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
