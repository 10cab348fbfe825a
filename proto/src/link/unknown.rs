//! Counts the parts of link frames that this build does not have: frames of a later release, and values of enums. The
//! ends of a link count them before [`decode`](super::decode), which treats such values as `link.proto` demands.

use super::pb::{self, close, core_frame, edge_frame};

/// Number of unknown parts of a frame of an edge. A frame without a known field is one part.
pub fn in_edge_frame(frame: &pb::EdgeFrame) -> u64 {
    match &frame.frame {
        None => 1,
        Some(edge_frame::Frame::Attach(attach)) => {
            let kind = pb::TransportKind::try_from(attach.kind).is_err();
            u64::from(kind) + attach.batch.as_ref().map_or(0, in_batch)
        }
        Some(edge_frame::Frame::Batch(batch)) => in_batch(batch),
        Some(
            edge_frame::Frame::Hello(_)
            | edge_frame::Frame::Detach(_)
            | edge_frame::Frame::Grant(_),
        ) => 0,
    }
}

/// Number of unknown parts of a frame of a core. A frame without a known field is one part.
pub fn in_core_frame(frame: &pb::CoreFrame) -> u64 {
    match &frame.frame {
        None => 1,
        Some(core_frame::Frame::Close(close)) => match close.cause {
            Some(close::Cause::Kill(reason)) => u64::from(is_unknown_kill(reason)),
            Some(
                close::Cause::Reset(_)
                | close::Cause::Unavailable(_)
                | close::Cause::Moved(_)
                | close::Cause::Refused(_)
                | close::Cause::WrongVersion(_)
                | close::Cause::Superseded(_),
            )
            | None => 0,
        },
        Some(
            core_frame::Frame::Hello(_)
            | core_frame::Frame::Opened(_)
            | core_frame::Frame::Sack(_)
            | core_frame::Frame::Messages(_)
            | core_frame::Frame::Taken(_)
            | core_frame::Frame::Owned(_)
            | core_frame::Frame::Released(_),
        ) => 0,
    }
}

fn in_batch(batch: &pb::Batch) -> u64 {
    let kill = batch.end.as_ref().and_then(|end| end.kill);
    kill.map_or(0, |kill| u64::from(is_unknown_kill(kill)))
}

fn is_unknown_kill(reason: i32) -> bool {
    pb::KillReason::try_from(reason).is_err()
}
