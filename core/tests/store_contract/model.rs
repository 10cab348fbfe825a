//! Property test: random calls on a store, compared with a reference model.

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_core::store::{CLAIMS_KEPT, Claim, Claimed, Epoch, StoreError, StreamChange};
use minerva_proto::{LogIndex, StreamNumber};
use proptest::prelude::*;

use crate::Bench;

/// A random call; its numbers are offsets from the valid values.
#[derive(Debug, Clone)]
enum Op {
    Claim,
    Reopen,
    Append { stale: u64, index: i8, content: u8 },
    Checkpoint { stale: u64, covers: i8, changed: Vec<(u8, Option<u8>)> },
}

fn op() -> impl Strategy<Value = Op> {
    let stale = || prop_oneof![9 => Just(0), 1 => 1..3u64];
    let changed = prop::collection::vec((0..6u8, prop::option::of(any::<u8>())), 0..4);
    prop_oneof![
        1 => Just(Op::Claim),
        1 => Just(Op::Reopen),
        8 => (stale(), prop_oneof![4 => Just(0), 1 => -4..3i8], 0..3u8)
            .prop_map(|(stale, index, content)| Op::Append { stale, index, content }),
        2 => (stale(), -4..2i8, changed)
            .prop_map(|(stale, covers, changed)| Op::Checkpoint { stale, covers, changed }),
    ]
}

/// Reference model of a partition.
#[derive(Default)]
struct Model {
    epoch: u64,
    claims: Vec<Claim>,
    meta: Option<Bytes>,
    streams: BTreeMap<StreamNumber, Bytes>,
    trimmed: u64,
    /// The complete log, including trimmed entries.
    all: Vec<Bytes>,
}

impl Model {
    fn claim(&mut self) -> Claimed {
        self.epoch += 1;
        let (epoch, next_index) = (Epoch(self.epoch), LogIndex(self.all.len() as u64));
        // The reply to a claim at the same index counts as lost, since each claim is made above 0.
        self.claims.pop_if(|last| last.next_index == next_index);
        self.claims.push(Claim { epoch, next_index, owner: "me".to_owned() });
        Claimed {
            epoch,
            claims: self.claims[self.claims.len().saturating_sub(CLAIMS_KEPT)..].to_vec(),
            meta: self.meta.clone(),
            streams: self.streams.clone().into_iter().collect(),
            unreadable: vec![],
            first_index: LogIndex(self.trimmed),
            log: self.all[self.trimmed as usize..].to_vec(),
            recorded: None,
        }
    }

    fn append(&mut self, stale: u64, index: u64, blob: Bytes) -> Result<(), StoreError> {
        let next = self.all.len() as u64;
        if stale > 0 {
            return Err(StoreError::Fenced);
        }
        if index > next {
            return Err(StoreError::Behind { next: LogIndex(next) });
        }
        if index == next {
            self.all.push(blob);
        } else if index >= self.trimmed && self.all[index as usize] != blob {
            return Err(StoreError::Conflict { index: LogIndex(index) });
        }
        Ok(())
    }

    fn checkpoint(
        &mut self,
        stale: u64,
        covers: u64,
        meta: Bytes,
        changed: &[StreamChange],
    ) -> Result<(), StoreError> {
        let next = self.all.len() as u64;
        if stale > 0 {
            return Err(StoreError::Fenced);
        }
        if covers > next {
            return Err(StoreError::Behind { next: LogIndex(next) });
        }
        if covers >= self.trimmed {
            (self.trimmed, self.meta) = (covers, Some(meta));
            for (stream, blob) in changed {
                self.streams.remove(stream);
                self.streams.extend(blob.clone().map(|blob| (*stream, blob)));
            }
        }
        Ok(())
    }
}

/// Runs random calls on new stores.
pub(crate) fn run(bench: fn() -> Bench) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 32, ..ProptestConfig::default() };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..40))| {
        runtime.block_on(check(bench(), ops))?;
    });
}

async fn check(mut bench: Bench, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let claimed = bench.store.claim(5, "me", Epoch(0)).await.unwrap();
    prop_assert_eq!(claimed, model.claim());
    for (step, op) in ops.into_iter().enumerate() {
        let at = |offset: i8| (model.all.len() as u64).saturating_add_signed(offset.into());
        match op {
            Op::Claim => {
                prop_assert_eq!(bench.store.claim(5, "me", Epoch(0)).await.unwrap(), model.claim());
            }
            Op::Reopen => bench = bench.reopen(),
            Op::Append { stale, index, content } => {
                let (index, epoch) = (at(index), Epoch(model.epoch.saturating_sub(stale)));
                let stale = model.epoch - epoch.0;
                let blob = Bytes::from(vec![content; content.into()]);
                let result =
                    bench.store.append(5, epoch.into(), LogIndex(index), blob.clone()).await;
                prop_assert_eq!(result, model.append(stale, index, blob));
            }
            Op::Checkpoint { stale, covers, changed } => {
                let (covers, epoch) = (at(covers), Epoch(model.epoch.saturating_sub(stale)));
                let stale = model.epoch - epoch.0;
                let meta = Bytes::from(step.to_string());
                let changed: Vec<_> = changed
                    .into_iter()
                    .map(|(stream, blob)| {
                        (StreamNumber(stream.into()), blob.map(|byte| Bytes::from(vec![byte])))
                    })
                    .collect();
                let call = bench.store.checkpoint(
                    5,
                    epoch.into(),
                    LogIndex(covers),
                    meta.clone(),
                    changed.clone(),
                );
                let result = call.await;
                prop_assert_eq!(result, model.checkpoint(stale, covers, meta, &changed));
            }
        }
    }
    let bench = bench.reopen();
    prop_assert_eq!(bench.store.claim(5, "me", Epoch(0)).await.unwrap(), model.claim());
    Ok(())
}
