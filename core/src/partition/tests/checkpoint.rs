//! Steps of a checkpoint, and when a checkpoint is due.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{ClaimTag, LogIndex, Payload, StreamNumber};

use super::hello_origin;
use crate::partition::checkpoint::Checkpoints;
use crate::partition::{PartitionOptions, Recovered};
use crate::state::{BlobContext, Meta, Record, Snapshot, StreamState};
use crate::store::memory::MemoryStore;
use crate::store::{Epoch, MAX_BLOB, OperatorStore, Store};

/// A stream with this many messages of 1 MiB in the outbox.
fn stream(messages: usize) -> Snapshot {
    let mut state = StreamState::new(hello_origin(), 1, ClaimTag::UNKNOWN);
    let messages = vec![Payload::ascii_text(vec![b'x'; 1 << 20]); messages];
    state.apply(&Record::Sent { messages }, ClaimTag::UNKNOWN).unwrap();
    state.snapshot()
}

async fn claimed(entries: u64) -> (Arc<MemoryStore>, Epoch) {
    let store = Arc::new(MemoryStore::new());
    let epoch = store.claim(0, "core", Epoch(0)).await.unwrap().epoch;
    for index in 0..entries {
        store.append(0, epoch.into(), LogIndex(index), Bytes::new()).await.unwrap();
    }
    (store, epoch)
}

/// Sizes of the streams in MiB and the expected number of steps; only the last step trims the log.
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
        let mut checkpoints =
            Checkpoints::new(store.clone(), 0, epoch, LogIndex(0), BTreeMap::new());
        checkpoints.note_append((1..=sizes.len() as u64 + 1).map(StreamNumber), 1, 3);
        checkpoints.begin(LogIndex(2), 0, (BlobContext::default(), &Meta::default()), |number| {
            sizes.get(number.0 as usize - 1).map(|size| stream(*size))
        });
        let mut count = 1;
        while !checkpoints.next(LogIndex(2)).await.unwrap() {
            let stored = store.inspect(0).await.unwrap();
            assert_eq!((stored.first_index, stored.log.len()), (LogIndex(0), 3), "{sizes:?}");
            assert!(count < steps, "{sizes:?}");
            count += 1;
        }
        assert_eq!(count, steps, "{sizes:?}");
        let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
        assert_eq!((claimed.first_index, claimed.log.len()), (LogIndex(2), 1), "{sizes:?}");
        assert_eq!(claimed.streams.len(), sizes.len(), "{sizes:?}");
    }
}

/// The next owner finds the damage again if this one dies between two steps.
#[tokio::test]
async fn an_unfinished_repair_keeps_the_claimed_meta_blob() {
    let (store, epoch) = claimed(0).await;
    let meta = Meta { streams_made: 2, ..Meta::default() }.encode(&BlobContext::default());
    store.checkpoint(0, epoch.into(), LogIndex(0), meta.clone(), Vec::new()).await.unwrap();
    let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
    let recovered = Recovered::from_claimed(0, &claimed).unwrap();
    let mut checkpoints =
        Checkpoints::new(store.clone(), 0, claimed.epoch, LogIndex(0), BTreeMap::new());
    checkpoints.note_append([1, 2].map(StreamNumber).into_iter(), 1, 3);
    let settled = Meta { streams_made: 9, ..Meta::default() };
    let context = BlobContext::default();
    checkpoints.begin(LogIndex(0), 0, (context, &settled), |_| Some(stream(5)));
    checkpoints.repair(recovered.checkpoint().cloned());
    assert!(!checkpoints.next(LogIndex(0)).await.unwrap());
    assert_eq!(store.inspect(0).await.unwrap().meta, Some(meta));
    assert!(checkpoints.next(LogIndex(0)).await.unwrap());
    let last = Meta::decode(0, store.inspect(0).await.unwrap().meta.unwrap()).unwrap();
    assert_eq!(last.streams_made, 9);
}

#[tokio::test]
async fn a_checkpoint_is_due_when_the_replay_costs_as_much() {
    let options = PartitionOptions {
        checkpoint_bytes: 1000,
        checkpoint_entries: 10,
        ..PartitionOptions::default()
    };
    let (store, epoch) = claimed(1).await;
    let mut checkpoints = Checkpoints::new(store, 0, epoch, LogIndex(0), BTreeMap::new());
    checkpoints.note_append([StreamNumber(1)].into_iter(), 999, 1);
    assert!(!checkpoints.is_due(&options));
    checkpoints.note_append([StreamNumber(1)].into_iter(), 1, 0);
    assert!(checkpoints.is_due(&options));
    checkpoints
        .begin(LogIndex(1), 0, (BlobContext::default(), &Meta::default()), |_| Some(stream(1)));
    assert!(!checkpoints.is_due(&options));
    assert!(checkpoints.next(LogIndex(1)).await.unwrap());
    // The checkpoint wrote 1 MiB; the replay of ten entries costs about 10 KiB.
    checkpoints.note_append([StreamNumber(1)].into_iter(), 1000, 10);
    assert!(!checkpoints.is_due(&options));
    checkpoints.note_append([StreamNumber(1)].into_iter(), 1000, 1000);
    assert!(!checkpoints.is_due(&options), "1,010 entries");
    checkpoints.note_append([StreamNumber(1)].into_iter(), 1000, 20);
    assert!(checkpoints.is_due(&options), "1,030 entries");
}

#[test]
fn the_largest_stream_fits_into_one_call_of_a_store() {
    // The highest limits that the options allow, each exceeded by the last batch or message.
    let (limit, batch, message) = (6 << 20, 8 << 20, 1 << 20);
    assert!(limit + batch + limit + limit + message < MAX_BLOB);
}

#[tokio::test]
async fn a_checkpoint_is_due_for_memory_when_much_is_released() {
    for (released, is_due) in [(65_535, false), (65_536, true), (65_537, true)] {
        let (store, epoch) = claimed(1).await;
        let mut checkpoints = Checkpoints::new(store, 0, epoch, LogIndex(0), BTreeMap::new());
        checkpoints.set_stored_size(5000);
        checkpoints.note_append([StreamNumber(1)].into_iter(), released, 1);
        for is_short in [false, true] {
            assert_eq!(checkpoints.is_due_for_memory(5000, is_short), is_due, "{released}");
            let needed = 5000 + released;
            assert!(!checkpoints.is_due_for_memory(needed, is_short), "all bytes are needed");
        }
    }
}

#[tokio::test]
async fn a_checkpoint_for_memory_releases_a_share_of_the_last_one() {
    let (store, epoch) = claimed(1).await;
    let mut checkpoints = Checkpoints::new(store, 0, epoch, LogIndex(0), BTreeMap::new());
    checkpoints.note_append([StreamNumber(1)].into_iter(), 0, 1);
    let blobs = (BlobContext::default(), &Meta::default());
    checkpoints.begin(LogIndex(1), 2 << 20, blobs, |_| Some(stream(2)));
    assert!(checkpoints.next(LogIndex(1)).await.unwrap());
    for (left, due, due_if_short) in
        [(1 << 20, true, true), (1_800_000, false, true), (1_900_000, false, false)]
    {
        // The blob is slightly larger than the messages.
        let size = left - 1000;
        assert_eq!(checkpoints.is_due_for_memory(size, false), due, "{left}");
        assert_eq!(checkpoints.is_due_for_memory(size, true), due_if_short, "{left}");
    }
}
