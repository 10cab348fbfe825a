//! Contract tests of API tokens.

use bytes::Bytes;
use futures_util::future::join_all;
use minerva_core::store::{MAX_TOKENS, StoreError, StoredTokens};

use crate::Bench;

async fn set(bench: &Bench, id: &str, record: Option<&'static str>) -> Result<bool, StoreError> {
    bench.store.set_token(id, record.map(Bytes::from)).await
}

async fn changed(bench: &Bench, known: u64, records: &[(&str, &'static str)]) -> u64 {
    let StoredTokens { version, records: found } =
        bench.store.tokens(known).await.unwrap().unwrap();
    let owned = |(id, record): &(&str, &'static str)| ((*id).to_owned(), Bytes::from(*record));
    assert_eq!(found, records.iter().map(owned).collect::<Vec<_>>());
    assert_ne!(version, known);
    version
}

/// The version changes with each change, and tokens survive a reopening.
pub(crate) async fn tokens_are_added_replaced_and_removed(bench: Bench) {
    assert_eq!(bench.store.tokens(0).await, Ok(None), "a new store has version 0");
    let added = (set(&bench, "b", Some("one")).await, set(&bench, "a", Some("two")).await);
    assert_eq!(added, (Ok(false), Ok(false)));
    let first = changed(&bench, 0, &[("a", "two"), ("b", "one")]).await;
    assert_eq!(bench.store.tokens(first).await, Ok(None), "unchanged");
    let bench = bench.reopen();
    assert_eq!(bench.store.tokens(first).await, Ok(None), "durable");
    assert_eq!(set(&bench, "a", Some("three")).await, Ok(true));
    let second = changed(&bench, first, &[("a", "three"), ("b", "one")]).await;
    let removed = (set(&bench, "b", None).await, set(&bench, "b", None).await);
    assert_eq!(removed, (Ok(true), Ok(false)));
    changed(&bench, second, &[("a", "three")]).await;
}

pub(crate) async fn the_number_of_tokens_is_bounded(bench: Bench) {
    let ids: Vec<String> = (0..MAX_TOKENS).map(|id| id.to_string()).collect();
    let added = join_all(ids.iter().map(|id| set(&bench, id, Some("x")))).await;
    assert!(added.iter().all(|added| *added == Ok(false)), "{added:?}");
    let beyond = set(&bench, "beyond", Some("x")).await;
    assert!(matches!(beyond, Err(StoreError::Config(_))), "{beyond:?}");
    assert_eq!(set(&bench, "0", Some("y")).await, Ok(true), "replaced");
    assert_eq!(set(&bench, "0", None).await, Ok(true));
    assert_eq!(set(&bench, "beyond", Some("x")).await, Ok(false));
    let stored = bench.store.tokens(0).await.unwrap().unwrap();
    assert_eq!(stored.records.len(), MAX_TOKENS);
}

pub(crate) async fn the_lengths_of_tokens_are_bounded(bench: Bench) {
    for (id, length, ok) in
        [(64, 4096, true), (65, 1, false), (0, 1, false), (1, 4097, false), (1, 0, false)]
    {
        let (id, record) = ("x".repeat(id), Bytes::from(vec![b'x'; length]));
        let result = bench.store.set_token(&id, Some(record)).await;
        assert_eq!(result.is_ok(), ok, "{length} bytes: {result:?}");
    }
}
