//! Index of the streams of a partition by label and group, derived from the durable attributes.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use minerva_proto::StreamNumber;
use minerva_proto::mutation::{self, Mutation};

use crate::state::StreamState;

/// A service, and a label or group; chosen by applications.
type Key = (Arc<str>, Arc<str>);

/// Streams by label and by group.
#[derive(Default)]
pub(super) struct StreamIndex {
    labels: HashMap<Key, BTreeSet<StreamNumber>>,
    groups: HashMap<Key, BTreeSet<StreamNumber>>,
}

impl StreamIndex {
    /// Adds a stream under the label and every group.
    pub(super) fn add(&mut self, number: StreamNumber, state: &StreamState) {
        let service = state.service();
        if let Some(label) = &state.attributes().label {
            insert(&mut self.labels, service, label, number);
        }
        for group in &state.attributes().groups {
            insert(&mut self.groups, service, group, number);
        }
    }

    /// Removes a stream; `state` must be the state with which the stream was added.
    pub(super) fn remove(&mut self, number: StreamNumber, state: &StreamState) {
        let service = state.service();
        if let Some(label) = &state.attributes().label {
            remove(&mut self.labels, service, label, number);
        }
        for group in &state.attributes().groups {
            if mutation::is(Mutation::StayInGroup) && !state.is_ended() {
                continue;
            }
            remove(&mut self.groups, service, group, number);
        }
    }

    /// Streams with a label, ascending.
    pub(super) fn labelled(&self, service: &Arc<str>, label: &Arc<str>) -> Vec<StreamNumber> {
        let found = self.labels.get(&(service.clone(), label.clone()));
        found.map_or_else(Vec::new, |numbers| numbers.iter().copied().collect())
    }

    /// Streams in a group with numbers above `after`, ascending.
    pub(super) fn members(
        &self,
        service: &Arc<str>,
        group: &Arc<str>,
        after: StreamNumber,
    ) -> impl Iterator<Item = StreamNumber> {
        let found = self.groups.get(&(service.clone(), group.clone())).into_iter();
        found.flat_map(move |numbers| {
            numbers.range((Bound::Excluded(after), Bound::Unbounded)).copied()
        })
    }
}

fn insert(
    map: &mut HashMap<Key, BTreeSet<StreamNumber>>,
    service: &Arc<str>,
    text: &Arc<str>,
    number: StreamNumber,
) {
    map.entry((service.clone(), text.clone())).or_default().insert(number);
}

fn remove(
    map: &mut HashMap<Key, BTreeSet<StreamNumber>>,
    service: &Arc<str>,
    text: &Arc<str>,
    number: StreamNumber,
) {
    let key = (service.clone(), text.clone());
    if let Some(numbers) = map.get_mut(&key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            map.remove(&key);
        }
    }
}
