//! From what partitions say to edges to the link's protobuf.

use std::collections::VecDeque;

use minerva_proto::link::pb::core_frame::Frame;
use minerva_proto::link::pb::{
    Claim, Close, CoreFrame, KillReason as LinkKillReason, Messages, Moved, Opened, Owned, Refused,
    RelayResponse, Released, Reset, Sack as LinkSack, SackUpdate, Taken, Unavailable, close,
};
use minerva_proto::{KillReason, Sack};
use tonic::Status;

use super::gather::gather;
use crate::outgoing::Pack;
use crate::store::Epoch;
use crate::stream::{CloseCause, EdgeOutput};

/// Bytes of a frame beside its strings, roughly.
const FRAME: usize = 32;
/// Bytes of a string beside its content: tag and length.
const STRING: usize = 4;
/// Most bytes of a number up to 2^53.
const NUMBER: usize = 8;
/// Most bytes of a claim.
const CLAIM: usize = 20;

impl Pack for EdgeOutput {
    type Message = RelayResponse;

    fn weight(&self) -> usize {
        match self {
            Self::Messages { messages, .. } => {
                FRAME + messages.iter().map(|string| string.len() + STRING).sum::<usize>()
            }
            // Clients choose what a SACK lists: many of them must not make a message too long.
            Self::Opened { sack, .. } => FRAME + sack.as_ref().map_or(0, weight),
            Self::Sack { sack, .. } => FRAME + weight(sack),
            Self::Close { sack, status, cause, .. } => {
                let sacks = [sack, status].into_iter().flatten().map(weight);
                FRAME + sacks.sum::<usize>() + reason(cause).len()
            }
            Self::Taken { .. } => FRAME,
            Self::Owned(claims) => FRAME + CLAIM * claims.len(),
            Self::Released(partitions) => FRAME + NUMBER * partitions.len(),
        }
    }

    fn failure(&self) -> Option<Status> {
        None
    }

    fn pack(items: Vec<Self>) -> RelayResponse {
        let frames = items.into_iter().map(|item| CoreFrame { frame: Some(frame(item)) });
        RelayResponse { frames: frames.collect() }
    }

    fn coalesce(items: Vec<Self>) -> VecDeque<Self> {
        gather(items)
    }
}

fn weight(sack: &Sack) -> usize {
    NUMBER * (1 + sack.beyond.len())
}

fn reason(cause: &CloseCause) -> &str {
    match cause {
        CloseCause::Reset(reset) => &reset.reason,
        CloseCause::Unavailable { reason, .. } | CloseCause::Refused { reason } => reason,
        CloseCause::Gentle | CloseCause::Kill(_) | CloseCause::Moved => "",
    }
}

fn frame(output: EdgeOutput) -> Frame {
    match output {
        EdgeOutput::Opened { transport, created, sack: given, stream } => {
            let sack = given.map(sack);
            Frame::Opened(Opened { transport: transport.0, created, sack, stream })
        }
        EdgeOutput::Sack { transport, sack: given } => {
            Frame::Sack(SackUpdate { transport: transport.0, sack: Some(sack(given)) })
        }
        EdgeOutput::Messages { transport, first, messages } => {
            Frame::Messages(Messages { transport: transport.0, first, messages })
        }
        EdgeOutput::Close { transport, sack: given, status, cause } => Frame::Close(Close {
            transport: transport.0,
            sack: given.map(sack),
            status: status.map(sack),
            cause: close_cause(cause),
        }),
        EdgeOutput::Taken { transport, batch } => {
            Frame::Taken(Taken { transport: transport.0, batch })
        }
        EdgeOutput::Owned(claims) => {
            let claim = |(partition, epoch): (u32, Epoch)| Claim { partition, epoch: epoch.0 };
            Frame::Owned(Owned { claims: claims.into_iter().map(claim).collect() })
        }
        EdgeOutput::Released(partitions) => Frame::Released(Released { partitions }),
    }
}

fn close_cause(cause: CloseCause) -> Option<close::Cause> {
    match cause {
        CloseCause::Gentle => None,
        CloseCause::Kill(reason) => Some(close::Cause::Kill(kill_reason(reason).into())),
        CloseCause::Reset(reset) => Some(close::Cause::Reset(Reset {
            reason: reset.reason,
            application_level: reset.application_level,
        })),
        CloseCause::Unavailable { reason, retry_after_ms } => {
            Some(close::Cause::Unavailable(Unavailable { reason, retry_after_ms }))
        }
        CloseCause::Refused { reason } => Some(close::Cause::Refused(Refused { reason })),
        CloseCause::Moved => Some(close::Cause::Moved(Moved {})),
    }
}

fn kill_reason(reason: KillReason) -> LinkKillReason {
    match reason {
        KillReason::StreamAttachFailure => LinkKillReason::StreamAttachFailure,
        KillReason::AckedUnsentStrings => LinkKillReason::AckedUnsentStrings,
        KillReason::FrameCorruption => LinkKillReason::FrameCorruption,
        KillReason::InvalidFrameTypeOrArguments => LinkKillReason::InvalidFrameTypeOrArguments,
        KillReason::RwinOverflow => LinkKillReason::RwinOverflow,
    }
}

/// Numbers are at most 2^53, so the conversion never saturates.
fn sack(sack: Sack) -> LinkSack {
    let acked = sack.acked.map_or(-1, |acked| i64::try_from(acked.0).unwrap_or(i64::MAX));
    LinkSack { acked, beyond: sack.beyond.into_iter().map(|number| number.0).collect() }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::stream::TransportId;

    /// Messages are filled by weight: one that weighs less than it is long could pass what an edge accepts.
    #[test]
    fn nothing_is_much_longer_than_it_weighs() {
        let long = || Sack::from_numbers(Some(1 << 53), [1 << 53; 4096]);
        let transport = TransportId(u64::MAX);
        let close = |cause| {
            let (sack, status) = (Some(long()), Some(long()));
            EdgeOutput::Close { transport, sack, status, cause }
        };
        let reset = minerva_proto::Reset::new(&"r".repeat(255), true);
        let outputs = [
            EdgeOutput::Opened { transport, created: true, sack: Some(long()), stream: u64::MAX },
            EdgeOutput::Sack { transport, sack: long() },
            EdgeOutput::Messages { transport, first: 1 << 53, messages: vec!["s".into(); 1000] },
            EdgeOutput::Taken { transport, batch: u64::MAX },
            EdgeOutput::Owned(vec![(u32::MAX, Epoch(u64::MAX)); 1000]),
            EdgeOutput::Released(vec![u32::MAX; 1000]),
            close(CloseCause::Gentle),
            close(CloseCause::Moved),
            close(CloseCause::Reset(reset)),
            close(CloseCause::Unavailable { reason: "u".repeat(100), retry_after_ms: u32::MAX }),
            close(CloseCause::Refused { reason: "r".repeat(100) }),
        ];
        for output in outputs {
            let weight = output.weight();
            let length = EdgeOutput::pack(vec![output]).encoded_len();
            assert!(length <= weight + 64, "{length} bytes weigh {weight}");
        }
    }
}
