//! Encodes the replies of partitions as responses of `StreamService`.

use minerva_proto::StreamNumber;
use minerva_proto::app::{self, Pause, SendOutcome, SendResult, SendToGroupResponse};

use crate::app::encode;
use crate::stream::{Connection, GroupMember, JoinOutcome, PushOutcome, StreamInfo, StreamReply};

/// Full streams of a group that a response names by default, and at most: 1 MB.
const DEFAULT_FULL: usize = 1000;
const MAX_FULL: usize = 100_000;
/// Streams without support for a message that a response names.
const MAX_UNSUPPORTED: usize = 1000;

/// Number of full streams that a response names, for the page size of the request.
pub(super) fn full_page(page_size: u32) -> usize {
    if page_size == 0 { DEFAULT_FULL } else { MAX_FULL.min(page_size as usize) }
}

pub(super) fn send_result((stream, outcome): (StreamNumber, PushOutcome)) -> SendResult {
    SendResult { stream: stream.0, outcome: send_outcome(outcome).into() }
}

/// The answer to a send to a group, with at most `page` full streams; without the coverage.
pub(super) fn group_response(
    outcomes: &[(StreamNumber, PushOutcome)],
    page: usize,
) -> SendToGroupResponse {
    let with = |is: fn(PushOutcome) -> bool| {
        outcomes.iter().filter(move |(_, outcome)| is(*outcome)).map(|(stream, _)| stream.0)
    };
    let taken =
        with(|outcome| matches!(outcome, PushOutcome::Taken | PushOutcome::Repeated)).count();
    let full = with(|outcome| matches!(outcome, PushOutcome::Full { .. }));
    let unsupported = with(|outcome| outcome == PushOutcome::Unsupported);
    SendToGroupResponse {
        taken: taken as u64,
        full_total: full.clone().count() as u64,
        full: full.take(page).collect(),
        unsupported_total: unsupported.clone().count() as u64,
        unsupported: unsupported.take(MAX_UNSUPPORTED).collect(),
        coverage: None,
    }
}

/// The results for all `numbers`; streams that are not in `outcomes` get `otherwise`. Both lists ascend.
pub(super) fn send_results(
    numbers: &[StreamNumber],
    outcomes: Vec<(StreamNumber, PushOutcome)>,
    otherwise: SendOutcome,
) -> Vec<SendResult> {
    let mut outcomes = outcomes.into_iter().peekable();
    let result = |&stream: &StreamNumber| match outcomes.next_if(|(number, _)| *number == stream) {
        Some(outcome) => send_result(outcome),
        None => SendResult { stream: stream.0, outcome: otherwise.into() },
    };
    numbers.iter().map(result).collect()
}

pub(super) fn push_outcomes(reply: StreamReply) -> Vec<(StreamNumber, PushOutcome)> {
    match reply {
        StreamReply::Pushed(outcomes) => outcomes,
        StreamReply::Joined(_)
        | StreamReply::Done(_)
        | StreamReply::Infos(_)
        | StreamReply::Members(_) => Vec::new(),
    }
}

pub(super) fn join_outcomes(reply: StreamReply) -> Vec<(StreamNumber, JoinOutcome)> {
    match reply {
        StreamReply::Joined(outcomes) => outcomes,
        StreamReply::Pushed(_)
        | StreamReply::Done(_)
        | StreamReply::Infos(_)
        | StreamReply::Members(_) => Vec::new(),
    }
}

pub(super) fn done(reply: StreamReply) -> Vec<u64> {
    match reply {
        StreamReply::Done(numbers) => numbers.into_iter().map(|number| number.0).collect(),
        StreamReply::Pushed(_)
        | StreamReply::Joined(_)
        | StreamReply::Infos(_)
        | StreamReply::Members(_) => Vec::new(),
    }
}

pub(super) fn infos(reply: StreamReply) -> Vec<StreamInfo> {
    match reply {
        StreamReply::Infos(infos) => infos,
        StreamReply::Pushed(_)
        | StreamReply::Done(_)
        | StreamReply::Joined(_)
        | StreamReply::Members(_) => Vec::new(),
    }
}

