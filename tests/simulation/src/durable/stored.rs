//! Decoding of log entries and snapshots of the store, independent of the core. Unknown fields are skipped.

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};

use super::protobuf::{Value, fields};
use super::stream::{StoredMessages, StreamModel};
use crate::end::{End, EndedBy};
use crate::messages::Body;

/// A change of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Opened {
        service: String,
        id: String,
    },
    Received {
        first: u64,
        messages: Vec<Body>,
    },
    ServiceSelected,
    Sacked {
        acked: Option<u64>,
        beyond: Vec<u64>,
    },
    Sent {
        messages: Vec<Body>,
    },
    Pushed {
        messages: Vec<Body>,
        keys: Vec<Bytes>,
    },
    Acknowledged {
        event: u64,
    },
    Ended(End),
    Labelled(Option<String>),
    Joined(String),
    Left(String),
    /// The stream takes no more s2c messages, and ends with the last acknowledgement.
    Finishing,
    /// A change that the guarantees do not mention.
    Other,
}

/// The oldest reader version that can read a blob.
pub(super) fn version(blob: Bytes) -> Result<u64, String> {
    let version = fields(blob)?.into_iter().find(|(field, _)| *field == 1);
    version.ok_or("a blob without a version")?.1.number()
}

/// The changes of a log entry, in their order.
pub(super) fn entry(blob: Bytes) -> Result<Vec<(StreamNumber, Change)>, String> {
    let mut changes = Vec::new();
    for (field, value) in fields(blob)? {
        if field == 2 {
            stream_record(value.bytes()?, &mut changes)?;
        }
    }
    Ok(changes)
}

/// One record: stream (1), change (2 to 13, 15 to 18), and further streams with the same change as differences (14).
fn stream_record(bytes: Bytes, changes: &mut Vec<(StreamNumber, Change)>) -> Result<(), String> {
    let (mut stream, mut also, mut change) = (0, Vec::new(), None);
    for (field, value) in fields(bytes)? {
        match field {
            1 => stream = value.number()?,
            14 => also.extend(value.numbers()?),
            _ => change = read_change(field, value)?.or(change),
        }
    }
    let change = change.ok_or("a record without a change")?;
    changes.push((StreamNumber(stream), change.clone()));
    for step in also {
        stream = stream.wrapping_add(step);
        changes.push((StreamNumber(stream), change.clone()));
    }
    Ok(())
}

/// The streams of a record.
pub(super) fn streams_of(record: Bytes) -> Result<Vec<StreamNumber>, String> {
    let mut changes = Vec::new();
    stream_record(record, &mut changes)?;
    Ok(changes.into_iter().map(|(stream, _)| stream).collect())
}

fn read_change(field: u64, value: Value) -> Result<Option<Change>, String> {
    Ok(Some(match field {
        2 => opened(value.bytes()?)?,
        4 => {
            let Parts { number: first, messages, .. } = parts(value.bytes()?, [1, 2, 0, 3])?;
            Change::Received { first: first.unwrap_or(0), messages }
        }
        5 => sack(value.bytes()?)?,
        6 => Change::Sent { messages: parts(value.bytes()?, [0, 1, 0, 2])?.messages },
        7 => Change::Acknowledged { event: value.number()? },
        8 => Change::Ended(end(value.bytes()?)?),
        10 => {
            let Parts { messages, keys, .. } = parts(value.bytes()?, [0, 1, 2, 3])?;
            Change::Pushed { messages, keys }
        }
        11 => {
            let label = fields(value.bytes()?)?.into_iter().find(|(field, _)| *field == 1);
            Change::Labelled(label.map(|(_, value)| value.text()).transpose()?)
        }
        12 => Change::Joined(value.text()?),
        13 => Change::Left(value.text()?),
        15 => Change::ServiceSelected,
        16 => Change::Finishing,
        3 | 9 | 17 | 18 => Change::Other,
        _ => return Ok(None),
    }))
}

/// A number, messages and keys of a change.
#[derive(Default)]
struct Parts {
    number: Option<u64>,
    messages: Vec<Body>,
    keys: Vec<Bytes>,
}

