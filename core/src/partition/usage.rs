//! Usage by address and by service: streams, bytes of c2s messages and bytes of retained s2c messages, counted over all
//! partitions of a process.
//!
//! The streams of a partition hold one [`UsageShare`] for each; the drop of a stream releases its share. A table has no
//! more entries than the process has streams. Knows neither limits nor streams.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::AddressKey;

/// Usage of the streams of a process, shared by all partitions.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// By address of the client.
    pub(super) addresses: UsageTable<AddressKey>,
    /// By service.
    pub(super) services: UsageTable<Arc<str>>,
    /// Retained s2c messages by address of the client.
    pub(super) retained: UsageTable<AddressKey>,
}

/// Sums of streams and bytes by key.
#[derive(Debug)]
pub(super) struct UsageTable<K>(Arc<Mutex<HashMap<K, Arc<Sums>>>>);

/// The sums of one key. `streams` changes under the lock of the table only.
#[derive(Debug, Default)]
struct Sums {
    streams: AtomicU64,
    bytes: AtomicU64,
}

/// One stream and its bytes in the sums of a key.
#[derive(Debug)]
pub(super) struct UsageShare<K: Clone + Eq + Hash> {
    table: UsageTable<K>,
    key: K,
    sums: Arc<Sums>,
    bytes: usize,
}

impl<K> Clone for UsageTable<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for UsageTable<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> UsageTable<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Sums>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> UsageTable<K> {
    /// Counts a stream without bytes; `None` if the key has `limit` streams.
    pub(super) fn open(&self, key: &K, limit: u64) -> Option<UsageShare<K>> {
        let mut sums = self.lock();
        if sums.get(key).is_some_and(|sums| sums.streams() >= limit) || limit == 0 {
            return None;
        }
        let sums = Arc::clone(sums.entry(key.clone()).or_default());
        sums.streams.fetch_add(1, Ordering::Relaxed);
        Some(UsageShare { table: self.clone(), key: key.clone(), sums, bytes: 0 })
    }

    /// Counts a stream without bytes beyond all limits.
    pub(super) fn open_unlimited(&self, key: &K) -> UsageShare<K> {
        let sums = Arc::clone(self.lock().entry(key.clone()).or_default());
        sums.streams.fetch_add(1, Ordering::Relaxed);
        UsageShare { table: self.clone(), key: key.clone(), sums, bytes: 0 }
    }

    /// Streams and bytes by key.
    #[cfg(test)]
    pub(super) fn sums(&self) -> HashMap<K, (u64, u64)> {
        let sums = self.lock();
        sums.iter().map(|(key, sums)| (key.clone(), (sums.streams(), sums.bytes()))).collect()
    }
}

impl Sums {
    fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl<K: Clone + Eq + Hash> UsageShare<K> {
    pub(super) fn key(&self) -> &K {
        &self.key
    }

    /// Streams of the key.
    pub(super) fn streams(&self) -> u64 {
        self.sums.streams()
    }

    /// Bytes of all streams of the key.
    pub(super) fn bytes(&self) -> u64 {
        self.sums.bytes()
    }

    /// Sets the bytes of this stream.
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            // The addition first, so that the sum does not fall below zero.
            self.sums.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            self.sums.bytes.fetch_sub(self.bytes as u64, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl<K: Clone + Eq + Hash> Drop for UsageShare<K> {
    fn drop(&mut self) {
        self.set(0);
        let mut sums = self.table.lock();
        if self.sums.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            sums.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_of_a_key_are_limited() {
        for (streams, is_open) in [(2, true), (3, false), (4, false)] {
            let table = UsageTable::<u8>::default();
            let shares: Vec<_> = (0..streams).map(|_| table.open_unlimited(&1)).collect();
            assert_eq!(table.open(&1, 3).is_some(), is_open, "{streams}");
            assert!(table.open(&2, 3).is_some(), "another key");
            drop(shares);
            assert!(table.sums().is_empty());
        }
    }

    #[test]
    fn a_share_counts_until_its_drop() {
        let table = UsageTable::<u8>::default();
        let (mut one, mut two) = (table.open_unlimited(&1), table.open_unlimited(&1));
        one.set(5);
        two.set(7);
        one.set(3);
        assert_eq!((one.bytes(), two.streams()), (10, 2));
        drop(one);
        assert_eq!(table.sums(), HashMap::from([(1, (1, 7))]));
    }
}
