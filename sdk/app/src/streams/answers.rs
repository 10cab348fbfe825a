//! What cores answer, in the SDK's own words.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use minerva_proto::app::{self, SendOutcome, SendResult, SendToGroupResponse, StreamInfo};

use crate::event::{Ended, TransportKind};

/// What became of strings for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentTo {
    /// The stream's number.
    pub stream: u64,
    /// What became of them.
    pub sent: Sent,
}

/// What became of strings for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// They are taken, and will reach the client unless the stream ends before.
    Taken,
    /// Its client is behind: nothing was taken.
    Full,
    /// It has ended.
    Ended,
    /// There is no such stream.
    NotFound,
}

/// What became of strings for a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSent {
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
    /// What its strings go out on; `None`: its client is not connected.
    pub transport: Option<TransportKind>,
    /// How many transports it has.
    pub transports: u32,
    /// How long it lives without any.
    pub max_idle: Duration,
    /// The instance that had it last, if one had.
    pub instance_id: Option<String>,
    /// First event that is not acknowledged, and the number of the next one.
    pub events: (u64, u64),
    /// Bytes and strings that wait for the application.
    pub inbox: (u64, u64),
    /// Bytes and strings that its client did not acknowledge.
    pub outbox: (u64, u64),
    /// What keeps strings from going on.
    pub pauses: Vec<Pause>,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

/// Something that keeps strings from going on.
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
pub(super) fn sent(results: impl Iterator<Item = SendResult>) -> Vec<SentTo> {
    let mut sent: BTreeMap<u64, Sent> = BTreeMap::new();
    for result in results {
        let outcome = match result.outcome() {
            SendOutcome::Taken | SendOutcome::Repeated => Sent::Taken,
            SendOutcome::Full => Sent::Full,
            SendOutcome::Ended => Sent::Ended,
            SendOutcome::NotFound => Sent::NotFound,
            SendOutcome::NotOwner | SendOutcome::Unspecified => continue,
        };
        sent.insert(result.stream, outcome);
    }
    sent.into_iter().map(|(stream, sent)| SentTo { stream, sent }).collect()
}

impl GroupSent {
    pub(super) fn and(mut self, answer: SendToGroupResponse) -> Self {
        self.taken += answer.taken;
        self.full.extend(answer.full);
        self.full_count += answer.full_count;
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
            inbox: (info.inbox_bytes, info.inbox_strings),
            outbox: (info.outbox_bytes, info.outbox_strings),
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
    fn what_one_core_has_not_another_has() {
        let result = |stream, outcome: SendOutcome| SendResult { stream, outcome: outcome.into() };
        let results = [
            result(1, SendOutcome::NotOwner),
            result(2, SendOutcome::Repeated),
            result(3, SendOutcome::NotFound),
            result(1, SendOutcome::Full),
            result(2, SendOutcome::NotOwner),
        ];
        let sent: Vec<_> =
            sent(results.into_iter()).iter().map(|to| (to.stream, to.sent)).collect();
        assert_eq!(sent, [(1, Sent::Full), (2, Sent::Taken), (3, Sent::NotFound)]);
    }
}
