//! From what partitions answer to responses.

use minerva_proto::app::{self, Pause, SendOutcome, SendResult, StreamInfo};

use super::outcome;
use crate::app::encode;
use crate::partition::Answer;
use crate::stream::{Info, Joined, Pushed};

/// Streams of a group that are named because they are full.
pub(super) const MOST_FULL: usize = 1000;

pub(super) fn send_result((stream, pushed): (u64, Pushed)) -> SendResult {
    SendResult { stream, outcome: outcome(pushed).into() }
}

/// The results of all these streams; what is said of those that are not in `pushed`.
pub(super) fn complete(
    numbers: &[u64],
    pushed: Vec<(u64, Pushed)>,
    otherwise: SendOutcome,
) -> Vec<SendResult> {
    let mut pushed = pushed.into_iter().peekable();
    let result = |&stream: &u64| match pushed.next_if(|(pushed, _)| *pushed == stream) {
        Some(pushed) => send_result(pushed),
        None => SendResult { stream, outcome: otherwise.into() },
    };
    numbers.iter().map(result).collect()
}

pub(super) fn joined(answer: Answer) -> Vec<(u64, Joined)> {
    match answer {
        Answer::Joined(joined) => joined,
        Answer::Pushed(_) | Answer::Done(_) | Answer::Infos(_) => Vec::new(),
    }
}

pub(super) fn done(answer: Answer) -> Vec<u64> {
    match answer {
        Answer::Done(numbers) => numbers,
        Answer::Pushed(_) | Answer::Joined(_) | Answer::Infos(_) => Vec::new(),
    }
}

pub(super) fn infos(answer: Answer) -> Vec<Info> {
    match answer {
        Answer::Infos(infos) => infos,
        Answer::Pushed(_) | Answer::Done(_) | Answer::Joined(_) => Vec::new(),
    }
}

pub(super) fn info(info: Info) -> StreamInfo {
    let pauses = pauses(&info);
    let ended = info.ended.map(|end| {
        // The last event.
        encode::ended(info.stream, info.events.1.saturating_sub(1), end)
    });
    StreamInfo {
        stream: info.stream,
        service: info.service.to_string(),
        label: info.label.as_deref().unwrap_or_default().to_owned(),
        groups: info.groups.iter().map(|group| group.to_string()).collect(),
        started_at_ms: info.started_at_ms,
        primary_transport: info
            .primary
            .map_or(app::TransportKind::Unspecified, encode::transport_kind)
            .into(),
        transports: u32::try_from(info.transports).unwrap_or(u32::MAX),
        max_idle_ms: info.max_idle_ms,
        instance_id: info.instance.as_deref().unwrap_or_default().to_owned(),
        served: info.is_served,
        next_unacknowledged_event: info.events.0,
        next_event: info.events.1,
        inbox_bytes: info.inbox.0 as u64,
        inbox_messages: info.inbox.1 as u64,
        outbox_bytes: info.outbox.0 as u64,
        outbox_messages: info.outbox.1,
        pauses,
        ended,
    }
}

fn pauses(info: &Info) -> Vec<i32> {
    if info.ended.is_some() {
        return Vec::new();
    }
    let all = [
        (info.room.paused, Pause::ClientBehind),
        (info.is_inbox_full, Pause::AppBehind),
        (!info.is_served, Pause::NoInstance),
        (info.primary.is_none(), Pause::NoTransport),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, pause)| pause.into()).collect()
}
