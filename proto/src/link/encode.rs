//! From values to the generated types. Never fails: values are valid. Contents of messages are shared, not copied.

use bytes::Bytes;

use super::pb::{self, close, core_frame, edge_frame};
use super::{
    Attach, Batch, Close, CloseCause, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage, End,
    Positions, Run, TransportId,
};
use crate::{
    ClaimTag, ClientProtocol, Generation, KeyHash, KillReason, ReceivedTags, Reset, Rewind, Sack,
    payload,
};

/// Encodes a frame of an edge.
pub fn edge_frame(frame: EdgeFrame) -> pb::EdgeFrame {
    let EdgeFrame { transport, message } = frame;
    let frame = match message {
        EdgeMessage::Attach(attach) => edge_frame::Frame::Attach(self::attach(transport, *attach)),
        EdgeMessage::Batch(batch) => edge_frame::Frame::Batch(self::batch(transport, batch)),
        EdgeMessage::Grant(s2c_bytes) => {
            edge_frame::Frame::Grant(pb::Grant { transport: transport.0, s2c_bytes })
        }
        EdgeMessage::Detach => edge_frame::Frame::Detach(pb::Detach { transport: transport.0 }),
    };
    pb::EdgeFrame { frame: Some(frame) }
}

/// Encodes a frame of a core.
pub fn core_frame(frame: CoreFrame) -> pb::CoreFrame {
    let frame = match frame {
        CoreFrame::Transport { transport, message } => core_message(transport, message),
        CoreFrame::Owned(claims) => {
            let claims = claims.into_iter();
            let claims =
                claims.map(|claim| pb::Claim { partition: claim.partition, epoch: claim.epoch });
            core_frame::Frame::Owned(pb::Owned { claims: claims.collect() })
        }
        CoreFrame::Released(partitions) => core_frame::Frame::Released(pb::Released { partitions }),
    };
    pb::CoreFrame { frame: Some(frame) }
}

fn attach(transport: TransportId, attach: Attach) -> pb::Attach {
    let caller = &attach.caller;
    let (version, key, next, generation) = match attach.protocol {
        ClientProtocol::V2 => (0, None, None, Generation::default()),
        ClientProtocol::V3(proof) => (3, Some(proof.key), proof.next, proof.generation),
    };
    let (rewind, rewind_number) = rewind_to(generation.rewind);
    let header =
        |(name, value): &(String, String)| pb::Header { name: name.clone(), value: value.clone() };
    pb::Attach {
        transport: transport.0,
        service: caller.service.to_string(),
        stream_id: attach.stream_id.as_str().to_owned(),
        transport_number: attach.transport_number.0,
        create: attach.create,
        wants_messages: attach.wants_messages,
        succeeds: attach.succeeds.map(|number| number.0),
        seen_ack: Some(sack(attach.seen_ack)),
        sack: attach.sack.map(sack),
        single_flush: attach.single_flush,
        heartbeat: attach.heartbeat,
        kind: pb::TransportKind::from(attach.kind).into(),
        credentials: attach.credentials,
        why: attach.why,
        headers: caller.headers.iter().map(header).collect(),
        peer_address: caller.peer_address.clone(),
        address_key: caller.address.0,
        s2c_bytes: attach.s2c_bytes,
        resume: attach.resume.map(|resume| pb::Resume {
            stream: resume.stream.0,
            next_s2c: resume.next_s2c.map(|number| number.0),
            tag: resume.tag.is_known().then_some(resume.tag.0),
        }),
        batch: attach.batch.map(|batch| self::batch(transport, batch)),
        tag_history: tag_history(&attach.tag_history),
        created: attach
            .created
            .map(|created| pb::CreatedStream { stream: created.stream.0, tag: created.tag.0 }),
        version,
        key_hash: key.map_or_else(Bytes::new, key_hash),
        next_key_hash: next.map_or_else(Bytes::new, key_hash),
        generation: generation.number,
        rewind: rewind.into(),
        rewind_number,
        own: generation.own.map(|number| number.0),
    }
}

fn rewind_to(rewind: Option<Rewind>) -> (pb::RewindTo, u64) {
    match rewind {
        None => (pb::RewindTo::Unspecified, 0),
        Some(Rewind::All) => (pb::RewindTo::All, 0),
        Some(Rewind::New) => (pb::RewindTo::New, 0),
        Some(Rewind::From(first)) => (pb::RewindTo::Number, first.0),
    }
}

