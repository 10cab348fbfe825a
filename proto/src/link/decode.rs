//! From the generated types to values, with every check of the contract that a single frame allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::FieldError;
use super::pb::{self, close, core_frame, edge_frame};
use super::{
    Attach, Batch, Caller, Claim, Close, CloseCause, CoreFrame, CoreMessage, CreatedStream,
    EdgeFrame, EdgeMessage, End, LinkFrameError, Positions, Resume, Run, TransportId,
};
use crate::hello::{MAX_CRED, MAX_WHY};
use crate::sack::MAX_BEYOND;
use crate::v3::{MAX_GENERATION, MAX_MESSAGE};
use crate::{
    AddressKey, BatchNumber, ClaimTag, ClientProtocol, Generation, KeyHash, KeyProof, KillReason,
    MAX_NUMBER, MAX_REASON, MessageNumber, MessageTag, ReceivedTags, Reset, Rewind, Sack,
    ServiceName, StreamId, StreamNumber, TransportNumber, is_message_allowed, payload,
};

/// Limit of the names and values of all headers in an Attach, in bytes. An edge reads a head of at most 16 KiB, which the
/// replacement of invalid UTF-8 makes three times as long.
pub const MAX_HEADERS: usize = 64 * 1024;

/// Limit of the client's address in an Attach, in bytes: an IPv6 address with a zone.
pub const MAX_PEER_ADDRESS: usize = 64;

/// Decodes a frame of an edge behind its greeting.
///
/// # Errors
/// If the frame breaks the contract, is a second greeting, or has no known content.
pub fn edge_frame(frame: pb::EdgeFrame) -> Result<EdgeFrame, LinkFrameError> {
    let (transport, message) = match frame.frame {
        Some(edge_frame::Frame::Attach(attach)) => {
            let transport = TransportId(attach.transport);
            let attach = self::attach(attach).map_err(|error| error.at(transport))?;
            (transport, EdgeMessage::Attach(Box::new(attach)))
        }
        Some(edge_frame::Frame::Batch(batch)) => {
            let transport = TransportId(batch.transport);
            let batch = self::batch(batch).map_err(|error| error.at(transport))?;
            (transport, EdgeMessage::Batch(batch))
        }
        Some(edge_frame::Frame::Grant(grant)) => {
            (TransportId(grant.transport), EdgeMessage::Grant(grant.s2c_bytes))
        }
        Some(edge_frame::Frame::Detach(detach)) => {
            (TransportId(detach.transport), EdgeMessage::Detach)
        }
        Some(edge_frame::Frame::Hello(_)) => return Err(second_greeting()),
        None => return Err(no_content()),
    };
    Ok(EdgeFrame { transport, message })
}

/// Decodes a frame of a core behind its greeting.
///
/// # Errors
/// If the frame breaks the contract, is a second greeting, or has no known content.
pub fn core_frame(frame: pb::CoreFrame) -> Result<CoreFrame, LinkFrameError> {
    let (transport, message) = match frame.frame {
        Some(core_frame::Frame::Opened(opened)) => (opened.transport, self::opened(opened)),
        Some(core_frame::Frame::Sack(update)) => (update.transport, sack_update(update)),
        Some(core_frame::Frame::Messages(messages)) => {
            (messages.transport, self::messages(messages))
        }
        Some(core_frame::Frame::Close(close)) => (close.transport, self::close(close)),
        Some(core_frame::Frame::Taken(taken)) => {
            (taken.transport, Ok(CoreMessage::Taken(BatchNumber(taken.batch))))
        }
        Some(core_frame::Frame::Owned(owned)) => {
            let claim = |claim: pb::Claim| Claim { partition: claim.partition, epoch: claim.epoch };
            return Ok(CoreFrame::Owned(owned.claims.into_iter().map(claim).collect()));
        }
        Some(core_frame::Frame::Released(released)) => {
            return Ok(CoreFrame::Released(released.partitions));
        }
        Some(core_frame::Frame::Hello(_)) => return Err(second_greeting()),
        None => return Err(no_content()),
    };
    let transport = TransportId(transport);
    let message = message.map_err(|error| error.at(transport))?;
    Ok(CoreFrame::Transport { transport, message })
}

