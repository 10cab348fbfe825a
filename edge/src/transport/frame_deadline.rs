//! Deadline of an unfinished frame: 30 s and 1 s per received 16 KiB, and never more than 25 s without progress. Used by
//! the transport machine only.

use std::time::{Duration, Instant};

/// Time for a short frame.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// Bytes that extend the time by a second.
const BYTES_PER_SECOND: usize = 16 * 1024;

/// Maximum pause inside a frame.
const STALL_TIME: Duration = Duration::from_secs(25);

/// Progress of the frame that is being received.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameDeadline {
    frame: Option<Frame>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Number of complete frames before this one.
    number: u64,
    bytes: usize,
    since: Instant,
    last_progress: Instant,
}

impl FrameDeadline {
    /// Notes the received length of frame `number`; 0 if no frame is unfinished, or while the client is not read.
    pub(super) fn update(&mut self, now: Instant, number: u64, bytes: usize) {
        self.frame = match self.frame {
            _ if bytes == 0 => None,
            Some(frame) if frame.number == number && frame.bytes == bytes => Some(frame),
            Some(frame) if frame.number == number => {
                Some(Frame { bytes, last_progress: now, ..frame })
            }
            Some(_) | None => Some(Frame { number, bytes, since: now, last_progress: now }),
        };
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let frame = self.frame?;
        let more = Duration::from_secs((frame.bytes / BYTES_PER_SECOND) as u64);
        Some((frame.since + FRAME_TIME + more).min(frame.last_progress + STALL_TIME))
    }
}
