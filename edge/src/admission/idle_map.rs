//! A map whose idle entries are removed: an idle entry equals a new one. Pure; used by the tables of this folder.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Entries between two sweeps of idle ones.
pub(super) const SWEEP: usize = 4096;

/// An entry that becomes idle by itself or by a change.
pub(super) trait Idle: Default {
    fn is_idle(&self, now: Instant) -> bool;
}

#[derive(Debug)]
pub(super) struct IdleMap<K, E> {
    entries: HashMap<K, E>,
    /// Number of entries at which idle ones are removed.
    sweep_at: usize,
}

impl<K, E> Default for IdleMap<K, E> {
    fn default() -> Self {
        Self { entries: HashMap::new(), sweep_at: SWEEP }
    }
}

impl<K: Eq + Hash, E: Idle> IdleMap<K, E> {
    /// The entry of a key, perhaps a new one. Removes idle entries whenever their number may have doubled.
    pub(super) fn entry(&mut self, now: Instant, key: K) -> &mut E {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, entry| !entry.is_idle(now));
            self.sweep_at = (2 * self.entries.len()).max(SWEEP);
        }
        self.entries.entry(key).or_default()
    }

    pub(super) fn get(&self, key: &K) -> Option<&E> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut E> {
        self.entries.get_mut(key)
    }

    /// Changes an entry, and removes the entry if that makes it idle.
    pub(super) fn update(&mut self, now: Instant, key: &K, change: impl FnOnce(&mut E)) {
        if let Some(entry) = self.entries.get_mut(key) {
            change(entry);
            if entry.is_idle(now) {
                self.entries.remove(key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
