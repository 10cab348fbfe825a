//! Where to find a partition's streams by label and group. Follows from the streams' marks; held by the owner,
//! which says each change.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::stream::StreamState;

/// A service, and a label or group of it. Chosen by applications.
type Key = (Arc<str>, Arc<str>);

/// Streams by label and group.
#[derive(Default)]
pub(super) struct Index {
    labels: HashMap<Key, BTreeSet<u64>>,
    groups: HashMap<Key, BTreeSet<u64>>,
}

impl Index {
    /// A stream is there, with all its marks.
    pub(super) fn add(&mut self, number: u64, state: &StreamState) {
        let service = state.service();
        if let Some(label) = &state.marks().label {
            insert(&mut self.labels, service, label, number);
        }
        for group in &state.marks().groups {
            insert(&mut self.groups, service, group, number);
        }
    }

    /// A stream is gone, or about to change its marks.
    pub(super) fn remove(&mut self, number: u64, state: &StreamState) {
        let service = state.service();
        if let Some(label) = &state.marks().label {
            remove(&mut self.labels, service, label, number);
        }
        for group in &state.marks().groups {
            remove(&mut self.groups, service, group, number);
        }
    }

    /// Those with a label.
    pub(super) fn labelled(&self, service: &Arc<str>, label: &Arc<str>) -> Vec<u64> {
        numbers(&self.labels, service, label)
    }

    /// Those in a group.
    pub(super) fn members(&self, service: &Arc<str>, group: &Arc<str>) -> Vec<u64> {
        numbers(&self.groups, service, group)
    }
}

fn insert(map: &mut HashMap<Key, BTreeSet<u64>>, service: &Arc<str>, text: &Arc<str>, number: u64) {
    map.entry((service.clone(), text.clone())).or_default().insert(number);
}

fn remove(map: &mut HashMap<Key, BTreeSet<u64>>, service: &Arc<str>, text: &Arc<str>, number: u64) {
    let key = (service.clone(), text.clone());
    if let Some(numbers) = map.get_mut(&key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            map.remove(&key);
        }
    }
}

fn numbers(map: &HashMap<Key, BTreeSet<u64>>, service: &Arc<str>, text: &Arc<str>) -> Vec<u64> {
    let found = map.get(&(service.clone(), text.clone()));
    found.map_or_else(Vec::new, |numbers| numbers.iter().copied().collect())
}
