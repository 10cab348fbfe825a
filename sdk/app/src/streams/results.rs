//! The results of requests to streams, decoded from the responses of the cores.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use minerva_proto::app::{self, StreamInfo};
use minerva_proto::{EventNumber, StreamNumber, TransportKind};

use crate::event::Ended;

/// The outcome of a send for one stream. See [`Streams::send_many`](crate::Streams::send_many) for an
/// example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendResult {
    /// Number of the stream.
    pub stream: StreamNumber,
    /// Whether the stream took the messages.
    pub outcome: SendOutcome,
}

/// The outcome of a send for one stream. See [`Streams::send_many`](crate::Streams::send_many) for an
/// example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendOutcome {
    /// All messages are durable in the outbox, by this send or an earlier one with the same key. The client
    /// receives them unless the stream ends before.
    Taken,
    /// The outbox is full; no message is accepted.
    Full,
    /// The stream has ended.
    Ended,
    /// The stream does not exist.
    NotFound,
    /// The client does not accept a message; see [`Accepts`](crate::Accepts). No message is accepted.
    Unsupported,
}

/// The outcome of a send to a group. See [`GroupSend`](crate::GroupSend) for an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSendResult {
    /// Number of streams that took the messages, now or in an earlier send with the same key.
    pub taken: u64,
    /// All streams with a full outbox, which took nothing, in ascending order. With a core of release 0.1 the first
    /// thousand of each core.
    pub full: Vec<StreamNumber>,
    /// Number of all streams with a full outbox.
    pub full_count: u64,
    /// Streams that took nothing because their clients do not accept a message, in ascending order: the first thousand of
    /// each core. See [`Accepts`](crate::Accepts).
    pub unsupported: Vec<StreamNumber>,
    /// Number of all streams whose clients do not accept a message.
    pub unsupported_count: u64,
    /// The streams of `full` that were ended by [`GroupSend::reset_slow`](crate::GroupSend::reset_slow).
    pub reset: Vec<StreamNumber>,
}

/// The state of a stream, reported by a core. See [`Streams`](crate::Streams) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamState {
    /// Number of the stream.
    pub stream: StreamNumber,
    /// Name of the service.
    pub service: String,
    /// Label, unless empty.
    pub label: Option<String>,
    /// Joined groups.
    pub groups: Vec<String>,
    /// Start of the stream, by the core's clock.
    pub started_at: SystemTime,
    /// Protocol of the primary transport; `None` while the client is disconnected, or if newer than this SDK.
    pub transport: Option<TransportKind>,
    /// Number of attached transports.
    pub transports: u32,
    /// Lifetime without a transport.
    pub max_idle: Duration,
    /// The current or last instance.
    pub instance_id: Option<String>,
    /// First event not acknowledged by the application.
    pub next_unacknowledged_event: EventNumber,
    /// Number of the next event.
    pub next_event: EventNumber,
    /// Messages not acknowledged by the application.
    pub inbox: Backlog,
    /// Messages not acknowledged by the client.
    pub outbox: Backlog,
    /// Reasons that hold messages back.
    pub pauses: Vec<Pause>,
    /// Reason and origin of the end, once the stream has ended.
    pub ended: Option<Ended>,
}

/// The size of an inbox or outbox. See [`Streams`](crate::Streams) for an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes of the messages; those acknowledged by the client are excluded.
    pub bytes: u64,
    /// Number of messages, including those of the outbox that the client acknowledged beyond a gap.
    pub messages: u64,
}

/// A reason that holds messages back. See [`Streams`](crate::Streams) for an example of a stream's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pause {
    /// The client is slow: producers should pause.
    ClientBehind,
    /// The application is slow: no more messages are taken from the client.
    AppBehind,
    /// No instance serves the stream.
    NoInstance,
    /// The client is disconnected.
    NoTransport,
    /// Newer than this SDK.
    Other,
}

/// Merges the results of several cores: that of the owner replaces those of other cores.
pub(super) fn merge(results: impl Iterator<Item = app::SendResult>) -> Vec<SendResult> {
    let mut outcomes: BTreeMap<StreamNumber, SendOutcome> = BTreeMap::new();
    for result in results {
        let outcome = match result.outcome() {
            app::SendOutcome::Taken | app::SendOutcome::Repeated => SendOutcome::Taken,
            app::SendOutcome::Full => SendOutcome::Full,
            app::SendOutcome::Ended => SendOutcome::Ended,
            app::SendOutcome::NotFound => SendOutcome::NotFound,
            app::SendOutcome::Unsupported => SendOutcome::Unsupported,
            app::SendOutcome::NotOwner | app::SendOutcome::Unspecified => continue,
        };
        outcomes.insert(StreamNumber(result.stream), outcome);
    }
    outcomes.into_iter().map(|(stream, outcome)| SendResult { stream, outcome }).collect()
}

impl From<StreamInfo> for StreamState {
    fn from(info: StreamInfo) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let transport = info.primary_transport().into();
        let pauses = info.pauses().map(Pause::from_proto).collect();
        Self {
            stream: StreamNumber(info.stream),
            service: info.service,
            label: some(info.label),
            groups: info.groups,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(info.started_at_ms),
            transport,
            transports: info.transports,
            max_idle: Duration::from_millis(info.max_idle_ms),
            instance_id: some(info.instance_id),
            next_unacknowledged_event: EventNumber(info.next_unacknowledged_event),
            next_event: EventNumber(info.next_event),
            inbox: Backlog { bytes: info.inbox_bytes, messages: info.inbox_messages },
            outbox: Backlog { bytes: info.outbox_bytes, messages: info.outbox_messages },
            pauses,
            ended: info.ended.map(Ended::from_proto),
        }
    }
}

impl Pause {
    fn from_proto(pause: app::Pause) -> Self {
        match pause {
            app::Pause::ClientBehind => Self::ClientBehind,
            app::Pause::AppBehind => Self::AppBehind,
            app::Pause::NoInstance => Self::NoInstance,
            app::Pause::NoTransport => Self::NoTransport,
            app::Pause::Unspecified => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_of_the_owner_replaces_that_of_other_cores() {
        let result =
            |stream, outcome: app::SendOutcome| app::SendResult { stream, outcome: outcome.into() };
        let results = [
            result(1, app::SendOutcome::NotOwner),
            result(2, app::SendOutcome::Repeated),
            result(3, app::SendOutcome::NotFound),
            result(1, app::SendOutcome::Full),
            result(2, app::SendOutcome::NotOwner),
        ];
        let merged = merge(results.into_iter());
        let merged: Vec<_> =
            merged.iter().map(|result| (result.stream.0, result.outcome)).collect();
        let expected =
            [(1, SendOutcome::Full), (2, SendOutcome::Taken), (3, SendOutcome::NotFound)];
        assert_eq!(merged, expected);
    }
}
