//! Decodes and validates the requests of `StreamService`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::app::target::Target as Kind;
use minerva_proto::app::{
    self, ListGroupRequest, ListRequest, Message, ResetRequest, SendManyRequest, SendRequest,
    SendToGroupRequest,
};
use minerva_proto::{Payload, Reset, ServiceName, StreamId, StreamNumber};

use crate::access::Scope;
use crate::partition::{PartitionTable, StreamRequest, StreamSelector};
use crate::validation::{self, FieldError, MessageLists};

/// Maximum number of streams of one `SendMany`.
const MAX_STREAMS: usize = 10_000;
/// Longest idempotency key in bytes.
const MAX_KEY: usize = 64;
/// Largest page of `List` in streams.
const MAX_PAGE: u32 = 1000;
/// Size of a page if the request has none.
const DEFAULT_PAGE: u32 = 100;

/// The streams that a call addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Number(StreamNumber),
    Id(Arc<str>, StreamId),
    Label(Arc<str>, Arc<str>),
}

/// Messages for one target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Send {
    pub(crate) target: Target,
    pub(crate) messages: Vec<Payload>,
    pub(crate) key: Option<Bytes>,
}

/// Messages for many streams.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SendMany {
    /// Ascending stream numbers by partition; numbers that no stream can have are under `None`.
    pub(crate) by_partition: BTreeMap<Option<u32>, Vec<StreamNumber>>,
    pub(crate) messages: Vec<Payload>,
    pub(crate) key: Option<Bytes>,
}

/// A page of a list: at most `limit` streams of `service` behind the number `after`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) service: Arc<str>,
    pub(crate) after: StreamNumber,
    pub(crate) limit: usize,
}

/// A page of a group: at most `limit` members behind the number `after`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListGroup {
    pub(crate) service: Arc<str>,
    pub(crate) group: Arc<str>,
    pub(crate) after: StreamNumber,
    pub(crate) limit: usize,
    pub(crate) with_absent: bool,
}

impl Target {
    /// The service of the streams; `None` if only the partition has this information.
    pub(crate) fn service(&self) -> Option<&str> {
        match self {
            Self::Number(_) => None,
            Self::Id(service, _) | Self::Label(service, _) => Some(service),
        }
    }

    /// The selector of the streams within the scope of the caller.
    pub(crate) fn select(self, scope: &Scope) -> StreamSelector {
        match self {
            Self::Number(number) => numbers(vec![number], scope),
            Self::Id(service, id) => StreamSelector::Id(service, id),
            Self::Label(service, label) => StreamSelector::Label(service, label),
        }
    }
}

/// Selects streams by number within the scope of the caller.
pub(crate) fn numbers(numbers: Vec<StreamNumber>, scope: &Scope) -> StreamSelector {
    match scope {
        Scope::All => StreamSelector::Numbers(numbers),
        Scope::One(service) => StreamSelector::NumbersOf(Arc::clone(service), numbers),
    }
}

pub(crate) fn target(target: Option<app::Target>) -> Result<Target, FieldError> {
    let missing = || FieldError::new("target", "exactly one of its fields must be set");
    let app::Target { target, service } = target.ok_or_else(missing)?;
    match target.ok_or_else(missing)? {
        Kind::Stream(number) => Ok(Target::Number(StreamNumber(number))),
        Kind::StreamId(id) => {
            let id = StreamId::parse(&id).map_err(|_| {
                FieldError::new("target.stream_id", "must be 20 to 30 ASCII characters")
            })?;
            Ok(Target::Id(self::service("target.service", service)?, id))
        }
        Kind::Label(label) => {
            let label = validation::label("target.label", label)?
                .ok_or_else(|| FieldError::new("target.label", "must not be empty"))?;
            Ok(Target::Label(self::service("target.service", service)?, label))
        }
    }
}

pub(crate) fn send(request: SendRequest) -> Result<Send, FieldError> {
    let SendRequest { target, messages, idempotency_key, contents } = request;
    let messages = check_messages(messages, contents)?;
    Ok(Send { target: self::target(target)?, messages, key: key(idempotency_key)? })
}

