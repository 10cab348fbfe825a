//! Decides per transport whether to try compression: only for long runs, and after a failure not for a while.

/// Shortest run for which compression is tried, in bytes.
const MIN_RUN: usize = 8 * 1024;
/// Bytes without a trial after the first failure.
const FIRST_PAUSE: usize = 256 * 1024;
/// Most bytes without a trial.
const MAX_PAUSE: usize = 16 * 1024 * 1024;

/// The pause of one transport after runs that were not worth their compression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompressionBackoff {
    /// Bytes to be sent before the next trial.
    left: usize,
    /// Length of the current or last pause; 0 after a success.
    pause: usize,
}

impl CompressionBackoff {
    /// Whether to try compression for the bytes that are queued in this turn.
    pub const fn permits(&self, queued: usize) -> bool {
        queued >= MIN_RUN && self.left == 0
    }

    /// Records bytes that were sent without a trial.
    pub const fn on_plain(&mut self, sent: usize) {
        self.left = self.left.saturating_sub(sent);
    }

    /// Records a trial. A failure doubles the pause.
    pub fn on_trial(&mut self, succeeded: bool) {
        self.pause = if succeeded { 0 } else { (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE) };
        self.left = self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_are_not_compressed() {
        let backoff = CompressionBackoff::default();
        let permitted = [MIN_RUN - 1, MIN_RUN, MIN_RUN + 1].map(|queued| backoff.permits(queued));
        assert_eq!(permitted, [false, true, true]);
    }

    #[test]
    fn failures_double_the_pause_up_to_the_limit() {
        let mut backoff = CompressionBackoff::default();
        for pause in [1, 2, 4, 8, 16, 32, 64, 64, 64].map(|factor| factor * FIRST_PAUSE) {
            backoff.on_trial(false);
            backoff.on_plain(pause - 1);
            assert!(!backoff.permits(MIN_RUN), "{pause}");
            backoff.on_plain(1);
            assert!(backoff.permits(MIN_RUN), "{pause}");
        }
        backoff.on_trial(true);
        assert_eq!(backoff, CompressionBackoff::default());
    }
}
