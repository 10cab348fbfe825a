//! The transport machine's plain values as the link's messages, and back. The one place in this crate
//! that knows both.

use std::time::Duration;

use minerva_proto::link::pb as wire;
use minerva_proto::{KillReason, Reset, Sack, is_message_allowed};

use crate::transport::{
    Attach, Batch, Carrier, Close, CloseCause, End, FromCore, Resume, Run, ToCore,
};

/// An invalid frame of a core. It ends its transport; only a missing greeting and a claim of a partition that does
/// not exist end the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A CoreFrame without content, or without a field that it must have.
    #[error("a frame without content")]
    Empty,
    /// A second CoreHello, or a first frame that is none.
    #[error("a greeting where none belongs, or none where one belongs")]
    Greeting,
    /// A partition that does not exist.
    #[error("a claim of a partition that does not exist")]
    Partition,
    /// A SACK or a string that cannot be written.
    #[error("a SACK, reason or string that cannot be written to a client")]
    Unwritable,
}

/// What the core says, and of what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Of one transport.
    Of(u64, FromCore),
    /// The core has nothing to do with this transport's stream.
    Moved(u64),
    /// It owns these partitions, each under its epoch.
    Owned(Vec<(u32, u64)>),
    /// It owns these partitions no longer.
    Released(Vec<u32>),
}

/// What goes to the core about `transport`, as a frame.
pub(crate) fn to_wire(transport: u64, message: ToCore) -> wire::edge_frame::Frame {
    use wire::edge_frame::Frame;
    match message {
        ToCore::Attach(attach) => Frame::Attach(attach_to_wire(transport, *attach)),
        ToCore::Batch(batch) => Frame::Batch(batch_to_wire(transport, batch)),
        ToCore::Grant(s2c_bytes) => Frame::Grant(wire::Grant { transport, s2c_bytes }),
        ToCore::Detach => Frame::Detach(wire::Detach { transport }),
    }
}

/// The transport of a frame, if it names one.
pub(crate) fn transport_of(frame: &wire::CoreFrame) -> Option<u64> {
    use wire::core_frame::Frame;
    match frame.frame.as_ref()? {
        Frame::Opened(opened) => Some(opened.transport),
        Frame::Sack(update) => Some(update.transport),
        Frame::Messages(messages) => Some(messages.transport),
        Frame::Close(close) => Some(close.transport),
        Frame::Taken(taken) => Some(taken.transport),
        Frame::Hello(_) | Frame::Owned(_) | Frame::Released(_) => None,
    }
}

/// What the core says in one frame.
pub(crate) fn from_wire(frame: wire::CoreFrame) -> Result<Said, Malformed> {
    use wire::core_frame::Frame;
    Ok(match frame.frame.ok_or(Malformed::Empty)? {
        Frame::Hello(_) => return Err(Malformed::Greeting),
        Frame::Opened(opened) => {
            let sack = opened.sack.map(sack_from_wire).transpose()?;
            Said::Of(
                opened.transport,
                FromCore::Opened { created: opened.created, sack, stream: opened.stream },
            )
        }
        Frame::Sack(update) => {
            let sack = update.sack.ok_or(Malformed::Empty)?;
            Said::Of(update.transport, FromCore::Sack(sack_from_wire(sack)?))
        }
        Frame::Messages(messages) => {
            if !messages.messages.iter().all(|string| is_message_allowed(string)) {
                return Err(Malformed::Unwritable);
            }
            let content = FromCore::Messages { first: messages.first, messages: messages.messages };
            Said::Of(messages.transport, content)
        }
        Frame::Close(close) => close_from_wire(close)?,
        Frame::Taken(taken) => Said::Of(taken.transport, FromCore::Taken(taken.batch)),
        Frame::Owned(owned) => {
            let claim = |claim: wire::Claim| (claim.partition, claim.epoch);
            Said::Owned(owned.claims.into_iter().map(claim).collect())
        }
        Frame::Released(released) => Said::Released(released.partitions),
    })
}

fn attach_to_wire(transport: u64, attach: Attach) -> wire::Attach {
    let Attach { caller, batch, .. } = attach;
    wire::Attach {
        transport,
        service: caller.service.to_string(),
        stream_id: attach.stream.as_str().to_owned(),
        transport_number: attach.transport_number,
        create: attach.create,
        wants_messages: attach.wants_messages,
        succeeds: attach.succeeds,
        seen_ack: Some(sack_to_wire(attach.seen_ack)),
        sack: attach.sack.map(sack_to_wire),
        single_flush: attach.single_flush,
        heartbeat: attach.heartbeat,
        kind: carrier_to_wire(attach.carrier).into(),
        credentials: attach.credentials,
        why: attach.why,
        headers: caller
            .headers
            .iter()
            .map(|(name, value)| wire::Header { name: name.clone(), value: value.clone() })
            .collect(),
        peer_address: caller.peer_address.clone(),
        s2c_bytes: attach.s2c_bytes,
        resume: attach.resume.map(|Resume { stream, next_s2c }| wire::Resume { stream, next_s2c }),
        batch: batch.map(|batch| batch_to_wire(transport, batch)),
    }
}

fn carrier_to_wire(carrier: Carrier) -> wire::TransportKind {
    match carrier {
        Carrier::Tcp => wire::TransportKind::Tcp,
        Carrier::WebSocket => wire::TransportKind::Websocket,
        Carrier::HttpStream => wire::TransportKind::HttpStream,
        Carrier::LongPoll => wire::TransportKind::LongPoll,
    }
}