pub(crate) fn send_many(
    request: SendManyRequest,
    partitions: &PartitionTable,
) -> Result<SendMany, FieldError> {
    let SendManyRequest { streams, messages, idempotency_key, contents } = request;
    if !(1..=MAX_STREAMS).contains(&streams.len()) {
        return Err(FieldError::new("streams", format!("must be 1 to {MAX_STREAMS}")));
    }
    let messages = check_messages(messages, contents)?;
    let mut by_partition: BTreeMap<_, Vec<StreamNumber>> = BTreeMap::new();
    for stream in streams.into_iter().map(StreamNumber) {
        by_partition.entry(partitions.of_number(stream)).or_default().push(stream);
    }
    for numbers in by_partition.values_mut() {
        numbers.sort_unstable();
        numbers.dedup();
    }
    Ok(SendMany { by_partition, messages, key: key(idempotency_key)? })
}

/// The service of the group, and the request.
pub(crate) fn send_to_group(
    request: SendToGroupRequest,
) -> Result<(Arc<str>, StreamRequest), FieldError> {
    let SendToGroupRequest {
        service,
        group,
        messages,
        contents,
        idempotency_key,
        after,
        page_size: _,
    } = request;
    let messages = check_messages(messages, contents)?;
    let (service, group) = (self::service("service", service)?, self::group(group)?);
    let key = key(idempotency_key)?;
    if after > 0 && key.is_none() {
        // Without a key a member above `after` that took the messages of an earlier page takes them once more.
        let fix = "needs the idempotency_key of the first page, or must be 0";
        return Err(FieldError::new("after", fix));
    }
    let to = StreamSelector::Group(Arc::clone(&service), group, StreamNumber(after));
    Ok((service, StreamRequest::Push { to, messages, key }))
}

pub(crate) fn group(group: String) -> Result<Arc<str>, FieldError> {
    validation::group("group", group)
}

pub(crate) fn reset(request: ResetRequest) -> Result<(Target, Reset), FieldError> {
    let ResetRequest { target, reason, application_level } = request;
    let reset = validation::reset("reason", reason, application_level)?;
    Ok((self::target(target)?, reset))
}

pub(crate) fn list(request: ListRequest) -> Result<List, FieldError> {
    let ListRequest { service, page_size, page_token } = request;
    let (after, limit) = page(page_size, &page_token)?;
    Ok(List { service: self::service("service", service)?, after, limit })
}

pub(crate) fn list_group(request: ListGroupRequest) -> Result<ListGroup, FieldError> {
    let ListGroupRequest { service, group, page_size, page_token, with_absent } = request;
    let (after, limit) = page(page_size, &page_token)?;
    let (service, group) = (self::service("service", service)?, self::group(group)?);
    Ok(ListGroup { service, group, after, limit, with_absent })
}

/// The number behind which a page starts, and the size of the page.
fn page(page_size: u32, page_token: &str) -> Result<(StreamNumber, usize), FieldError> {
    let after = match page_token {
        "" => 0,
        token => token.parse().map_err(|_| {
            FieldError::new("page_token", "must be empty or the next_page_token of a response")
        })?,
    };
    let limit = if page_size == 0 { DEFAULT_PAGE } else { page_size };
    if limit > MAX_PAGE {
        return Err(FieldError::new("page_size", format!("must be up to {}", MAX_PAGE)));
    }
    Ok((StreamNumber(after), limit as usize))
}

fn service(field: &'static str, name: String) -> Result<Arc<str>, FieldError> {
    if name.is_empty() {
        return Ok(ServiceName::default().into());
    }
    validation::service(field, &name)
}

fn key(key: Bytes) -> Result<Option<Bytes>, FieldError> {
    if key.len() > MAX_KEY {
        return Err(FieldError::new("idempotency_key", format!("longer than {MAX_KEY} bytes")));
    }
    Ok((!key.is_empty()).then_some(key))
}

