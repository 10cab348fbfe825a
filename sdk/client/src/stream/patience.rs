//! The SACK's patience: how long the SACK of strings that came on a socket may wait, so that one covers many. It counts
//! what waits, and remembers whether waiting was worth it. Pure; it knows neither frames nor transports nor a clock.
//! `receive` asks it with each string that came in order, `write` tells it when the SACK goes.
//!
//! A server whose outbox is tiny says nothing more before it has the SACK. That shows: nothing comes while the SACK
//! waits. Then the next ones do not wait, and the more of them the more often waiting was in vain.

use super::Time;

/// So long the SACK waits for more strings or for something that it can go with.
pub(super) const WAIT: Time = Time::from_millis(100);

/// If nothing comes in the part of the wait behind this, it was in vain.
const VAIN_AFTER: Time = Time::from_millis(25);

/// So many strings, or bytes of them, are worth a SACK of their own.
pub(super) const MAX_MESSAGES: usize = 16;
pub(super) const MAX_BYTES: usize = 16 << 10;

/// After waits in vain at most so many strings are answered at once.
const MAX_AT_ONCE: u32 = 64;

#[derive(Debug)]
pub(super) struct Patience {
    /// Strings wait for their SACK.
    wait: Option<Wait>,
    /// So many strings are still to be answered at once.
    at_once: u32,
    /// So many are after the next wait in vain.
    at_once_next: u32,
}

#[derive(Debug)]
struct Wait {
    first: Time,
    /// When the last one came within the wait.
    last: Time,
    messages: usize,
    bytes: usize,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { wait: None, at_once: 0, at_once_next: 1 }
    }

    /// A string of this length came, in order. Returns when its SACK is due.
    pub(super) fn on_string(&mut self, now: Time, length: usize) -> Time {
        if let Some(fewer) = self.at_once.checked_sub(1) {
            self.at_once = fewer;
            return now;
        }
        let wait = self.wait.get_or_insert(Wait { first: now, last: now, messages: 0, bytes: 0 });
        wait.messages += 1;
        wait.bytes = wait.bytes.saturating_add(length);
        // A SACK can be late, if the socket is full.
        if now <= wait.end() {
            wait.last = now;
        }
        let is_worth_it = wait.messages >= MAX_MESSAGES || wait.bytes >= MAX_BYTES;
        if is_worth_it { now } else { wait.end() }
    }

    /// The SACK goes; it was due then. Only a wait that nothing cut short tells something.
    pub(super) fn on_sack(&mut self, now: Time, due: Time) {
        let Some(wait) = self.wait.take().filter(|wait| wait.end() == due && due <= now) else {
            return;
        };
        if wait.last >= wait.first + VAIN_AFTER {
            self.at_once_next = 1;
        } else {
            self.at_once = self.at_once_next;
            self.at_once_next = (2 * self.at_once_next).min(MAX_AT_ONCE);
        }
    }
}

impl Wait {
    fn end(&self) -> Time {
        self.first + WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    /// Strings of one byte come at these times; then the wait ends. Returns how many strings are answered at once after
    /// it.
    fn at_once_after(patience: &mut Patience, now: Time, came: &[u64]) -> u32 {
        for after in came {
            assert_eq!(patience.on_string(now + ms(*after), 1), now + WAIT);
        }
        patience.on_sack(now + WAIT, now + WAIT);
        let later = now + 2 * WAIT;
        let mut count = 0;
        while patience.on_string(later, 1) == later {
            count += 1;
        }
        // As if other frames had gone now.
        patience.on_sack(later, later + WAIT);
        count
    }

    #[test]
    fn sixteen_strings_or_16_kib_are_worth_a_sack() {
        for (count, goes) in [(15, false), (16, true), (17, true)] {
            let mut patience = Patience::new();
            let due: Vec<Time> = (0..count).map(|n| patience.on_string(ms(n), 9)).collect();
            assert_eq!(due[..15], [WAIT; 15]);
            assert_eq!(*due.last().unwrap() == ms(count - 1), goes, "{count}");
        }
        for (bytes, goes) in [(MAX_BYTES - 1, false), (MAX_BYTES, true), (MAX_BYTES + 1, true)] {
            let mut patience = Patience::new();
            assert_eq!(patience.on_string(ms(3), 1000), ms(103));
            let due = patience.on_string(ms(7), bytes - 1000);
            assert_eq!(due, if goes { ms(7) } else { ms(103) }, "{bytes}");
            assert_eq!(Patience::new().on_string(ms(7), bytes) == ms(7), goes, "{bytes} in one");
        }
    }

    #[test]
    fn each_sack_begins_anew() {
        let mut patience = Patience::new();
        for round in 0..20 {
            let now = ms(10 * round);
            (0..15).for_each(|_| assert_eq!(patience.on_string(now, 1092), now + WAIT));
            // With the application's strings.
            patience.on_sack(now + ms(1), now + WAIT);
        }
    }

    #[test]
    fn what_comes_in_the_last_75_ms_makes_it_worth_it() {
        for (came, vain) in [
            (&[0][..], true),
            (&[0, 24], true),
            (&[0, 25], false),
            (&[0, 26], false),
            (&[0, 99], false),
            (&[0, 100], false),
        ] {
            let count = at_once_after(&mut Patience::new(), ms(5), came);
            assert_eq!(count, u32::from(vain), "{came:?}");
        }
        // What came while the socket was full came too late.
        let mut patience = Patience::new();
        patience.on_string(ms(0), 1);
        assert_eq!(patience.on_string(ms(101), 1), ms(100));
        patience.on_sack(ms(102), ms(100));
        assert_eq!(patience.on_string(ms(102), 1), ms(102));
    }

    #[test]
    fn waits_in_vain_double_what_is_answered_at_once() {
        let mut patience = Patience::new();
        for (round, count) in (0..).zip([1, 2, 4, 8, 16, 32, 64, 64, 64]) {
            assert_eq!(at_once_after(&mut patience, ms(1000 * round), &[0]), count);
        }
        assert_eq!(at_once_after(&mut patience, ms(50_000), &[0, 60]), 0);
        assert_eq!(at_once_after(&mut patience, ms(51_000), &[0]), 1);
    }

    #[test]
    fn a_wait_cut_short_tells_nothing() {
        let mut patience = Patience::new();
        assert_eq!(at_once_after(&mut patience, ms(0), &[0]), 1);
        // Own strings, a gap, enough strings that the socket took late.
        let cut: [(u64, u64, u64); 3] = [(1, 99, 100), (1, 300, 50), (16, 300, 0)];
        for (messages, goes, due) in cut {
            let now = ms(1000 * messages + goes);
            (0..messages).for_each(|_| assert!(patience.on_string(now, 1) >= now));
            patience.on_sack(now + ms(goes), now + ms(due));
            assert_eq!(patience.at_once, 0);
        }
        assert_eq!(at_once_after(&mut patience, ms(50_000), &[0]), 2);
    }
}
