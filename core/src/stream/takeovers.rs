//! Rate limit of takeovers: transports that replace an open primary transport of the stream, at any edge.
//!
//! Each takeover sends the unacknowledged messages again. An edge counts the takeovers at this edge only.

use std::time::Duration;

use minerva_proto::link::{Attach, CloseCause};

use super::machine::Stream;
use super::{Millis, Turn};
use crate::unavailable;

/// The takeovers of this time may come at once.
const SPAN_MS: u64 = 10_000;

/// The recent takeovers of one stream.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    /// Time at which the rate has paid for all takeovers.
    paid_at: Millis,
}

impl Takeovers {
    /// Counts a takeover, or returns the wait until one is permitted.
    fn take(&mut self, now: Millis, per_second: u32) -> Result<(), Duration> {
        let paid_at = self.paid_at.max(now).after(1000 / u64::from(per_second.max(1)));
        let debt_ms = paid_at.0.saturating_sub(now.0);
        if debt_ms > SPAN_MS {
            return Err(Duration::from_millis(debt_ms - SPAN_MS));
        }
        self.paid_at = paid_at;
        Ok(())
    }
}

impl Stream {
    /// Counts the takeover if a transport is one; returns the reason to refuse the transport.
    ///
    /// The successor of a written long-poll is no takeover: its edge may report the end of the poll later. A resumed
    /// transport was counted at its hello.
    pub(super) fn count_takeover(
        &mut self,
        attach: &Attach,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseCause> {
        let is_takeover = attach.wants_messages
            && attach.resume.is_none()
            && self.transports.primary().is_some_and(|old| old.is_open_primary());
        if !is_takeover {
            return Ok(());
        }
        let taken = self.takeovers.take(turn.now, turn.limits.max_stream_takeovers);
        taken.map_err(|wait| unavailable::close_after(unavailable::BUSY, wait))?;
        turn.effects.takeovers += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takeovers_beyond_the_rate_wait() {
        let (mut takeovers, now) = (Takeovers::default(), Millis(1_000_000));
        for number in 1..=21 {
            let expected = if number <= 20 { Ok(()) } else { Err(Duration::from_millis(500)) };
            assert_eq!(takeovers.take(now, 2), expected, "{number}");
        }
        assert_eq!(takeovers.take(now.after(499), 2), Err(Duration::from_millis(1)));
        assert_eq!(takeovers.take(now.after(500), 2), Ok(()));
        assert_eq!(takeovers.take(now.after(501), 2), Err(Duration::from_millis(499)));
    }

    #[test]
    fn a_slow_client_is_never_refused() {
        let mut takeovers = Takeovers::default();
        for second in 0..100 {
            assert_eq!(takeovers.take(Millis(1000 * second), 1), Ok(()), "{second}");
        }
    }
}
