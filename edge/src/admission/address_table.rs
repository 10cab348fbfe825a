//! Counts of each client address: open connections, refusals under way, hellos for unknown streams. Pure; owned by
//! `admission.rs`.

use std::time::{Duration, Instant};

use minerva_proto::AddressKey;

use super::idle_map::{Idle, IdleMap};
use super::token_bucket::TokenBucket;

/// Refused connections of one address that wait for their response at the same time; more are closed without one.
pub(super) const MAX_REFUSALS: u32 = 16;

#[derive(Debug, Default)]
pub(super) struct AddressTable {
    entries: IdleMap<AddressKey, Entry>,
    /// Bytes of unfinished frames of all addresses.
    unfinished: usize,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    refusals: u32,
    unknown: TokenBucket,
    /// Bytes of unfinished frames.
    unfinished: usize,
}

/// The outcome for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Within the limit, as this many connections of the address.
    Yes(u32),
    /// Beyond the limit; the connection receives a refusal.
    Refuse,
    /// Beyond the limit, and enough refusals are under way.
    Close,
}

impl AddressTable {
    /// Counts a new connection, or a refusal.
    pub(super) fn open(&mut self, now: Instant, key: AddressKey, limit: u32) -> Admitted {
        let entry = self.entries.entry(now, key);
        if entry.connections < limit {
            entry.connections += 1;
            Admitted::Yes(entry.connections)
        } else if entry.refusals < MAX_REFUSALS {
            entry.refusals += 1;
            Admitted::Refuse
        } else {
            Admitted::Close
        }
    }

    pub(super) fn close(&mut self, now: Instant, key: AddressKey) {
        self.entries.update(now, &key, |entry| entry.connections -= 1);
    }

    pub(super) fn end_refusal(&mut self, now: Instant, key: AddressKey) {
        self.entries.update(now, &key, |entry| entry.refusals -= 1);
    }

    /// Counts a hello whose stream no core knows.
    pub(super) fn on_unknown_stream(&mut self, now: Instant, key: AddressKey, per_second: u32) {
        self.entries.entry(now, key).unknown.spend(now, per_second);
    }

    /// Wait before the next hello without `new`; `None` within the limit.
    pub(super) fn unknown_stream_wait(
        &self,
        now: Instant,
        key: AddressKey,
        per_second: u32,
    ) -> Option<Duration> {
        self.entries.get(&key)?.unknown.wait(now, per_second)
    }

    /// Changes the charged bytes of one transport, unless the sum of all or of this address would exceed its limit.
    pub(super) fn charge(
        &mut self,
        key: AddressKey,
        (old, new): (usize, usize),
        (all, of_address): (usize, usize),
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return new <= old };
        let (sum, own) = (self.unfinished - old + new, entry.unfinished - old + new);
        if new > old && (sum > all || own > of_address) {
            return false;
        }
        (self.unfinished, entry.unfinished) = (sum, own);
        true
    }

    /// Charged bytes of all addresses.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }
}

impl Idle for Entry {
    fn is_idle(&self, now: Instant) -> bool {
        self.connections == 0 && self.refusals == 0 && self.unknown.is_idle(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::idle_map::SWEEP;
    use super::*;
    use crate::clock::now;

    const LIMIT: u32 = 3;

    fn key(address: &str) -> AddressKey {
        AddressKey::of(address.parse().unwrap())
    }

    #[test]
    fn connections_beyond_the_limit_are_refused() {
        let (mut table, now, one) = (AddressTable::default(), now(), key("1.2.3.4"));
        for number in 1..=LIMIT + 1 {
            let expected = if number <= LIMIT { Admitted::Yes(number) } else { Admitted::Refuse };
            assert_eq!(table.open(now, one, LIMIT), expected, "{number}");
        }
        assert_eq!(table.open(now, key("1.2.3.5"), LIMIT), Admitted::Yes(1), "another address");
        table.close(now, one);
        assert_eq!(table.open(now, one, LIMIT), Admitted::Yes(LIMIT));
    }

    #[test]
    fn refusals_under_way_are_limited() {
        let (mut table, now, one) = (AddressTable::default(), now(), key("1.2.3.4"));
        table.open(now, one, 1);
        for number in 1..=MAX_REFUSALS + 1 {
            let expected = if number <= MAX_REFUSALS { Admitted::Refuse } else { Admitted::Close };
            assert_eq!(table.open(now, one, 1), expected, "{number}");
        }
        table.end_refusal(now, one);
        assert_eq!(table.open(now, one, 1), Admitted::Refuse);
    }

    #[test]
    fn hellos_for_unknown_streams_exhaust_their_rate() {
        let (mut table, now, one) = (AddressTable::default(), now(), key("1.2.3.4"));
        for number in 1..=21 {
            let waits = table.unknown_stream_wait(now, one, 2).is_some();
            assert_eq!(waits, number > 20, "{number}");
            table.on_unknown_stream(now, one, 2);
        }
        assert_eq!(table.unknown_stream_wait(now, key("1.2.3.5"), 2), None, "another address");
        let later = now + Duration::from_secs(1);
        assert_eq!(table.unknown_stream_wait(later, one, 2), None);
    }

    #[test]
    fn unfinished_bytes_are_limited_in_sum_and_by_address() {
        let (mut table, now) = (AddressTable::default(), now());
        let (one, two) = (key("1.2.3.4"), key("1.2.3.5"));
        table.open(now, one, LIMIT);
        table.open(now, two, LIMIT);
        let limits = (100, 60);
        for (bytes, fits) in [(59, true), (60, true), (61, false)] {
            let mut held = 0;
            assert_eq!(table.charge(one, (held, bytes), limits), fits, "{bytes}");
            held = if fits { bytes } else { held };
            for (more, fits) in [(99 - held, true), (100 - held, true), (101 - held, false)] {
                let fits = fits && more <= 60;
                assert_eq!(table.charge(two, (0, more), limits), fits, "{held} and {more}");
                assert!(!fits || table.charge(two, (more, 0), limits));
            }
            assert!(table.charge(one, (held, 0), limits));
        }
        assert_eq!(table.unfinished(), 0);
    }

    #[test]
    fn idle_addresses_are_forgotten() {
        let (mut table, now) = (AddressTable::default(), now());
        let one = key("1.2.3.4");
        table.open(now, one, LIMIT);
        table.close(now, one);
        assert_eq!(table.entries.len(), 0);
        for number in 0..2 * SWEEP as u32 {
            table.on_unknown_stream(now, AddressKey(u64::from(number)), 1);
        }
        table.open(now + Duration::from_secs(10), one, LIMIT);
        assert_eq!(table.entries.len(), 1);
    }
}
