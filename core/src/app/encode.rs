//! Encodes the outputs of partitions as events of the application API.

use minerva_proto::StreamNumber;
use minerva_proto::app::event::Event as Kind;
use minerva_proto::app::{
    Accepts, CommandRefused, Ended, EndedBy, Event, GroupRefused, Header, Message, Messages,
    PartitionLeft, PartitionOwned, Registered, RejoinRequest, Rejoined, Released, Renewed,
    SendRefused, SendRefusedReason, SendState, ServeResponse, Started, Synced, TransportChanged,
    TransportKind,
};
use minerva_proto::{
    ClaimTag, EventNumber, Feature, Features, Identity, MAX_MESSAGE, MessageNumber, Payload,
    Rewind, app,
};

use crate::limits::Limits;
use crate::outgoing::Pack;
use crate::state::{self, StreamProtocol};
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
    /// The features in use.
    type Receiver = Features;

    fn weight(&self) -> usize {
        match self {
            Self::Started(started) => {
                let origin = &started.origin;
                let headers = origin.headers.iter().map(|(name, value)| name.len() + value.len());
                let groups = started.groups.iter().map(|group| group.len() + MESSAGE);
                let texts = headers.chain(groups).sum::<usize>();
                EVENT
                    + origin.credentials.len()
                    + texts
                    + identity_size(started.identity.as_deref())
            }
            Self::Messages { messages, .. } => {
                EVENT + messages.iter().map(|message| message.len() + MESSAGE).sum::<usize>()
            }
            Self::Rejoined { rejoin, identity, .. } => {
                EVENT + rejoin.size() + identity_size(identity.as_deref())
            }
            Self::Renewed { identity, .. } => EVENT + identity_size(Some(identity)),
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

    fn pack(items: Vec<Self>, features: Features) -> ServeResponse {
        let has_kinds = features.contains(Feature::MessageKinds);
        let has_identities = features.contains(Feature::Identities);
        let is_known = |item: &Self| has_identities || !matches!(item, Self::Renewed { .. });
        let event = |item| Event { event: Some(event(item, has_kinds)) };
        ServeResponse { events: items.into_iter().filter(is_known).map(event).collect() }
    }
}

fn event(output: AppOutput, has_kinds: bool) -> Kind {
    match output {
        AppOutput::Started(started) => Kind::Started(self::started(*started, has_kinds)),
        AppOutput::Messages { stream, first_event, messages, tag, attempts } => {
            let (stream, first_event, tag) = (stream.0, first_event.0, tag.0);
            let (messages, contents) = match has_kinds {
                true => (Vec::new(), messages.into_iter().map(Message::from).collect()),
                false => (messages.into_iter().map(Payload::into_bytes).collect(), Vec::new()),
            };
            Kind::Messages(Messages { stream, first_event, messages, tag, attempts, contents })
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
        AppOutput::Rejoined { stream, event, rejoin, identity } => Kind::Rejoined(Rejoined {
            identity: identity.as_deref().map(app::Identity::from),
            ..rejoined(stream, event, &rejoin)
        }),
        AppOutput::Renewed { stream, identity } => {
            Kind::Renewed(Renewed { stream: stream.0, identity: Some(identity.as_ref().into()) })
        }
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

fn rejoined(stream: StreamNumber, event: EventNumber, rejoin: &state::Rejoin) -> Rejoined {
    let (asked, asked_number) = match rejoin.asked {
        Rewind::All => (RejoinRequest::All, 0),
        Rewind::New => (RejoinRequest::New, 0),
        Rewind::From(number) => (RejoinRequest::Number, number.0),
    };
    Rejoined {
        stream: stream.0,
        event: event.0,
        generation: rejoin.generation,
        asked: asked.into(),
        asked_number,
        from: rejoin.from.0,
        complete: rejoin.complete,
        credentials: rejoin.credentials.clone(),
        headers: headers(&rejoin.headers),
        peer_address: rejoin.peer_address.clone(),
        transport: TransportKind::from(rejoin.kind).into(),
        identity: None,
    }
}

/// Approximate bytes of an identity.
fn identity_size(identity: Option<&Identity>) -> usize {
    identity.map_or(0, |identity| EVENT + identity.size() + MESSAGE * identity.claims.len())
}

fn headers(headers: &[(String, String)]) -> Vec<Header> {
    let header = |(name, value): &(String, String)| {
        let (name, value) = (name.clone(), value.clone());
        Header { name, value }
    };
    headers.iter().map(header).collect()
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

fn started(started: stream::Started, has_kinds: bool) -> Started {
    let origin = &*started.origin;
    Started {
        stream: started.stream.0,
        stream_id: origin.id.as_str().to_owned(),
        resumed: started.resumed,
        next_event: started.next_event.0,
        next_send: started.send_state.next_send.0,
        credentials: origin.credentials.clone(),
        headers: headers(&origin.headers),
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
        accepts: accepts(origin.protocol, has_kinds).into(),
        finish_reason: started.finish.as_deref().unwrap_or_default().to_owned(),
        identity: started.identity.as_deref().map(app::Identity::from),
    }
}

fn accepts(protocol: StreamProtocol, has_kinds: bool) -> Accepts {
    match protocol {
        _ if !has_kinds => Accepts::Unspecified,
        StreamProtocol::V2 => Accepts::AsciiText,
        StreamProtocol::V3 { .. } => Accepts::TextAndBinary,
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
    let (reason, detail, index) = match reason {
        RefusedReason::ResourceExhausted => (SendRefusedReason::ResourceExhausted, "".into(), None),
        RefusedReason::OutOfOrder => (SendRefusedReason::OutOfOrder, "".into(), None),
        RefusedReason::Ended => (SendRefusedReason::Ended, "".into(), None),
        RefusedReason::Finished => {
            (SendRefusedReason::Ended, "send: behind the finish of the stream".to_owned(), None)
        }
        RefusedReason::Invalid { detail, index } => (SendRefusedReason::Invalid, detail, index),
        RefusedReason::Unsupported(index) => {
            let detail = "send.contents: the client accepts only text of bytes 0x20-0x7E";
            (SendRefusedReason::Unsupported, detail.to_owned(), Some(index))
        }
    };
    let (stream, first, next_send) = (stream.0, first.0, next_send.0);
    SendRefused { stream, first, reason: reason.into(), next_send, detail, index }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    const OUTPUT: fn(Vec<Payload>) -> AppOutput = |messages| AppOutput::Messages {
        stream: StreamNumber(7),
        first_event: EventNumber(1),
        messages,
        tag: ClaimTag(0),
        attempts: 1,
    };

    fn messages(payloads: Vec<Payload>, features: Features) -> Messages {
        let mut response = AppOutput::pack(vec![OUTPUT(payloads)], features);
        match response.events.remove(0).event {
            Some(Kind::Messages(messages)) => messages,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_instance_with_kinds_gets_the_kind_of_each_message() {
        let payloads = vec!["a".into(), "\u{e9}".into(), Payload::binary("a"), Payload::binary("")];
        let got = messages(payloads.clone(), Features::APP);
        assert!(got.messages.is_empty());
        let contents: Vec<Payload> =
            got.contents.into_iter().map(|message| message.try_into().unwrap()).collect();
        assert_eq!(contents, payloads);
    }

    /// The bytes are those that release 0.1 and an instance without the feature have always received.
    #[test]
    fn an_instance_without_kinds_gets_bytes() {
        let expected = b"\x0a\x0f\x1a\x0d\x08\x07\x10\x01\x1a\x01a\x1a\x02bc\x28\x01";
        for features in [Features::NONE, Features::NONE.with(Feature::ClaimTags)] {
            let response = AppOutput::pack(vec![OUTPUT(vec!["a".into(), "bc".into()])], features);
            assert_eq!(response.encode_to_vec(), expected);
        }
    }

    #[test]
    fn a_refusal_names_the_message() {
        let refused =
            |reason| send_refused(StreamNumber(7), MessageNumber(5), reason, MessageNumber(5));
        let got = refused(RefusedReason::Unsupported(3));
        assert_eq!((got.reason(), got.index), (SendRefusedReason::Unsupported, Some(3)));
        let got = refused(RefusedReason::Invalid { detail: "x".to_owned(), index: Some(0) });
        assert_eq!((got.reason(), got.index), (SendRefusedReason::Invalid, Some(0)));
        assert_eq!(refused(RefusedReason::OutOfOrder).index, None);
    }
}
