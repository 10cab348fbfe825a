//! The store model implements the store contract and returns the same replies as Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../core/tests/store_contract/model.rs"]
mod model;
#[allow(dead_code, reason = "shared by all tests with a Redis")]
#[path = "../../../core/tests/store_redis/server.rs"]
mod server;
#[allow(dead_code, reason = "the model has no bounds of the quarantine and reads every version")]
#[allow(clippy::disallowed_methods, reason = "leases of the suite last for real time")]
#[allow(unused_imports, reason = "the model keeps no API tokens")]
#[path = "../../../core/tests/store_contract/suite.rs"]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_core::store::{Claimed, Epoch, Member, Membership, OperatorStore, Store, StoreError};
use minerva_proto::{LogIndex, StreamNumber};
use minerva_simulation::ModelStore;
use proptest::prelude::*;

/// The store under test, in the form that the contract suite requires.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn OperatorStore>,
}

impl Bench {
    fn model() -> Self {
        Self { store: Arc::new(ModelStore::new()) }
    }

    /// The model keeps no data beyond the process, so the store stays open.
    pub(crate) fn reopen(self) -> Self {
        self
    }
}

macro_rules! on_the_model {
    ($($test:ident)*) => {
        $(#[tokio::test]
        async fn $test() { suite::$test(Bench::model()).await; })*
    };
}

on_the_model! {
    an_unused_partition_is_empty
    a_claim_returns_the_appended_log
    every_claim_has_a_greater_epoch
    a_claim_returns_the_last_claims
    a_stale_epoch_is_fenced_and_changes_nothing
    an_unknown_epoch_is_behind
    a_repeated_append_succeeds_once
    other_content_at_an_index_is_a_conflict
    a_gap_is_behind
    an_append_below_the_checkpoint_succeeds
    a_checkpoint_trims_and_keeps_unchanged_streams
    a_repeated_checkpoint_changes_nothing
    a_late_checkpoint_changes_nothing
    a_checkpoint_beyond_the_log_is_behind
    calls_take_effect_in_call_order
    a_dropped_future_does_not_cancel_its_call
    partitions_are_independent
    the_number_of_partitions_is_fixed
    an_unexpired_lease_excludes_other_owners
    a_released_partition_can_be_claimed_immediately
    an_expired_lease_does_not_fence_its_owner
    calls_above_the_size_limit_are_rejected
    calls_up_to_the_size_limit_succeed
    a_claim_exceeds_the_given_epoch
    a_renewal_detects_a_short_log
    a_log_that_begins_elsewhere_is_behind_and_unchanged
    an_expecting_owner_repeats_and_continues_its_checkpoints
    a_missing_checkpoint_is_behind
    membership_follows_heartbeats_and_leases
    all_first_callers_get_one_layout
    the_stored_version_is_the_lowest_live_version_and_never_falls
    an_old_live_core_holds_the_stored_version_back
    damaged_blobs_are_kept_aside
    an_inspection_reads_a_partition_and_changes_nothing
    a_reset_moves_the_data_aside
    a_partition_with_an_owner_is_not_reset
    a_reset_of_an_unused_partition_shows_to_the_next_owner
}

#[test]
fn the_model_agrees_with_the_reference_model_of_the_contract() {
    model::run(Bench::model);
}

