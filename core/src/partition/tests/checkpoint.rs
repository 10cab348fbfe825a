//! Checkpoints by themselves: their steps, and how often they are worth it.

use std::sync::Arc;

use bytes::Bytes;

use super::hello_origin;
use crate::partition::PartitionOptions;
use crate::partition::checkpoint::Checkpoints;
use crate::state::{Meta, Record, Snapshot, StreamState};
use crate::store::memory::MemoryStore;
use crate::store::{Epoch, MAX_BLOB, Store};

/// A stream that holds so many strings of 1 MiB for its client.
fn stream(messages: usize) -> Snapshot {
    let mut state = StreamState::new(hello_origin(), 1);
    let messages = vec![Bytes::from(vec![b'x'; 1 << 20]); messages];
    state.apply(&Record::Sent { messages }).unwrap();
    state.snapshot()
}

async fn claimed(entries: u64) -> (Arc<MemoryStore>, Epoch) {
    let store = Arc::new(MemoryStore::new());
    let epoch = store.claim(0, "core", Epoch(0)).await.unwrap().epoch;
    for index in 0..entries {
        store.append(0, epoch, index, Bytes::new()).await.unwrap();
    }
    (store, epoch)
}

/// Streams 1, 2, …, of so many MiB, are written in so many steps; before the last one, the log is whole.
#[tokio::test]
async fn large_streams_are_written_in_steps() {
    for (sizes, steps) in [
        (vec![], 1),
        (vec![7], 1),
        (vec![3, 4], 1),
        (vec![4, 4], 2),
        (vec![3, 3, 3, 1], 2),
        (vec![20, 1], 2),
        (vec![1, 20, 1], 3),
    ] {
        let (store, epoch) = claimed(3).await;
        let mut checkpoints = Checkpoints::new(store.clone(), 0, epoch, 0);
        checkpoints.note_append(1..=sizes.len() as u64 + 1, 1, 3);
        checkpoints.begin(2, &Meta::default(), |number| {
            sizes.get(number as usize - 1).map(|size| stream(*size))
        });
        let mut made = 1;
        while !checkpoints.next(2).await.unwrap() {
            let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
            assert_eq!((claimed.first_index, claimed.log.len()), (0, 3), "{sizes:?}");
            assert!(made < steps, "{sizes:?}");
            made += 1;
            // That claim has fenced the owner.
            checkpoints.epoch = claimed.epoch;
        }
        assert_eq!(made, steps, "{sizes:?}");
        let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
        assert_eq!((claimed.first_index, claimed.log.len()), (2, 1), "{sizes:?}");
        assert_eq!(claimed.streams.len(), sizes.len(), "{sizes:?}");
    }
}

#[tokio::test]
async fn the_log_may_grow_as_long_as_a_checkpoint_costs_more() {
    let options = PartitionOptions {
        checkpoint_bytes: 1000,
        checkpoint_entries: 10,
        ..PartitionOptions::default()
    };
    let (store, epoch) = claimed(1).await;
    let mut checkpoints = Checkpoints::new(store, 0, epoch, 0);
    checkpoints.note_append(1..=1, 999, 1);
    assert!(!checkpoints.is_due(&options));
    checkpoints.note_append(1..=1, 1, 0);
    assert!(checkpoints.is_due(&options));
    checkpoints.begin(1, &Meta::default(), |_| Some(stream(1)));
    assert!(!checkpoints.is_due(&options));
    assert!(checkpoints.next(1).await.unwrap());
    // It wrote 1 MiB: ten entries, 10 KiB by the count of what they cost, are not worth another one.
    checkpoints.note_append(1..=1, 1000, 10);
    assert!(!checkpoints.is_due(&options));
    checkpoints.note_append(1..=1, 1000, 1000);
    assert!(!checkpoints.is_due(&options), "1,010 entries");
    checkpoints.note_append(1..=1, 1000, 20);
    assert!(checkpoints.is_due(&options), "1,030 entries");
}

#[test]
fn the_largest_stream_fits_into_one_call_of_a_store() {
    // Limits as high as the options allow, and what overdraws each of them: what is taken of one batch, or
    // one string.
    let (limit, batch, string) = (6 << 20, 8 << 20, 1 << 20);
    assert!(limit + batch + limit + limit + string < MAX_BLOB);
}
