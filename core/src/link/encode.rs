//! From what partitions say to edges to the link's protobuf.

use minerva_proto::link::core_frame::Frame;
use minerva_proto::link::{
    Close, CoreFrame, KillReason as LinkKillReason, Opened, RelayResponse, Reset, Sack as LinkSack,
    SackUpdate, Strings, Taken, Unavailable, close,
};
use minerva_proto::{KillReason, Sack};
use tonic::Status;

use crate::outgoing::Pack;
use crate::stream::{CloseCause, EdgeOutput};

/// Bytes of a frame beside its strings, roughly.
const FRAME: usize = 32;
/// Bytes of a string beside its content: tag and length.
const STRING: usize = 4;

impl Pack for EdgeOutput {
    type Message = RelayResponse;

    fn weight(&self) -> usize {
        match self {
            Self::Strings { strings, .. } => {
                FRAME + strings.iter().map(|string| string.len() + STRING).sum::<usize>()
            }
            Self::Opened { .. } | Self::Sack { .. } | Self::Close { .. } | Self::Taken { .. } => {
                FRAME
            }
        }
    }

    fn failure(&self) -> Option<Status> {
        None
    }

    fn pack(items: Vec<Self>) -> RelayResponse {
        let frames = items.into_iter().map(|item| CoreFrame { frame: Some(frame(item)) });
        RelayResponse { frames: frames.collect() }
    }
}

fn frame(output: EdgeOutput) -> Frame {
    match output {
        EdgeOutput::Opened { transport, created, sack: given } => {
            Frame::Opened(Opened { transport: transport.0, created, sack: given.map(sack) })
        }
        EdgeOutput::Sack { transport, sack: given } => {
            Frame::Sack(SackUpdate { transport: transport.0, sack: Some(sack(given)) })
        }
        EdgeOutput::Strings { transport, first, strings } => {
            Frame::Strings(Strings { transport: transport.0, first, strings })
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
    let acked = sack.acked.map_or(-1, |acked| i64::try_from(acked).unwrap_or(i64::MAX));
    LinkSack { acked, beyond: sack.beyond }
}