fn second_greeting() -> LinkFrameError {
    LinkFrameError::new(None, "hello", "only allowed as the first frame")
}

fn no_content() -> LinkFrameError {
    LinkFrameError::new(None, "frame", "exactly one field must be set")
}

fn attach(attach: pb::Attach) -> Result<Attach, FieldError> {
    let kind = attach.kind();
    if attach.resume.is_some() && attach.batch.is_some() {
        return Err(FieldError::new("attach.batch", "must be absent with attach.resume"));
    }
    if attach.created.is_some() && attach.create {
        return Err(FieldError::new("attach.created", "must be absent with attach.create"));
    }
    let service = ServiceName::parse(&attach.service)
        .map_err(|error| FieldError::new("attach.service", error))?;
    let stream_id = StreamId::parse(&attach.stream_id)
        .map_err(|error| FieldError::new("attach.stream_id", error))?;
    check_number("attach.transport_number", attach.transport_number)?;
    if let Some(number) = attach.succeeds {
        check_number("attach.succeeds", number)?;
    }
    let of_headers = attach.headers.iter().map(|header| header.name.len() + header.value.len());
    check_length("attach.headers", of_headers.sum(), MAX_HEADERS)?;
    check_length("attach.credentials", attach.credentials.len(), MAX_CRED)?;
    check_length("attach.why", attach.why.len(), MAX_WHY)?;
    check_length("attach.peer_address", attach.peer_address.len(), MAX_PEER_ADDRESS)?;
    let protocol = protocol(&attach)?;
    let headers = attach.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Ok(Attach {
        stream_id,
        transport_number: TransportNumber(attach.transport_number),
        create: attach.create,
        wants_messages: attach.wants_messages,
        succeeds: attach.succeeds.map(TransportNumber),
        seen_ack: attach.seen_ack.map_or(Ok(Sack::NONE), |seen| sack("attach.seen_ack", seen))?,
        sack: attach.sack.map(|given| sack("attach.sack", given)).transpose()?,
        single_flush: attach.single_flush,
        heartbeat: attach.heartbeat,
        kind: kind.into(),
        credentials: attach.credentials,
        why: attach.why,
        caller: Arc::new(Caller {
            service,
            headers,
            peer_address: attach.peer_address,
            address: AddressKey(attach.address_key),
        }),
        s2c_bytes: attach.s2c_bytes,
        resume: attach.resume.map(resume),
        batch: attach.batch.map(batch).transpose()?,
        tag_history: tag_history("attach.tag_history", attach.tag_history)?,
        created: attach.created.map(|created| CreatedStream {
            stream: StreamNumber(created.stream),
            tag: ClaimTag(created.tag),
        }),
        protocol,
        identity: None,
    })
}

fn protocol(attach: &pb::Attach) -> Result<ClientProtocol, FieldError> {
    let (key, next) = (&attach.key_hash[..], &attach.next_key_hash[..]);
    let hash = |field, hash: &[u8]| {
        KeyHash::parse(hash).ok_or_else(|| FieldError::new(field, "must have 16 bytes"))
    };
    match attach.version {
        3 => Ok(ClientProtocol::V3(KeyProof {
            key: hash("attach.key_hash", key)?,
            next: (!next.is_empty()).then(|| hash("attach.next_key_hash", next)).transpose()?,
            generation: generation(attach)?,
        })),
        0 | 2 if !key.is_empty() => Err(FieldError::new("attach.key_hash", "requires version 3")),
        0 | 2 => Ok(ClientProtocol::V2),
        _ => Err(FieldError::new("attach.version", "must be 2 or 3")),
    }
}

fn generation(attach: &pb::Attach) -> Result<Generation, FieldError> {
    if attach.generation > MAX_GENERATION {
        return Err(FieldError::new("attach.generation", "exceeds 2097151"));
    }
    check_number("attach.rewind_number", attach.rewind_number)?;
    check_number("attach.own", attach.own.unwrap_or(0))?;
    let rewind = match attach.rewind() {
        pb::RewindTo::Unspecified => None,
        pb::RewindTo::All => Some(Rewind::All),
        pb::RewindTo::New => Some(Rewind::New),
        pb::RewindTo::Number => Some(Rewind::From(MessageNumber(attach.rewind_number))),
    };
    Ok(Generation { number: attach.generation, rewind, own: attach.own.map(MessageNumber) })
}

