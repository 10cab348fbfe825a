//! What cores answer, in the SDK's own words.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use minerva_proto::app::{self, SendToGroupResponse, StreamInfo};

use crate::event::{Ended, TransportKind};

/// What became of messages for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendResult {
    /// The stream's number.
    pub stream: u64,
    /// What became of them.
    pub outcome: SendOutcome,
}

/// What became of messages for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendOutcome {
    /// They are taken, and will reach the client unless the stream ends before.
    Taken,
    /// Its client is behind: nothing was taken.
    Full,
    /// It has ended.
    Ended,
    /// There is no such stream.
    NotFound,
}

/// What became of messages for a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSendResult {
    /// Streams that took them.
    pub taken: u64,
    /// Streams that did not, as their clients are behind; the first thousand of each core.
    pub full: Vec<u64>,
    /// How many those are.
    pub full_count: u64,
}

/// What is to be known of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamState {
    /// Its number.
    pub stream: u64,
    /// Its service.
    pub service: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// When it was made, by the core's clock.
    pub started_at: SystemTime,
    /// What its messages go out on; `None`: its client is not connected.
    pub transport: Option<TransportKind>,
    /// How many transports it has.
    pub transports: u32,
    /// How long it lives without any.
    pub max_idle: Duration,
    /// The instance that had it last, if one had.
    pub instance_id: Option<String>,
    /// First event that is not acknowledged, and the number of the next one.
    pub events: (u64, u64),
    /// Bytes and messages that wait for the application.
    pub inbox: (u64, u64),
    /// Bytes and messages that its client did not acknowledge.
    pub outbox: (u64, u64),
    /// What keeps messages from going on.
    pub pauses: Vec<Pause>,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

/// Something that keeps messages from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pause {
    /// The client is behind: producers should pause.
    ClientBehind,
    /// The application is behind: no more is taken from the client.
    AppBehind,
    /// No instance serves the stream.
    NoInstance,
    /// The client is not connected.
    NoTransport,
    /// One that this SDK does not know.
    Other,
}

/// The results of several answers: what one core has not, another may have.
pub(super) fn merge(results: impl Iterator<Item = app::SendResult>) -> Vec<SendResult> {
    let mut outcomes: BTreeMap<u64, SendOutcome> = BTreeMap::new();
    for result in results {
        let outcome = match result.outcome() {
            app::SendOutcome::Taken | app::SendOutcome::Repeated => SendOutcome::Taken,
            app::SendOutcome::Full => SendOutcome::Full,
            app::SendOutcome::Ended => SendOutcome::Ended,
            app::SendOutcome::NotFound => SendOutcome::NotFound,
            app::SendOutcome::NotOwner | app::SendOutcome::Unspecified => continue,
        };
        outcomes.insert(result.stream, outcome);
    }
    outcomes.into_iter().map(|(stream, outcome)| SendResult { stream, outcome }).collect()
}

impl GroupSendResult {
    pub(super) fn add(mut self, response: SendToGroupResponse) -> Self {
        self.taken += response.taken;
        self.full.extend(response.full);
        self.full_count += response.full_count;
        self
    }
}

impl From<StreamInfo> for StreamState {
    fn from(info: StreamInfo) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let is_connected = info.primary_transport() != app::TransportKind::Unspecified;
        let transport = TransportKind::from_proto(info.primary_transport);
        let pauses = info.pauses().map(Pause::from_proto).collect();
        Self {
            stream: info.stream,
            service: info.service,
            label: some(info.label),
            groups: info.groups,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_millis(info.started_at_ms),
            transport: is_connected.then_some(transport),
            transports: info.transports,
            max_idle: Duration::from_millis(info.max_idle_ms),
            instance_id: some(info.instance_id),
            events: (info.next_unacknowledged_event, info.next_event),
            inbox: (info.inbox_bytes, info.inbox_messages),
            outbox: (info.outbox_bytes, info.outbox_messages),
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
        let merged: Vec<_> = merged.iter().map(|result| (result.stream, result.outcome)).collect();
        let expected =
            [(1, SendOutcome::Full), (2, SendOutcome::Taken), (3, SendOutcome::NotFound)];
        assert_eq!(merged, expected);
    }
}