fn key_hash(hash: KeyHash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

fn tag_history(tags: &ReceivedTags) -> Vec<pb::MessageTag> {
    let pair = |pair: &crate::MessageTag| pb::MessageTag { first: pair.first.0, tag: pair.tag.0 };
    tags.pairs().iter().map(pair).collect()
}

fn batch(transport: TransportId, batch: Batch) -> pb::Batch {
    let run = |Run { first, messages }| {
        let (messages, binary) = payload::split(messages);
        pb::Run { first: first.0, messages, binary }
    };
    pb::Batch {
        transport: transport.0,
        number: batch.number.0,
        runs: batch.runs.into_iter().map(run).collect(),
        sacks: batch.sacks.into_iter().map(sack).collect(),
        tag_history: tag_history(&batch.tag_history),
        reset: batch.reset.map(reset),
        end: batch
            .end
            .map(|End { kill }| pb::End { kill: kill.map(|kill| kill_reason(kill).into()) }),
        credentials: batch.credentials,
    }
}

fn core_message(transport: TransportId, message: CoreMessage) -> core_frame::Frame {
    use core_frame::Frame;
    let transport = transport.0;
    match message {
        CoreMessage::Opened { created, sack, stream, created_tag, heartbeat_after, positions } => {
            let positions =
                positions.map(|Positions { from, own }| pb::Positions { from: from.0, own: own.0 });
            Frame::Opened(pb::Opened {
                transport,
                created,
                sack: sack.map(self::sack),
                stream: stream.0,
                created_tag: created_tag.0,
                heartbeat_after: heartbeat_after.0,
                positions,
            })
        }
        CoreMessage::Sack(sack) => {
            Frame::Sack(pb::SackUpdate { transport, sack: Some(self::sack(sack)) })
        }
        CoreMessage::Messages(Run { first, messages }) => {
            let (messages, binary) = payload::split(messages);
            let first = first.0;
            Frame::Messages(pb::Messages {
                transport,
                first,
                messages,
                binary,
                ..pb::Messages::default()
            })
        }
        CoreMessage::Tag(ClaimTag(tag)) => {
            Frame::Messages(pb::Messages { transport, tag: Some(tag), ..pb::Messages::default() })
        }
        CoreMessage::Compress(compress) => Frame::Messages(pb::Messages {
            transport,
            compress: Some(compress),
            ..pb::Messages::default()
        }),
        CoreMessage::Renew(within) => Frame::Messages(pb::Messages {
            transport,
            renew_within_ms: Some(u32::try_from(within.as_millis()).unwrap_or(u32::MAX)),
            ..pb::Messages::default()
        }),
        CoreMessage::Close(close) => {
            let Close { sack, status, cause } = *close;
            let (sack, status) = (sack.map(self::sack), status.map(self::sack));
            Frame::Close(pb::Close { transport, sack, status, cause: close_cause(cause) })
        }
        CoreMessage::Taken(batch) => Frame::Taken(pb::Taken { transport, batch: batch.0 }),
    }
}

fn close_cause(cause: CloseCause) -> Option<close::Cause> {
    Some(match cause {
        CloseCause::Gentle => return None,
        CloseCause::Kill(reason) => close::Cause::Kill(kill_reason(reason).into()),
        CloseCause::Reset(reset) => close::Cause::Reset(self::reset(reset)),
        CloseCause::Unavailable { reason, retry_after } => {
            let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
            close::Cause::Unavailable(pb::Unavailable { reason, retry_after_ms })
        }
        CloseCause::Refused { reason } => close::Cause::Refused(pb::Refused { reason }),
        CloseCause::WrongVersion => close::Cause::WrongVersion(pb::WrongVersion {}),
        CloseCause::Superseded => close::Cause::Superseded(pb::Superseded {}),
        CloseCause::Moved => close::Cause::Moved(pb::Moved {}),
    })
}

fn reset(reset: Reset) -> pb::Reset {
    pb::Reset { reason: reset.reason, application_level: reset.application_level }
}

/// Numbers are at most 2^53, so the conversion never saturates.
fn sack(sack: Sack) -> pb::Sack {
    let acked = sack.acked.map_or(-1, |acked| i64::try_from(acked.0).unwrap_or(i64::MAX));
    pb::Sack { acked, beyond: sack.beyond.into_iter().map(|number| number.0).collect() }
}

fn kill_reason(reason: KillReason) -> pb::KillReason {
    match reason {
        KillReason::StreamAttachFailure => pb::KillReason::StreamAttachFailure,
        KillReason::AckedUnsentStrings => pb::KillReason::AckedUnsentStrings,
        KillReason::FrameCorruption => pb::KillReason::FrameCorruption,
        KillReason::InvalidFrameTypeOrArguments => pb::KillReason::InvalidFrameTypeOrArguments,
        KillReason::RwinOverflow => pb::KillReason::RwinOverflow,
    }
}
