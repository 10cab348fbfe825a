//! Sizes of frames, with which both ends of a link limit the size of a gRPC message before the encoding.

use bytes::Bytes;

use super::{Batch, CloseCause, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage};
use crate::Sack;

/// Bytes of a frame without texts, SACKs and messages, roughly.
const FRAME: usize = 32;
/// Bytes of an application message beside its content: tag and length.
const MESSAGE: usize = 4;
/// Most bytes of a number up to 2^53.
const NUMBER: usize = 8;
/// Most bytes of a claim.
const CLAIM: usize = 20;

impl EdgeFrame {
    /// Encoded size in bytes, roughly: without the texts of an Attach, which the edge limits to some 24 KiB.
    pub fn weight(&self) -> usize {
        let batch = match &self.message {
            EdgeMessage::Attach(attach) => attach.batch.as_ref(),
            EdgeMessage::Batch(batch) => Some(batch),
            EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
        };
        FRAME + batch.map_or(0, Batch::weight)
    }
}

impl Batch {
    fn weight(&self) -> usize {
        let messages = self.runs.iter().flat_map(|run| &run.messages);
        messages.map(|message| message.len() + MESSAGE).sum::<usize>()
            + self.sacks.iter().map(sack_weight).sum::<usize>()
    }
}

impl CoreFrame {
    /// Encoded size in bytes, at most 64 too low. Clients choose the length of a SACK's list, and many long SACKs must
    /// not make a gRPC message too long.
    pub fn weight(&self) -> usize {
        match self {
            Self::Transport { message, .. } => FRAME + message.weight(),
            Self::Owned(claims) => FRAME + CLAIM * claims.len(),
            Self::Released(partitions) => FRAME + NUMBER * partitions.len(),
        }
    }
}

impl CoreMessage {
    fn weight(&self) -> usize {
        match self {
            Self::Opened { sack, .. } => sack.as_ref().map_or(0, sack_weight),
            Self::Sack(sack) => sack_weight(sack),
            Self::Messages(run) => {
                run.messages.iter().map(Bytes::len).sum::<usize>() + MESSAGE * run.messages.len()
            }
            Self::Close(close) => {
                let sacks = [&close.sack, &close.status].into_iter().flatten().map(sack_weight);
                sacks.sum::<usize>() + close.cause.text().len()
            }
            Self::Taken(_) => 0,
        }
    }
}

impl CloseCause {
    fn text(&self) -> &str {
        match self {
            Self::Reset(reset) => &reset.reason,
            Self::Unavailable { reason, .. } | Self::Refused { reason } => reason,
            Self::Gentle | Self::Kill(_) | Self::Moved => "",
        }
    }
}

fn sack_weight(sack: &Sack) -> usize {
    NUMBER * (1 + sack.beyond.len())
}