fn tag_history(
    field: &'static str,
    pairs: Vec<pb::MessageTag>,
) -> Result<ReceivedTags, FieldError> {
    for pair in &pairs {
        check_number(field, pair.first)?;
    }
    let pair = |pair: pb::MessageTag| MessageTag {
        first: MessageNumber(pair.first),
        tag: ClaimTag(pair.tag),
    };
    let pairs = pairs.into_iter().map(pair).collect();
    ReceivedTags::new(pairs).map_err(|error| FieldError::new(field, error))
}

fn resume(resume: pb::Resume) -> Resume {
    let next_s2c = resume.next_s2c.map(MessageNumber);
    let tag = resume.tag.map_or(ClaimTag::UNKNOWN, ClaimTag);
    Resume { stream: StreamNumber(resume.stream), next_s2c, tag }
}

/// The transport number inside a batch is redundant within an Attach, and ignored there.
fn batch(batch: pb::Batch) -> Result<Batch, FieldError> {
    let run = |pb::Run { first, messages, binary }| run("batch.runs", first, messages, &binary);
    let sack = |given| sack("batch.sacks", given);
    let reset = |given| reset("batch.reset.reason", given);
    check_length("batch.credentials", batch.credentials.len(), MAX_CRED)?;
    Ok(Batch {
        number: BatchNumber(batch.number),
        runs: batch.runs.into_iter().map(run).collect::<Result<_, _>>()?,
        sacks: batch.sacks.into_iter().map(sack).collect::<Result<_, _>>()?,
        tag_history: tag_history("batch.tag_history", batch.tag_history)?,
        reset: batch.reset.map(reset).transpose()?,
        end: batch.end.map(end).transpose()?,
        credentials: batch.credentials,
        identity: None,
    })
}

fn end(end: pb::End) -> Result<End, FieldError> {
    Ok(End { kill: end.kill.map(|kill| kill_reason("batch.end.kill", kill)).transpose()? })
}

fn opened(opened: pb::Opened) -> Result<CoreMessage, FieldError> {
    let sack = opened.sack.map(|given| sack("opened.sack", given)).transpose()?;
    let positions = |pb::Positions { from, own }| {
        check_number("opened.positions.from", from)?;
        check_number("opened.positions.own", own)?;
        Ok(Positions { from: MessageNumber(from), own: MessageNumber(own) })
    };
    Ok(CoreMessage::Opened {
        created: opened.created,
        sack,
        stream: StreamNumber(opened.stream),
        created_tag: ClaimTag(opened.created_tag),
        heartbeat_after: MessageNumber(opened.heartbeat_after),
        positions: opened.positions.map(positions).transpose()?,
    })
}

fn sack_update(update: pb::SackUpdate) -> Result<CoreMessage, FieldError> {
    let given = update.sack.ok_or_else(|| FieldError::new("sack.sack", "must be set"))?;
    sack("sack.sack", given).map(CoreMessage::Sack)
}

fn messages(messages: pb::Messages) -> Result<CoreMessage, FieldError> {
    if let Some(tag) = messages.tag {
        if !messages.messages.is_empty() {
            return Err(FieldError::new("messages.tag", "must be absent with messages"));
        }
        return Ok(CoreMessage::Tag(ClaimTag(tag)));
    }
    if let Some(compress) = messages.compress {
        if !messages.messages.is_empty() {
            return Err(FieldError::new("messages.compress", "must be absent with messages"));
        }
        return Ok(CoreMessage::Compress(compress));
    }
    if let Some(within) = messages.renew_within_ms {
        if !messages.messages.is_empty() {
            return Err(FieldError::new(
                "messages.renew_within_ms",
                "must be absent with messages",
            ));
        }
        return Ok(CoreMessage::Renew(Duration::from_millis(within.into())));
    }
    let run = run("messages", messages.first, messages.messages, &messages.binary)?;
    Ok(CoreMessage::Messages(run))
}

