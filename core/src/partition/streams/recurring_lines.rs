//! Log lines about faults that can occur in many streams: one per cause and process, at growing intervals, with a count and
//! the last stream as an example.

use std::fmt::Display;

use minerva_proto::StreamNumber;
use minerva_runtime::recurring::RecurringFaults;
use tokio::time::Instant;

use crate::state::InconsistentError;

/// Dropped records by kind of the contradiction.
static DROPPED: RecurringFaults = RecurringFaults::new();

/// Deliveries of suspect streams by service.
static SUSPECTS: RecurringFaults = RecurringFaults::new();

/// Logs a record that was not appended because of a defect of this program, if a line is due.
pub(super) fn report_dropped(stream: StreamNumber, error: &InconsistentError, now: Instant) {
    if let Some(records) = DROPPED.record(&error.to_string(), now.into_std()) {
        tracing::error!(%stream, records, %error, "record dropped");
    }
}

/// The delivery of a stream in whose delivery two or more app instances died.
pub(super) struct SuspectDelivery<'a, S> {
    /// Short hash of the stream.
    pub(super) stream: S,
    pub(super) service: &'a str,
    pub(super) instance: &'a str,
    /// Number of this delivery.
    pub(super) attempt: u32,
}

impl<S: Display> SuspectDelivery<'_, S> {
    /// Logs the delivery if a line about the service is due.
    pub(super) fn warn(&self, now: Instant) {
        let Self { stream, service, instance, attempt } = self;
        if let Some(deliveries) = SUSPECTS.record(service, now.into_std()) {
            tracing::warn!(%stream, service, instance, attempt, deliveries, "app instances died with this stream in delivery");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::clock;

    /// Counts log lines.
    #[derive(Default)]
    struct Lines(Arc<AtomicUsize>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// Number of lines for one fault of another stream each 10 ms in 10 s.
    fn lines(fault: impl Fn(u64, Instant)) -> usize {
        let (lines, start) = (Lines::default(), clock::now());
        let count = Arc::clone(&lines.0);
        tracing::subscriber::with_default(lines, || {
            (0..1000).for_each(|at| fault(at, start + Duration::from_millis(10 * at)));
        });
        count.load(Ordering::Relaxed)
    }

    #[test]
    fn dropped_records_of_many_streams_have_few_lines() {
        let error = InconsistentError::of_test("a defect");
        assert_eq!(lines(|at, now| report_dropped(StreamNumber(at), &error, now)), 4);
    }

    #[test]
    fn deliveries_of_suspects_have_lines_by_service() {
        let deliver = |service: &str, at: u64, now| {
            SuspectDelivery { stream: at, service, instance: "one", attempt: 3 }.warn(now);
        };
        assert_eq!(lines(|at, now| deliver("poisoned", at, now)), 4, "at 0, 1, 3 and 7 s");
        let of_two = |at: u64, now| deliver(["a service", "another"][at as usize % 2], at, now);
        assert_eq!(lines(of_two), 8);
    }
}
