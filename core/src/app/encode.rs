//! Encodes the outputs of partitions as events of the application API.

use minerva_proto::StreamNumber;
use minerva_proto::app::event::Event as Kind;
use minerva_proto::app::{
    CommandRefused, Ended, EndedBy, Event, GroupRefused, Header, Messages, PartitionLeft,
    PartitionOwned, Registered, Released, SendRefused, SendRefusedReason, SendState, ServeResponse,
    Started, Synced, TransportChanged, TransportKind,
};
use minerva_proto::{ClaimTag, EventNumber, Features, MAX_MESSAGE, MessageNumber, Payload, app};

use crate::limits::Limits;
use crate::outgoing::Pack;
use crate::state;
use crate::stream::{self, AppOutput, RefusedReason};

/// Approximate bytes of an event without messages.
const EVENT: usize = 48;
/// Bytes of a message beside the content: tag and length.
const MESSAGE: usize = 4;

/// The answer to a registration.
pub(crate) fn registered(limits: &Limits, core_id: &str) -> Registered {
    let saturating = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    Registered {
        outbox_bytes: saturating(limits.outbox_bytes),
        outbox_messages: saturating(limits.outbox_messages),
        max_message_bytes: saturating(MAX_MESSAGE),
        core_id: core_id.to_owned(),
        max_version: app::VERSION,
        features: Features::APP.names(),
    }
}

impl Pack for AppOutput {
    type Message = ServeResponse;

    fn weight(&self) -> usize {
        match self {
            Self::Started(started) => {
                let origin = &started.origin;
                let headers = origin.headers.iter().map(|(name, value)| name.len() + value.len());
                let groups = started.groups.iter().map(|group| group.len() + MESSAGE);
                EVENT + origin.credentials.len() + headers.chain(groups).sum::<usize>()
            }
            Self::Messages { messages, .. } => {
                EVENT + messages.iter().map(|message| message.len() + MESSAGE).sum::<usize>()
            }
            Self::TransportChanged { .. }
            | Self::Ended { .. }
            | Self::SendState { .. }
            | Self::SendRefused { .. }
            | Self::Released { .. }
            | Self::Lost { .. }
            | Self::PartitionOwned { .. }
            | Self::PartitionLeft { .. }
            | Self::GroupRefused { .. }
            | Self::Synced { .. }
            | Self::CommandRefused { .. } => EVENT,
        }
    }

    fn pack(items: Vec<Self>) -> ServeResponse {
        ServeResponse {
            events: items.into_iter().map(|item| Event { event: Some(event(item)) }).collect(),
        }
    }
}

fn event(output: AppOutput) -> Kind {
    match output {
        AppOutput::Started(started) => Kind::Started(self::started(*started)),
        AppOutput::Messages { stream, first_event, messages, tag, attempts } => {
            Kind::Messages(Messages {
                stream: stream.0,
                first_event: first_event.0,
                messages: messages.into_iter().map(Payload::into_bytes).collect(),
                tag: tag.0,
                attempts,
                contents: Vec::new(),
            })
        }
        AppOutput::TransportChanged { stream, change } => {
            Kind::TransportChanged(TransportChanged {
                stream: stream.0,
                transport_number: change.transport_number.0,
                attached: change.attached,
                primary: change.primary,
                transport: TransportKind::from(change.kind).into(),
                transports: change.transports,
            })
        }
        AppOutput::Ended { stream, event, end } => Kind::Ended(ended(stream, event, end)),
        AppOutput::SendState { stream, state, tag } => {
            Kind::SendState(send_state(stream, state, tag))
        }
        AppOutput::SendRefused { stream, first, reason, next_send } => {
            Kind::SendRefused(send_refused(stream, first, reason, next_send))
        }
        AppOutput::Released { stream } => {
            Kind::Released(Released { stream: stream.0, ..Released::default() })
        }
        AppOutput::Lost { stream, epoch } => {
            Kind::Released(Released { stream: stream.0, lost: true, epoch: epoch.0 })
        }
        AppOutput::PartitionOwned { partition, epoch, streams_made } => {
            Kind::PartitionOwned(PartitionOwned { partition, epoch: epoch.0, streams_made })
        }
        AppOutput::PartitionLeft { partition } => Kind::PartitionLeft(PartitionLeft { partition }),
        AppOutput::GroupRefused { stream, group } => {
            Kind::GroupRefused(GroupRefused { stream: stream.0, group: group.to_string() })
        }
        AppOutput::Synced { stream, token } => Kind::Synced(Synced { stream: stream.0, token }),
        AppOutput::CommandRefused { stream, detail } => {
            Kind::CommandRefused(CommandRefused { stream: stream.0, detail })
        }
    }
}

/// Encodes the end of a stream.
pub(crate) fn ended(stream: StreamNumber, event: EventNumber, end: state::Ended) -> Ended {
    Ended {
        stream: stream.0,
        event: event.0,
        reason: end.reset.reason,
        application_level: end.reset.application_level,
        by: ended_by(end.by).into(),
    }
}

fn started(started: stream::Started) -> Started {
    let origin = &*started.origin;
    let header =
        |(name, value): &(String, String)| Header { name: name.clone(), value: value.clone() };
    Started {
        stream: started.stream.0,
        stream_id: origin.id.as_str().to_owned(),
        resumed: started.resumed,
        next_event: started.next_event.0,
        next_send: started.send_state.next_send.0,
        credentials: origin.credentials.clone(),
        headers: origin.headers.iter().map(header).collect(),
        peer_address: origin.peer_address.clone(),
        transport: TransportKind::from(origin.kind).into(),
        started_at_ms: origin.started_at_ms,
        send_state: Some(send_state(started.stream, started.send_state, started.send_tag)),
        created_tag: started.created_tag.0,
        assignment: started.assignment,
        attempts: started.attempts,
        epoch: started.epoch.0,
        label: started.label.as_deref().unwrap_or_default().to_owned(),
        groups: started.groups.iter().map(|group| group.to_string()).collect(),
        finishing: started.finish.is_some(),
        accepts: 0,
        finish_reason: started.finish.as_deref().unwrap_or_default().to_owned(),
    }
}

fn send_state(stream: StreamNumber, state: state::SendState, tag: ClaimTag) -> SendState {
    SendState {
        stream: stream.0,
        next_send: state.next_send.0,
        bytes_left: state.bytes_left,
        messages_left: state.messages_left,
        paused: state.paused,
        tag: tag.0,
    }
}

fn ended_by(by: state::EndedBy) -> EndedBy {
    match by {
        state::EndedBy::Client => EndedBy::Client,
        state::EndedBy::App => EndedBy::App,
        state::EndedBy::Core => EndedBy::Core,
    }
}

fn send_refused(
    stream: StreamNumber,
    first: MessageNumber,
    reason: RefusedReason,
    next_send: MessageNumber,
) -> SendRefused {
    let (reason, detail) = match reason {
        RefusedReason::ResourceExhausted => (SendRefusedReason::ResourceExhausted, String::new()),
        RefusedReason::OutOfOrder => (SendRefusedReason::OutOfOrder, String::new()),
        RefusedReason::Ended => (SendRefusedReason::Ended, String::new()),
        RefusedReason::Finished => {
            (SendRefusedReason::Ended, "send: behind the finish of the stream".to_owned())
        }
        RefusedReason::Invalid(detail) => (SendRefusedReason::Invalid, detail),
    };
    let (stream, first, next_send) = (stream.0, first.0, next_send.0);
    SendRefused { stream, first, reason: reason.into(), next_send, detail, index: None }
}
