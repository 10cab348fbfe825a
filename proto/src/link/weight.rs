//! Sizes of frames, with which both ends of a link limit the size of a gRPC message before the encoding.

use super::{Attach, Batch, Caller, CloseCause, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage};
use crate::Sack;

/// Bytes of a frame without texts, SACKs, runs and messages, roughly.
const FRAME: usize = 32;
/// Bytes of the numbers and flags of an Attach.
const ATTACH: usize = 240;
/// Bytes of a text or a SACK beside its content: tags, length, the cumulative number.
const FIELD: usize = 16;
/// Bytes of a run beside its messages: tag, length, first number.
const RUN: usize = 16;
/// Most bytes of an application message beside its content: tag, length, and the index of a binary message.
const MESSAGE: usize = 7;
/// Most bytes of a number up to 2^53.
const NUMBER: usize = 8;
/// Most bytes of a message number with a claim tag.
const MESSAGE_TAG: usize = 24;
/// Most bytes of a claim.
const CLAIM: usize = 20;

impl EdgeFrame {
    /// Encoded size in bytes, at most 64 too low. Clients choose all lengths, and many long frames must not make a gRPC
    /// message too long.
    pub fn weight(&self) -> usize {
        FRAME
            + match &self.message {
                EdgeMessage::Attach(attach) => attach.weight(),
                EdgeMessage::Batch(batch) => batch.weight(),
                EdgeMessage::Grant(_) | EdgeMessage::Detach => 0,
            }
    }
}

impl Attach {
    fn weight(&self) -> usize {
        let Caller { service, headers, peer_address, address: _ } = &*self.caller;
        let texts = [service.as_str(), peer_address, &self.credentials, &self.why];
        let headers = headers.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let sacks = std::iter::once(&self.seen_ack).chain(&self.sack);
        ATTACH
            + texts.into_iter().chain(headers).map(|text| FIELD + text.len()).sum::<usize>()
            + sacks.map(sack_weight).sum::<usize>()
            + MESSAGE_TAG * self.tag_history.pairs().len()
            + self.batch.as_ref().map_or(0, Batch::weight)
    }
}

impl Batch {
    fn weight(&self) -> usize {
        let messages = self.runs.iter().flat_map(|run| &run.messages);
        RUN * self.runs.len()
            + messages.map(|message| message.len() + MESSAGE).sum::<usize>()
            + self.sacks.iter().map(sack_weight).sum::<usize>()
            + MESSAGE_TAG * self.tag_history.pairs().len()
            + self.reset.as_ref().map_or(0, |reset| FIELD + reset.reason.len())
            + FIELD
            + self.credentials.len()
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
            Self::Opened { sack, positions, .. } => {
                let positions = positions.map_or(0, |_| FIELD + 2 * NUMBER);
                sack.as_ref().map_or(0, sack_weight) + positions
            }
            Self::Sack(sack) => sack_weight(sack),
            Self::Messages(run) => run.messages.iter().map(|message| message.len() + MESSAGE).sum(),
            Self::Close(close) => {
                let sacks = [&close.sack, &close.status].into_iter().flatten().map(sack_weight);
                sacks.sum::<usize>() + close.cause.text().len()
            }
            Self::Taken(_) | Self::Tag(_) | Self::Compress(_) | Self::Renew(_) => 0,
        }
    }
}

impl CloseCause {
    fn text(&self) -> &str {
        match self {
            Self::Reset(reset) => &reset.reason,
            Self::Unavailable { reason, .. } | Self::Refused { reason } => reason,
            Self::Gentle | Self::Kill(_) | Self::WrongVersion | Self::Superseded | Self::Moved => {
                ""
            }
        }
    }
}

fn sack_weight(sack: &Sack) -> usize {
    FIELD + NUMBER * sack.beyond.len()
}