/// Reads the fields with these numbers: a number, contents of messages, keys, and indexes of the binary messages; 0 is
/// none.
fn parts(bytes: Bytes, of: [u64; 4]) -> Result<Parts, String> {
    let [number, contents, keys, indexes] = of;
    let (mut parts, mut binary) = (Parts::default(), Vec::new());
    for (field, value) in fields(bytes)? {
        if field == number {
            parts.number = Some(value.number()?);
        } else if field == contents {
            parts.messages.push(Body::text(value.bytes()?));
        } else if field == keys {
            parts.keys.push(value.bytes()?);
        } else if field == indexes {
            binary.extend(value.numbers()?);
        }
    }
    for index in binary {
        let message = usize::try_from(index).ok().and_then(|index| parts.messages.get_mut(index));
        message.ok_or("the index of a binary message beyond the messages")?.is_binary = true;
    }
    Ok(parts)
}

fn opened(bytes: Bytes) -> Result<Change, String> {
    for (field, value) in fields(bytes)? {
        if field == 1 {
            let (service, id) = origin(value.bytes()?)?;
            return Ok(Change::Opened { service, id });
        }
    }
    Err("a new stream without an origin".to_owned())
}

/// Service and stream id of an origin.
fn origin(bytes: Bytes) -> Result<(String, String), String> {
    let (mut service, mut id) = (String::new(), String::new());
    for (field, value) in fields(bytes)? {
        match field {
            1 => id = value.text()?,
            2 => service = value.text()?,
            _ => {}
        }
    }
    Ok((service, id))
}

fn sack(bytes: Bytes) -> Result<Change, String> {
    let (mut acked, mut beyond) = (None, Vec::new());
    for (field, value) in fields(bytes)? {
        match field {
            1 => acked = Some(value.number()?),
            2 => beyond.extend(value.numbers()?),
            _ => {}
        }
    }
    Ok(Change::Sacked { acked, beyond })
}

fn end(bytes: Bytes) -> Result<End, String> {
    let (mut reason, mut application_level, mut by) = (String::new(), false, 0);
    for (field, value) in fields(bytes)? {
        match field {
            1 => reason = value.text()?,
            2 => application_level = value.number()? != 0,
            3 => by = value.number()?,
            _ => {}
        }
    }
    let by = match by {
        1 => EndedBy::Client,
        2 => EndedBy::App,
        3 => EndedBy::Core,
        other => return Err(format!("an end by side {other}")),
    };
    Ok(End { reason, application_level, by })
}

/// A snapshot, and the index of the first log entry that the snapshot does not include.
pub(super) fn snapshot(blob: Bytes) -> Result<(StreamModel, LogIndex), String> {
    let mut messages = StoredMessages::default();
    let (mut model, mut as_of) = (None, 0);
    let (mut attributes, mut ended) = (Bytes::new(), None);
    for (field, value) in fields(blob)? {
        match field {
            2 => {
                let (service, id) = origin(value.bytes()?)?;
                model = Some(StreamModel::new(service, id));
            }
            5 => messages.inbox_base = value.number()?,
            6 => messages.inbox += 1,
            7 => messages.received_next = value.number()?,
            8 => drop(messages.waiting.insert(numbered(value.bytes()?)?.0)),
            9 => messages.outbox_base = value.number()?,
            10 => messages.outbox_next = value.number()?,
            11 => {
                let (number, message) = numbered(value.bytes()?)?;
                messages.outbox.insert(number, message);
            }
            12 => ended = Some(end(value.bytes()?)?),
            13 => as_of = value.number()?,
            14 => attributes = value.bytes()?,
            15 => messages.service_selected = true,
            20 => messages.is_finishing = true,
            _ => {}
        }
    }
    let mut model = model.ok_or("a snapshot without an origin")?;
    read_attributes(&mut model, attributes)?;
    model.restore(messages, ended)?;
    Ok((model, LogIndex(as_of)))
}

fn read_attributes(model: &mut StreamModel, bytes: Bytes) -> Result<(), String> {
    for (field, value) in fields(bytes)? {
        match field {
            1 => model.label = Some(value.text()?),
            2 => drop(model.groups.insert(value.text()?)),
            3 => model.pushed = value.number()?,
            4 => model.keys.push_back(value.bytes()?),
            _ => {}
        }
    }
    Ok(())
}

fn numbered(bytes: Bytes) -> Result<(u64, Body), String> {
    let (mut number, mut message) = (0, Body::text(Bytes::new()));
    for (field, value) in fields(bytes)? {
        match field {
            1 => number = value.number()?,
            2 => message.bytes = value.bytes()?,
            3 => message.is_binary = value.number()? != 0,
            _ => {}
        }
    }
    Ok((number, message))
}