fn check_messages(
    messages: Vec<Bytes>,
    contents: Vec<Message>,
) -> Result<Vec<Payload>, FieldError> {
    if messages.is_empty() && contents.is_empty() {
        return Err(FieldError::new("messages", "must not be empty"));
    }
    MessageLists { messages: ("messages", messages), contents: ("contents", contents) }.check(0)
}

#[cfg(test)]
mod tests {
    use minerva_proto::PartitionHash;

    use super::*;

    fn of(kind: Kind) -> Option<app::Target> {
        Some(app::Target { target: Some(kind), service: String::new() })
    }

    fn request() -> SendRequest {
        SendRequest {
            target: of(Kind::Stream(1)),
            messages: vec!["a".into()],
            ..Default::default()
        }
    }

    fn rejected_field<T>(result: Result<T, FieldError>) -> String {
        let text = result.err().map(|invalid| invalid.to_string());
        text.and_then(|text| text.split(": ").next().map(str::to_owned)).unwrap_or_default()
    }

    #[test]
    fn an_error_names_the_field() {
        assert_eq!(rejected_field(send(request())), "");
        assert_eq!(rejected_field(target(None)), "target");
        assert_eq!(rejected_field(target(Some(app::Target::default()))), "target");
        assert_eq!(rejected_field(target(of(Kind::StreamId("short".into())))), "target.stream_id");
        assert_eq!(rejected_field(target(of(Kind::Label(String::new())))), "target.label");
        let service = app::Target { service: "A".into(), ..of(Kind::Label("l".into())).unwrap() };
        assert_eq!(rejected_field(target(Some(service))), "target.service");
        assert_eq!(
            rejected_field(send(SendRequest { messages: Vec::new(), ..request() })),
            "messages"
        );
        let tab = SendRequest { messages: vec!["\t".into()], ..request() };
        assert_eq!(rejected_field(send(tab)), "messages");
        let list =
            |token: &str| list(ListRequest { page_token: token.into(), ..Default::default() });
        assert_eq!(
            (rejected_field(list("1")), rejected_field(list("x"))),
            (String::new(), "page_token".into())
        );
    }

    #[test]
    fn a_later_page_of_a_group_send_needs_an_idempotency_key() {
        for (after, key, field) in [(0, "", ""), (0, "k", ""), (1, "k", ""), (1, "", "after")] {
            let (group, messages) = ("g".to_owned(), vec!["a".into()]);
            let idempotency_key = key.into();
            let page = SendToGroupRequest {
                group,
                messages,
                idempotency_key,
                after,
                ..Default::default()
            };
            assert_eq!(rejected_field(send_to_group(page)), field, "{after} {key:?}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        for (length, ok) in [(0, true), (63, true), (64, true), (65, false)] {
            assert_eq!(key(vec![b'k'; length].into()).is_ok(), ok, "{length}");
        }
        for (page_size, ok) in [(0, true), (999, true), (1000, true), (1001, false)] {
            let list = list(ListRequest { page_size, ..Default::default() });
            assert_eq!(list.is_ok(), ok, "{page_size}");
        }
        let partitions = PartitionTable::new(4, PartitionHash::UNKEYED);
        for (count, ok) in [(0, false), (1, true), (9_999, true), (10_000, true), (10_001, false)] {
            let (streams, messages) = (vec![1; count], vec!["a".into()]);
            let many = SendManyRequest { streams, messages, ..Default::default() };
            assert_eq!(send_many(many, &partitions).is_ok(), ok, "{count}");
        }
    }

    #[test]
    fn streams_are_grouped_by_partition_without_duplicates() {
        let streams = vec![5, (3 << 48) | 1, 5, 0, 2];
        let many = SendManyRequest { streams, messages: vec!["a".into()], ..Default::default() };
        let many = send_many(many, &PartitionTable::new(4, PartitionHash::UNKEYED)).unwrap();
        let expected = [(None, vec![0]), (Some(0), vec![2, 5]), (Some(3), vec![(3 << 48) | 1])]
            .map(|(partition, numbers)| {
                (partition, numbers.into_iter().map(StreamNumber).collect())
            });
        assert_eq!(many.by_partition, expected.into());
    }
}