pub(super) fn members(reply: StreamReply) -> Vec<GroupMember> {
    match reply {
        StreamReply::Members(members) => members,
        StreamReply::Pushed(_)
        | StreamReply::Done(_)
        | StreamReply::Joined(_)
        | StreamReply::Infos(_) => Vec::new(),
    }
}

pub(super) fn member(member: GroupMember) -> app::GroupMember {
    let connection = match member.connection {
        Connection::Attached => app::Connection::Attached,
        Connection::Detached => app::Connection::Detached,
        Connection::Absent => app::Connection::Absent,
        Connection::Unknown => app::Connection::Unknown,
    };
    app::GroupMember {
        stream: member.stream.0,
        label: member.label.as_deref().unwrap_or_default().to_owned(),
        connection: connection.into(),
        since_ms: member.since_ms,
    }
}

fn send_outcome(outcome: PushOutcome) -> SendOutcome {
    match outcome {
        PushOutcome::Taken => SendOutcome::Taken,
        PushOutcome::Repeated => SendOutcome::Repeated,
        PushOutcome::Full { .. } => SendOutcome::Full,
        PushOutcome::Ended => SendOutcome::Ended,
        PushOutcome::Unsupported => SendOutcome::Unsupported,
    }
}

pub(super) fn info(info: StreamInfo) -> app::StreamInfo {
    let pauses = pauses(&info);
    let ended = info.ended.map(|end| {
        // Ended is the last event.
        let event = info.events.1.previous().unwrap_or_default();
        encode::ended(info.stream, event, end)
    });
    app::StreamInfo {
        stream: info.stream.0,
        service: info.service.to_string(),
        label: info.label.as_deref().unwrap_or_default().to_owned(),
        groups: info.groups.iter().map(|group| group.to_string()).collect(),
        started_at_ms: info.started_at_ms,
        primary_transport: app::TransportKind::from(info.primary).into(),
        transports: u32::try_from(info.transports).unwrap_or(u32::MAX),
        max_idle_ms: info.max_idle_ms,
        instance_id: info.instance.as_deref().unwrap_or_default().to_owned(),
        served: info.is_served,
        next_unacknowledged_event: info.events.0.0,
        next_event: info.events.1.0,
        inbox_bytes: info.inbox.0 as u64,
        inbox_messages: info.inbox.1 as u64,
        outbox_bytes: info.outbox.0 as u64,
        outbox_messages: info.outbox.1,
        pauses,
        ended,
    }
}

fn pauses(info: &StreamInfo) -> Vec<i32> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_full_streams_is_bounded() {
        for (size, page) in
            [(0, 1000), (1, 1), (99_999, 99_999), (100_000, 100_000), (100_001, 100_000)]
        {
            assert_eq!(full_page(size), page, "{size}");
        }
    }

    #[test]
    fn a_send_to_a_group_names_the_full_and_the_unsupported_streams() {
        let full = PushOutcome::Full { bytes: 1, messages: 1 };
        let outcomes = [
            (1, PushOutcome::Taken),
            (2, PushOutcome::Unsupported),
            (3, full),
            (4, PushOutcome::Repeated),
            (5, PushOutcome::Ended),
            (6, PushOutcome::Unsupported),
            (7, full),
        ]
        .map(|(stream, outcome)| (StreamNumber(stream), outcome));
        let expected = SendToGroupResponse {
            taken: 2,
            full: vec![3],
            full_total: 2,
            coverage: None,
            unsupported: vec![2, 6],
            unsupported_total: 2,
        };
        assert_eq!(group_response(&outcomes, 1), expected);
    }

    #[test]
    fn the_unsupported_streams_of_a_response_are_bounded() {
        for count in [MAX_UNSUPPORTED - 1, MAX_UNSUPPORTED, MAX_UNSUPPORTED + 1] {
            let streams = (1..=count as u64).map(|n| (StreamNumber(n), PushOutcome::Unsupported));
            let response = group_response(&streams.collect::<Vec<_>>(), 1);
            let named: Vec<u64> = (1..=count.min(MAX_UNSUPPORTED) as u64).collect();
            assert_eq!((response.unsupported, response.unsupported_total), (named, count as u64));
        }
    }
}