fn batch_to_wire(transport: u64, batch: Batch) -> wire::Batch {
    wire::Batch {
        transport,
        number: batch.number,
        runs: batch
            .runs
            .into_iter()
            .map(|Run { first, messages }| wire::Run { first, messages })
            .collect(),
        sacks: batch.sacks.into_iter().map(sack_to_wire).collect(),
        reset: batch.reset.map(|reset| wire::Reset {
            reason: reset.reason,
            application_level: reset.application_level,
        }),
        end: batch
            .end
            .map(|End { kill }| wire::End { kill: kill.map(|reason| kill_to_wire(reason).into()) }),
    }
}

fn close_from_wire(close: wire::Close) -> Result<Said, Malformed> {
    use wire::close::Cause;
    let cause = match close.cause {
        None => CloseCause::Gentle,
        Some(Cause::Kill(reason)) => CloseCause::Kill(kill_from_wire(reason)?),
        Some(Cause::Reset(reset)) => CloseCause::Reset(reset_from_wire(reset)?),
        Some(Cause::Unavailable(unavailable)) => CloseCause::Unavailable {
            reason: unavailable.reason,
            retry_after: Duration::from_millis(unavailable.retry_after_ms.into()),
        },
        Some(Cause::Refused(refused)) => CloseCause::Refused { reason: refused.reason },
        Some(Cause::Moved(_)) => return Ok(Said::Moved(close.transport)),
    };
    let content = Close {
        sack: close.sack.map(sack_from_wire).transpose()?,
        status: close.status.map(sack_from_wire).transpose()?,
        cause,
    };
    Ok(Said::Of(close.transport, FromCore::Close(Box::new(content))))
}

fn sack_to_wire(sack: Sack) -> wire::Sack {
    let acked = sack.acked.map_or(-1, |acked| i64::try_from(acked.0).unwrap_or(i64::MAX));
    wire::Sack { acked, beyond: sack.beyond.into_iter().map(|number| number.0).collect() }
}

fn sack_from_wire(sack: wire::Sack) -> Result<Sack, Malformed> {
    let acked = match sack.acked {
        -1 => None,
        acked => Some(u64::try_from(acked).map_err(|_| Malformed::Unwritable)?),
    };
    Ok(Sack::from_numbers(acked, sack.beyond))
}

fn reset_from_wire(reset: wire::Reset) -> Result<Reset, Malformed> {
    let allowed = reset.reason.len() <= minerva_proto::MAX_REASON
        && is_message_allowed(reset.reason.as_bytes());
    if !allowed {
        return Err(Malformed::Unwritable);
    }
    Ok(Reset { reason: reset.reason, application_level: reset.application_level })
}

fn kill_to_wire(reason: KillReason) -> wire::KillReason {
    match reason {
        KillReason::StreamAttachFailure => wire::KillReason::StreamAttachFailure,
        KillReason::AckedUnsentStrings => wire::KillReason::AckedUnsentStrings,
        KillReason::FrameCorruption => wire::KillReason::FrameCorruption,
        KillReason::InvalidFrameTypeOrArguments => wire::KillReason::InvalidFrameTypeOrArguments,
        KillReason::RwinOverflow => wire::KillReason::RwinOverflow,
    }
}

fn kill_from_wire(reason: i32) -> Result<KillReason, Malformed> {
    match wire::KillReason::try_from(reason) {
        Ok(wire::KillReason::StreamAttachFailure) => Ok(KillReason::StreamAttachFailure),
        Ok(wire::KillReason::AckedUnsentStrings) => Ok(KillReason::AckedUnsentStrings),
        Ok(wire::KillReason::FrameCorruption) => Ok(KillReason::FrameCorruption),
        Ok(wire::KillReason::InvalidFrameTypeOrArguments) => {
            Ok(KillReason::InvalidFrameTypeOrArguments)
        }
        Ok(wire::KillReason::RwinOverflow) => Ok(KillReason::RwinOverflow),
        Ok(wire::KillReason::Unspecified) | Err(_) => Err(Malformed::Unwritable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(frame: wire::core_frame::Frame) -> wire::CoreFrame {
        wire::CoreFrame { frame: Some(frame) }
    }

    #[test]
    fn every_kill_reason_survives_the_way_there_and_back() {
        for reason in KillReason::ALL {
            assert_eq!(kill_from_wire(kill_to_wire(reason).into()), Ok(reason));
        }
        assert_eq!(kill_from_wire(0), Err(Malformed::Unwritable));
        assert_eq!(kill_from_wire(99), Err(Malformed::Unwritable));
    }

    #[test]
    fn sacks_survive_the_way_there_and_back() {
        for sack in [Sack::NONE, Sack::from_numbers(Some(7), [9, 12])] {
            assert_eq!(sack_from_wire(sack_to_wire(sack.clone())), Ok(sack));
        }
        let below = wire::Sack { acked: -2, beyond: vec![] };
        assert_eq!(sack_from_wire(below), Err(Malformed::Unwritable));
    }

    #[test]
    fn what_would_break_a_clients_framing_is_refused() {
        let messages = wire::Messages { transport: 1, first: 0, messages: vec!["a\nb".into()] };
        let reset = wire::Reset { reason: "a\nb".to_owned(), application_level: true };
        let cause = Some(wire::close::Cause::Reset(reset));
        let close = wire::Close { transport: 1, cause, ..wire::Close::default() };
        for bad in
            [wire::core_frame::Frame::Messages(messages), wire::core_frame::Frame::Close(close)]
        {
            assert_eq!(from_wire(frame(bad)), Err(Malformed::Unwritable));
        }
        assert_eq!(from_wire(wire::CoreFrame { frame: None }), Err(Malformed::Empty));
    }
}
