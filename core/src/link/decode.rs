//! From the link's protobuf to the plain types of the stream machine, with all checks that the contract
//! asks of an edge. An invalid frame is a defect of the edge, not of a client.

use minerva_proto::link::pb as link;
use minerva_proto::sack::MAX_BEYOND;
use minerva_proto::{KillReason, MAX_NUMBER, Sack, StreamId};

use crate::invalid::{self, Invalid};
use crate::stream::{Attach, Batch, End, Resume, Run, TransportId};

pub(crate) fn attach(attach: link::Attach) -> Result<Attach, Invalid> {
    let transport = TransportId(attach.transport);
    let service = invalid::service("attach.service", &attach.service)?;
    check_number("attach.transport_number", attach.transport_number)?;
    if attach.resume.is_some() && attach.batch.is_some() {
        return Err(Invalid::new("attach.batch", "must be absent with attach.resume"));
    }
    let kind = attach.kind();
    let stream_id = StreamId::parse(&attach.stream_id)
        .map_err(|problem| Invalid::new("attach.stream_id", problem))?;
    // What came with the hello belongs to this transport, whatever it says.
    let first_batch =
        attach.batch.map(|batch| self::batch(link::Batch { transport: transport.0, ..batch }));
    Ok(Attach {
        transport,
        service,
        stream_id,
        transport_number: attach.transport_number,
        create: attach.create,
        wants_messages: attach.wants_messages,
        succeeds: attach.succeeds,
        seen_ack: attach.seen_ack.map_or(Ok(Sack::NONE), |seen| sack("attach.seen_ack", seen))?,
        sack: attach.sack.map(|given| sack("attach.sack", given)).transpose()?,
        single_flush: attach.single_flush,
        heartbeat: attach.heartbeat,
        kind: kind.into(),
        credentials: attach.credentials,
        why: attach.why,
        headers: attach.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        peer_address: attach.peer_address,
        s2c_bytes: attach.s2c_bytes,
        resume: attach
            .resume
            .map(|resume| Resume { stream: resume.stream, next_s2c: resume.next_s2c }),
        batch: first_batch.transpose()?,
    })
}

pub(crate) fn batch(batch: link::Batch) -> Result<Batch, Invalid> {
    Ok(Batch {
        transport: TransportId(batch.transport),
        number: batch.number,
        runs: batch.runs.into_iter().map(run).collect::<Result<_, _>>()?,
        sacks: batch
            .sacks
            .into_iter()
            .map(|given| sack("batch.sacks", given))
            .collect::<Result<_, _>>()?,
        reset: batch
            .reset
            .map(|reset| {
                invalid::reset("batch.reset.reason", reset.reason, reset.application_level)
            })
            .transpose()?,
        end: batch.end.map(end).transpose()?,
    })
}

fn run(run: link::Run) -> Result<Run, Invalid> {
    check_number("batch.runs.first", run.first)?;
    invalid::check_messages("batch.runs.messages", run.first, &run.messages)?;
    Ok(Run { first: run.first, messages: run.messages })
}

fn sack(field: &'static str, sack: link::Sack) -> Result<Sack, Invalid> {
    let acked = match u64::try_from(sack.acked) {
        Ok(acked) => Some(acked),
        Err(_) if sack.acked == -1 => None,
        Err(_) => return Err(Invalid::new(field, "acked must be -1 or more")),
    };
    if sack.beyond.len() > MAX_BEYOND {
        return Err(Invalid::new(field, format!("lists more than {MAX_BEYOND} strings")));
    }
    for number in acked.iter().chain(&sack.beyond) {
        check_number(field, *number)?;
    }
    Ok(Sack::from_numbers(acked, sack.beyond))
}

fn end(end: link::End) -> Result<End, Invalid> {
    let reason = match end.kill {
        None => return Ok(End { kill: None }),
        Some(reason) => link::KillReason::try_from(reason),
    };
    let kill = match reason {
        Ok(link::KillReason::StreamAttachFailure) => KillReason::StreamAttachFailure,
        Ok(link::KillReason::AckedUnsentStrings) => KillReason::AckedUnsentStrings,
        Ok(link::KillReason::FrameCorruption) => KillReason::FrameCorruption,
        Ok(link::KillReason::InvalidFrameTypeOrArguments) => {
            KillReason::InvalidFrameTypeOrArguments
        }
        Ok(link::KillReason::RwinOverflow) => KillReason::RwinOverflow,
        Ok(link::KillReason::Unspecified) | Err(_) => {
            return Err(Invalid::new("batch.end.kill", "not a known reason"));
        }
    };
    Ok(End { kill: Some(kill) })
}

fn check_number(field: &'static str, number: u64) -> Result<(), Invalid> {
    if number > MAX_NUMBER { Err(Invalid::new(field, "above 2^53")) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