fn close(close: pb::Close) -> Result<CoreMessage, FieldError> {
    let cause = match close.cause {
        None => CloseCause::Gentle,
        Some(close::Cause::Kill(reason)) => CloseCause::Kill(kill_reason("close.kill", reason)?),
        Some(close::Cause::Reset(given)) => CloseCause::Reset(reset("close.reset.reason", given)?),
        Some(close::Cause::Unavailable(unavailable)) => CloseCause::Unavailable {
            reason: unavailable.reason,
            retry_after: Duration::from_millis(unavailable.retry_after_ms.into()),
        },
        Some(close::Cause::Refused(refused)) => CloseCause::Refused { reason: refused.reason },
        Some(close::Cause::WrongVersion(_)) => CloseCause::WrongVersion,
        Some(close::Cause::Superseded(_)) => CloseCause::Superseded,
        Some(close::Cause::Moved(_)) => CloseCause::Moved,
    };
    Ok(CoreMessage::Close(Box::new(Close {
        sack: close.sack.map(|given| sack("close.sack", given)).transpose()?,
        status: close.status.map(|given| sack("close.status", given)).transpose()?,
        cause,
    })))
}

/// Checks a run of messages: numbers up to 2^53, sizes and kinds.
fn run(
    field: &'static str,
    first: u64,
    messages: Vec<Bytes>,
    binary: &[u32],
) -> Result<Run, FieldError> {
    check_number(field, first)?;
    check_number(field, first + messages.len().saturating_sub(1) as u64)?;
    if messages.iter().any(|message| message.len() > MAX_MESSAGE) {
        return Err(FieldError::new(field, format!("a message exceeds {MAX_MESSAGE} bytes")));
    }
    let messages =
        payload::join(messages, binary).map_err(|error| FieldError::new(field, error))?;
    Ok(Run { first: MessageNumber(first), messages })
}

fn sack(field: &'static str, sack: pb::Sack) -> Result<Sack, FieldError> {
    let acked = match u64::try_from(sack.acked) {
        Ok(acked) => Some(acked),
        Err(_) if sack.acked == -1 => None,
        Err(_) => return Err(FieldError::new(field, "acked must be -1 or more")),
    };
    if sack.beyond.len() > MAX_BEYOND {
        return Err(FieldError::new(field, format!("lists more than {MAX_BEYOND} messages")));
    }
    for number in acked.iter().chain(&sack.beyond) {
        check_number(field, *number)?;
    }
    Ok(Sack::from_numbers(acked, sack.beyond))
}

fn reset(field: &'static str, reset: pb::Reset) -> Result<Reset, FieldError> {
    if reset.reason.len() > MAX_REASON {
        return Err(FieldError::new(field, format!("exceeds {MAX_REASON} bytes")));
    }
    if !is_message_allowed(reset.reason.as_bytes()) {
        return Err(FieldError::new(field, "has a byte outside 0x20-0x7E"));
    }
    Ok(Reset { reason: reset.reason, application_level: reset.application_level })
}

fn kill_reason(field: &'static str, reason: i32) -> Result<KillReason, FieldError> {
    match pb::KillReason::try_from(reason) {
        Ok(pb::KillReason::StreamAttachFailure) => Ok(KillReason::StreamAttachFailure),
        Ok(pb::KillReason::AckedUnsentStrings) => Ok(KillReason::AckedUnsentStrings),
        Ok(pb::KillReason::FrameCorruption) => Ok(KillReason::FrameCorruption),
        // An unknown reason comes from a later release.
        Ok(pb::KillReason::InvalidFrameTypeOrArguments) | Err(_) => {
            Ok(KillReason::InvalidFrameTypeOrArguments)
        }
        Ok(pb::KillReason::RwinOverflow) => Ok(KillReason::RwinOverflow),
        Ok(pb::KillReason::Unspecified) => Err(FieldError::new(field, "must be set")),
    }
}

fn check_length(field: &'static str, length: usize, limit: usize) -> Result<(), FieldError> {
    if length > limit {
        return Err(FieldError::new(field, format!("exceeds {limit} bytes")));
    }
    Ok(())
}

fn check_number(field: &'static str, number: u64) -> Result<(), FieldError> {
    if number > MAX_NUMBER { Err(FieldError::new(field, "exceeds 2^53")) } else { Ok(()) }
}