/// A call; numbers are offsets from the valid values.
#[derive(Debug, Clone)]
enum Step {
    Claim { other: bool, above: u64 },
    Append { stale: u64, index: i8, content: u8 },
    Checkpoint { stale: u64, covers: i8, changed: Vec<(u8, Option<u8>)> },
    Renew { stale: u64, next: i8 },
    Release { stale: u64 },
    Heartbeat { member: u8, number: u64, lives: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let stale = || prop_oneof![9 => Just(0), 1 => 1..3u64];
    let offset = || prop_oneof![4 => Just(0), 1 => -4..3i8];
    let changed = prop::collection::vec((0..6u8, prop::option::of(any::<u8>())), 0..4);
    prop_oneof![
        2 => (any::<bool>(), 0..9u64).prop_map(|(other, above)| Step::Claim { other, above }),
        8 => (stale(), offset(), 0..3u8)
            .prop_map(|(stale, index, content)| Step::Append { stale, index, content }),
        3 => (stale(), offset(), changed)
            .prop_map(|(stale, covers, changed)| Step::Checkpoint { stale, covers, changed }),
        2 => (stale(), offset()).prop_map(|(stale, next)| Step::Renew { stale, next }),
        1 => stale().prop_map(|stale| Step::Release { stale }),
        1 => (0..3u8, 1..9u64, any::<bool>())
            .prop_map(|(member, number, lives)| Step::Heartbeat { member, number, lives }),
    ]
}

/// Reply of a store, without values that depend on the clock.
#[derive(Debug, PartialEq)]
enum Reply {
    Claimed(Claimed),
    Membership(Membership),
    Done,
    Held(String),
    Error(StoreError),
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Self {
        if let StoreError::Held { owner, .. } = error {
            Self::Held(owner)
        } else {
            Self::Error(error)
        }
    }
}

/// Position in a sequence of steps: the last epoch, and the index behind the log.
#[derive(Default)]
struct Position {
    epoch: u64,
    next: u64,
}

async fn perform(store: &dyn Store, partition: u32, step: &Step, at: &Position) -> Reply {
    let epoch = |stale: &u64| Epoch(at.epoch.saturating_sub(*stale));
    let index = |offset: &i8| LogIndex(at.next.saturating_add_signed((*offset).into()));
    let lease = Duration::from_secs(60);
    let done = match step {
        Step::Claim { other, above } => {
            let owner = if *other { "other" } else { "me" };
            let claimed = store.claim(partition, owner, Epoch(*above)).await;
            // The model loses log and streams only together and records no sizes.
            let claimed = claimed.map(|claimed| Claimed { recorded: None, ..claimed });
            return claimed.map_or_else(Reply::from, Reply::Claimed);
        }
        Step::Heartbeat { member, number, lives } => {
            let member = Member {
                name: format!("core-{member}"),
                is_standby: *member == 0,
                stored_version: 1,
            };
            let lease = if *lives { lease } else { Duration::ZERO };
            return store
                .heartbeat(member, *number, lease)
                .await
                .map_or_else(Reply::from, Reply::Membership);
        }
        Step::Append { stale, index: offset, content } => {
            let blob = Bytes::from(vec![*content; (*content).into()]);
            store.append(partition, epoch(stale).into(), index(offset), blob).await
        }
        Step::Checkpoint { stale, covers, changed } => {
            let changed = changed.iter().map(|(stream, blob)| {
                (StreamNumber((*stream).into()), blob.map(|byte| Bytes::from(vec![byte])))
            });
            let meta = Bytes::from_static(b"meta");
            store
                .checkpoint(partition, epoch(stale).into(), index(covers), meta, changed.collect())
                .await
        }
        Step::Renew { stale, next } => {
            store.renew(partition, epoch(stale).into(), lease, index(next)).await
        }
        Step::Release { stale } => store.release(partition, epoch(stale)).await,
    };
    done.map_or_else(Reply::from, |()| Reply::Done)
}

async fn compare(real: &dyn Store, model: &dyn Store, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut at = Position::default();
    for step in steps {
        let reply = perform(model, 3, step, &at).await;
        match (&reply, step) {
            (Reply::Claimed(claimed), _) => {
                at = Position { epoch: claimed.epoch.0, next: claimed.next_index().0 };
            }
            (Reply::Done, Step::Append { stale: 0, index: 0, .. }) => at.next += 1,
            _ => {}
        }
        // Both stores receive the step at the same position.
        let before = match (&reply, step) {
            (Reply::Done, Step::Append { stale: 0, index: 0, .. }) => {
                Position { epoch: at.epoch, next: at.next - 1 }
            }
            _ => Position { epoch: at.epoch, next: at.next },
        };
        let is_claim = matches!(step, Step::Claim { .. });
        let real_reply = perform(real, 3, step, if is_claim { &at } else { &before }).await;
        prop_assert_eq!(real_reply, reply, "{:?}", step);
    }
    Ok(())
}

#[test]
fn the_model_and_redis_return_equal_replies() {
    let server = server::Server::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config =
        ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let prefix = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
        prefix.set(prefix.get() + 1);
        let real = server.store(&format!("?prefix=sim{}:", prefix.get()));
        runtime.block_on(compare(&*real, &ModelStore::new(), &steps))
    });
    outcome.unwrap();
}
