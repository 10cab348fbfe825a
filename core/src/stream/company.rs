//! Whether an acknowledgement waits for company: a string that goes the same way, so that both are one write
//! and wake the peer once. It waits only where company came soon the last time, and not for long; so who
//! sends and hears no strings in answer never waits. Pure. A stream has one of these for its client's
//! SACKs, and one for what it confirms to its application.
//!
//! ```text
//!             owe                  join: said together; likely from now on
//!   Nothing ───────> Waiting ──────────────────────────────────────────────> Nothing
//!      ^                │ due: unlikely, too long (unlikely from now on), or too much
//!      │ join           v
//!      └───────────── Alone      join soon after it: likely from now on
//! ```

use super::Millis;

/// How long an acknowledgement waits at most, in milliseconds: longer than most applications take to answer, too
/// short to be noticed by a client that waits for its SACK.
pub(super) const PATIENCE_MS: u64 = 20;
/// Strings that wait to be acknowledged at most.
pub(super) const MAX_MESSAGES: usize = 16;
/// Bytes of them; far less than the 256 KiB that an edge, or a client, lets wait.
pub(super) const MAX_BYTES: usize = 16 << 10;

/// What is known of the acknowledgements that go one way.
#[derive(Debug, Default)]
pub(super) struct Company {
    state: State,
    /// Company came soon the last time.
    is_likely: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing is to be acknowledged, and nothing was lately.
    #[default]
    Nothing,
    /// Since then; how much.
    Waiting { since: Millis, messages: usize, bytes: usize },
    /// It was said without company, at this time.
    Alone(Millis),
}

impl Company {
    /// So much more is to be acknowledged.
    pub(super) fn owe(&mut self, now: Millis, messages: usize, bytes: usize) {
        let (since, waiting) = match self.state {
            State::Waiting { since, messages, bytes } => (since, (messages, bytes)),
            State::Nothing | State::Alone(_) => (now, (0, 0)),
        };
        let (messages, bytes) = (waiting.0 + messages, waiting.1 + bytes);
        self.state = State::Waiting { since, messages, bytes };
    }

    /// Whether something is to be acknowledged now, company or not.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        match self.state {
            State::Waiting { since, messages, bytes } => {
                !self.is_likely
                    || until(since) <= now
                    || messages >= MAX_MESSAGES
                    || bytes >= MAX_BYTES
            }
            State::Nothing | State::Alone(_) => false,
        }
    }

    /// Whether something is to be acknowledged.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// When it is due by itself.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match self.state {
            State::Waiting { since, .. } => Some(until(since)),
            State::Nothing | State::Alone(_) => None,
        }
    }

    /// A string goes now. Whether an acknowledgement goes with it.
    pub(super) fn join(&mut self, now: Millis) -> bool {
        let (waits, is_soon) = match self.state {
            State::Nothing => return false,
            State::Waiting { since, .. } => (true, now <= until(since)),
            State::Alone(at) => (false, now <= until(at)),
        };
        self.is_likely |= is_soon;
        self.state = State::Nothing;
        waits
    }

    /// What is to be acknowledged, if anything, is said without a string.
    pub(super) fn go_alone(&mut self, now: Millis) {
        if let State::Waiting { since, .. } = self.state {
            self.is_likely &= now < until(since);
            self.state = State::Alone(now);
        }
    }

    /// Nothing is to be acknowledged any more.
    pub(super) fn forget(&mut self) {
        self.state = State::Nothing;
    }
}

fn until(since: Millis) -> Millis {
    Millis(since.0.saturating_add(PATIENCE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that has learned at 0 that company comes.
    fn expectant() -> Company {
        let mut company = Company::default();
        company.owe(Millis(0), 1, 1);
        assert!(company.join(Millis(0)));
        company
    }

    #[test]
    fn without_experience_nothing_waits() {
        let mut company = Company::default();
        assert!(!company.is_due(Millis(0)) && !company.join(Millis(0)));
        company.owe(Millis(1), 1, 1);
        assert!(company.is_due(Millis(1)));
    }

    #[test]
    fn who_is_answered_soon_waits_the_next_time() {
        for (after, waits) in
            [(PATIENCE_MS - 1, true), (PATIENCE_MS, true), (PATIENCE_MS + 1, false)]
        {
            let mut company = Company::default();
            company.owe(Millis(5), 1, 1);
            company.go_alone(Millis(5));
            assert!(!company.join(Millis(5 + after)), "it was said already");
            company.owe(Millis(100), 1, 1);
            assert_eq!(company.is_due(Millis(100)), !waits, "{after}");
        }
    }

    #[test]
    fn it_waits_so_long_and_then_not_again() {
        for (after, is_due) in
            [(PATIENCE_MS - 1, false), (PATIENCE_MS, true), (PATIENCE_MS + 1, true)]
        {
            let mut company = expectant();
            company.owe(Millis(10), 1, 1);
            company.owe(Millis(11), 1, 1);
            assert_eq!(company.deadline(), Some(Millis(10 + PATIENCE_MS)));
            assert_eq!(company.is_due(Millis(10 + after)), is_due, "{after}");
            company.go_alone(Millis(10 + after));
            assert_eq!(company.deadline(), None);
            company.owe(Millis(1000), 1, 1);
            assert_eq!(company.is_due(Millis(1000)), is_due, "{after}");
        }
    }

    #[test]
    fn so_much_waits_and_no_more() {
        for (more, is_due) in [(0, false), (1, true), (2, true)] {
            let mut company = expectant();
            company.owe(Millis(0), 1, 1);
            company.owe(Millis(0), MAX_MESSAGES - 2 + more, 1);
            assert_eq!(company.is_due(Millis(0)), is_due, "{more} strings");
            let mut company = expectant();
            company.owe(Millis(0), 1, 1);
            company.owe(Millis(0), 1, MAX_BYTES - 2 + more);
            assert_eq!(company.is_due(Millis(0)), is_due, "{more} bytes");
        }
    }

    #[test]
    fn what_is_forgotten_is_not_due() {
        let mut company = Company::default();
        company.owe(Millis(0), 1, 1);
        company.forget();
        assert!(!company.is_due(Millis(0)) && !company.join(Millis(0)));
    }
}
