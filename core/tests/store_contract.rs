//! Contract tests of `minerva_core::store`, run over every store.
//!
//! Each test of [`suite`] gets a [`Bench`] with an empty store, which can be reopened.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store_redis/cluster.rs"]
mod cluster;
#[path = "store_contract/model.rs"]
mod model;
#[allow(dead_code, reason = "shared by all tests with a Redis server")]
#[path = "store_redis/server.rs"]
mod server;
#[allow(clippy::disallowed_methods, reason = "leases of the suite last for real time")]
#[path = "store_contract/suite.rs"]
mod suite;

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minerva_core::store::memory::MemoryStore;
use minerva_core::store::redb::RedbStore;
use minerva_core::store::{OperatorStore, Store};
use tempfile::TempDir;

/// A store under test.
pub(crate) struct Bench {
    kind: Kind,
    pub(crate) store: Arc<dyn OperatorStore>,
}

enum Kind {
    Memory,
    Redb(TempDir),
    /// Address with a unique key prefix.
    Redis(String),
}

static PREFIXES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// One server per test, shared by all benches of the test and killed at its end.
    static SERVER: OnceCell<server::Server> = const { OnceCell::new() };
}

impl Bench {
    fn memory() -> Self {
        Self { kind: Kind::Memory, store: Arc::new(MemoryStore::new()) }
    }

    fn redb() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(RedbStore::open(directory.path()).unwrap());
        Self { kind: Kind::Redb(directory), store }
    }

    fn redis() -> Self {
        let address =
            SERVER.with(|server| server.get_or_init(|| server::Server::start(&[])).url(""));
        Self::redis_at(&address)
    }

    fn redis_at(address: &str) -> Self {
        let prefix = PREFIXES.fetch_add(1, Ordering::Relaxed);
        let url = format!("{address}?prefix=test{prefix}:");
        let store = server::store(&url);
        Self { kind: Kind::Redis(url), store }
    }

    /// Closes and opens the store again; a memory store is kept.
    pub(crate) fn reopen(self) -> Self {
        let Self { kind, store } = self;
        match &kind {
            Kind::Memory => Self { kind, store },
            Kind::Redb(directory) => {
                drop(store);
                let store = Arc::new(RedbStore::open(directory.path()).unwrap());
                Self { kind, store }
            }
            Kind::Redis(url) => {
                drop(store);
                let store = server::store(url);
                Self { kind, store }
            }
        }
    }
}

macro_rules! over_every_store {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() { super::suite::$test(super::Bench::memory()).await; })*
        }
        mod redb {
            $(#[tokio::test]
            async fn $test() { super::suite::$test(super::Bench::redb()).await; })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() { super::suite::$test(super::Bench::redis()).await; })*
        }
        /// Runs all tests over one cluster of three masters, because a cluster takes seconds to form.
        #[tokio::test]
        async fn a_redis_cluster_fulfils_the_contract() {
            let cluster = cluster::start();
            let address = cluster::address(&cluster);
            $(
                println!("{}", stringify!($test));
                suite::$test(Bench::redis_at(&address)).await;
            )*
        }
    };
}

over_every_store! {
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
    retried_claims_do_not_displace_other_claims
    a_claim_exceeds_the_given_epoch
    a_renewal_detects_a_short_log
    a_log_that_begins_elsewhere_is_behind_and_unchanged
    an_expecting_owner_repeats_and_continues_its_checkpoints
    membership_follows_heartbeats_and_leases
    all_first_callers_get_one_layout
    the_stored_version_is_the_lowest_live_version_and_never_falls
    an_old_live_core_holds_the_stored_version_back
    a_store_with_newer_content_is_refused
    damaged_blobs_are_kept_aside
    the_number_of_damaged_blobs_is_bounded
    tokens_are_added_replaced_and_removed
    the_number_of_tokens_is_bounded
    the_lengths_of_tokens_are_bounded
    an_inspection_reads_a_partition_and_changes_nothing
    a_reset_moves_the_data_aside
    a_partition_with_an_owner_is_not_reset
    a_reset_of_an_unused_partition_shows_to_the_next_owner
}

#[test]
fn memory_matches_the_model() {
    model::run(Bench::memory);
}

#[test]
fn redb_matches_the_model() {
    model::run(Bench::redb);
}

#[test]
fn redis_matches_the_model() {
    model::run(Bench::redis);
}

#[tokio::test]
async fn redis_accepts_calls_up_to_the_size_limit() {
    suite::calls_up_to_the_size_limit_succeed(Bench::redis()).await;
}

#[tokio::test]
async fn memory_accepts_calls_up_to_the_size_limit() {
    suite::calls_up_to_the_size_limit_succeed(Bench::memory()).await;
}

#[tokio::test]
async fn redis_detects_a_missing_checkpoint() {
    suite::a_missing_checkpoint_is_behind(Bench::redis()).await;
}

#[tokio::test]
async fn memory_detects_a_missing_checkpoint() {
    suite::a_missing_checkpoint_is_behind(Bench::memory()).await;
}

#[tokio::test]
async fn redis_raises_the_stored_version_after_steady_heartbeats() {
    suite::only_steady_heartbeats_raise_the_stored_version(Bench::redis()).await;
}

#[tokio::test]
async fn memory_raises_the_stored_version_after_steady_heartbeats() {
    suite::only_steady_heartbeats_raise_the_stored_version(Bench::memory()).await;
}

#[tokio::test]
async fn redis_bounds_the_bytes_of_damaged_blobs() {
    suite::the_bytes_of_damaged_blobs_are_bounded(Bench::redis()).await;
}

#[tokio::test]
async fn memory_bounds_the_bytes_of_damaged_blobs() {
    suite::the_bytes_of_damaged_blobs_are_bounded(Bench::memory()).await;
}

#[tokio::test]
async fn the_hash_key_of_a_memory_store_is_fixed() {
    assert_eq!(MemoryStore::new().partitions(4).await.unwrap().hash_key, None);
    let keyed = MemoryStore::with_hash_key([7; 16]);
    assert_eq!(keyed.partitions(4).await.unwrap().hash_key, Some([7; 16]));
}

#[tokio::test]
async fn new_stores_have_a_random_hash_key() {
    for bench in [Bench::redb, Bench::redis] {
        let (one, two) = (bench(), bench());
        let one = one.store.partitions(4).await.unwrap().hash_key.unwrap();
        let two = two.store.partitions(4).await.unwrap().hash_key.unwrap();
        assert_ne!(one, two);
    }
}
