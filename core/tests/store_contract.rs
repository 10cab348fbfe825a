//! The contract of `minerva_core::store`, checked over every store. Each test of [`suite`] takes a
//! `Bench`, which makes empty stores and second handles on the same data.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store_redis/cluster.rs"]
mod cluster;
#[path = "store_contract/model.rs"]
mod model;
#[allow(dead_code, reason = "made for all tests with a Redis")]
#[path = "store_redis/server.rs"]
mod server;
#[path = "store_contract/suite.rs"]
mod suite;

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minerva_core::store::Store;
use minerva_core::store::memory::MemoryStore;
use minerva_core::store::redb::RedbStore;
use tempfile::TempDir;

/// A store under test.
pub(crate) struct Bench {
    kind: Kind,
    pub(crate) store: Arc<dyn Store>,
}

enum Kind {
    Memory,
    Redb(TempDir),
    /// The address, with a prefix that no other bench has.
    Redis(String),
}

static PREFIXES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// One server for each test, also for one that makes many benches. It is killed when the test ends.
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

    /// Closes the store and opens it again, if it is one that outlives its process.
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
        /// Over three masters; one cluster for all, because it takes seconds to form.
        #[tokio::test]
        async fn a_redis_cluster_keeps_the_contract() {
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
    a_claim_returns_what_was_appended
    every_claim_has_a_greater_epoch
    a_claim_returns_the_last_claims
    a_stale_epoch_is_fenced_and_changes_nothing
    an_epoch_that_never_was_is_behind
    a_repeated_append_succeeds_once
    other_content_at_an_index_is_a_conflict
    a_gap_is_behind
    an_append_below_the_checkpoint_succeeds
    a_checkpoint_trims_and_keeps_unchanged_streams
    a_repeated_checkpoint_changes_nothing
    a_late_checkpoint_changes_nothing
    a_checkpoint_beyond_the_log_is_behind
    calls_take_effect_in_the_order_made
    a_dropped_future_takes_nothing_back
    partitions_do_not_touch_each_other
    the_number_of_partitions_is_fixed
    a_living_lease_keeps_others_out
    a_released_partition_can_be_claimed_at_once
    a_lease_that_ran_out_fences_nobody
    more_than_the_limit_is_refused
    a_claim_passes_an_epoch_that_is_known_otherwise
    a_renewal_finds_a_log_that_is_too_short
    members_live_as_long_as_they_say
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
async fn redis_takes_calls_up_to_the_limit() {
    suite::calls_up_to_the_limit_are_taken(Bench::redis()).await;
}

#[tokio::test]
async fn memory_takes_calls_up_to_the_limit() {
    suite::calls_up_to_the_limit_are_taken(Bench::memory()).await;
}
