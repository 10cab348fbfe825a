//! The batches of one transport that the core has not yet acknowledged with Taken.

use std::collections::BTreeMap;

use minerva_proto::link::Batch;
use minerva_proto::{BatchNumber, MessageNumber};

/// Knowledge about an attached transport that the checks of its outputs need.
#[derive(Debug)]
pub(crate) struct TransportWatch {
    pub(super) client: usize,
    /// Whether the client does not prove the ownership of the stream.
    pub(super) is_foreign: bool,
    /// First number and count of each run, by batch.
    batches: BTreeMap<BatchNumber, Vec<(MessageNumber, u64)>>,
}

impl TransportWatch {
    pub(crate) fn new(client: usize, is_foreign: bool) -> Self {
        Self { client, is_foreign, batches: BTreeMap::new() }
    }

    /// Handles a batch on its way to the partition.
    pub(crate) fn on_batch(&mut self, batch: &Batch) {
        let runs = batch.runs.iter().map(|run| (run.first, run.messages.len() as u64));
        self.batches.insert(batch.number, runs.collect());
    }

    /// Removes the batches up to `batch`. Returns their runs.
    pub(super) fn take_up_to(&mut self, batch: BatchNumber) -> Vec<(MessageNumber, u64)> {
        let later = self.batches.split_off(&batch.next());
        std::mem::replace(&mut self.batches, later).into_values().flatten().collect()
    }
}
