//! Stored state of earlier releases, opened by this release: `golden/README.md` describes the files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared by all tests with a Redis server")]
#[path = "store_redis/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use minerva_core::partition::Recovered;
use minerva_core::store::redb::RedbStore;
use minerva_core::store::{Epoch, Member, OperatorStore, PartitionLayout, StoreError};

const PARTITIONS: u32 = 4;
/// Streams of the state of release 0.1.
const STREAMS: usize = 6;
const REDIS: &[u8] = include_bytes!("golden/0.1/redis.resp");
const REDB: &[u8] = include_bytes!("golden/0.1/minerva.redb.pages");

/// Recovers all partitions; the state of release 0.1 has no hash key and no content beyond version 1.
async fn check(store: &dyn OperatorStore) {
    let layout = store.partitions(PARTITIONS).await;
    assert_eq!(layout, Ok(PartitionLayout { count: PARTITIONS, hash_key: None }));
    let mut streams = 0;
    for partition in 0..PARTITIONS {
        let found = store.inspect(partition).await.unwrap();
        assert!(found.problems.is_empty(), "{partition}: {:?}", found.problems);
        let claimed = loop {
            // The killed owner may have a lease, in a store that keeps leases.
            match store.claim(partition, "new", Epoch(0)).await {
                Ok(claimed) => break claimed,
                Err(StoreError::Held { left, .. }) => {
                    tokio::time::sleep(left).await;
                }
                Err(error) => panic!("{partition}: {error}"),
            }
        };
        assert_eq!((claimed.epoch.0, claimed.claims.len()), (found.epoch.0 + 1, 2));
        assert_eq!((&claimed.log, &claimed.streams), (&found.log, &found.streams));
        let recovered = Recovered::from_claimed(partition, &claimed).unwrap();
        assert!(recovered.damage().is_none(), "{partition}: {:?}", recovered.damage());
        streams += recovered.damage().kept;
    }
    assert_eq!(streams, STREAMS);
    let member = Member { name: "new".to_owned(), is_standby: false, stored_version: 2 };
    let found = store.heartbeat(member, 1, Duration::from_secs(2)).await.unwrap();
    // A store that several cores share waits for older cores before it raises the version.
    assert!(found.members.len() == 1 && [1, 2].contains(&found.stored_version), "{found:?}");
}

#[tokio::test]
async fn the_redis_state_of_release_0_1_is_recovered() {
    let server = server::Server::start(&[]);
    let mut wire = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    wire.write_all(REDIS).unwrap();
    wire.write_all(b"QUIT\r\n").unwrap();
    let mut replies = String::new();
    wire.read_to_string(&mut replies).unwrap();
    assert!(replies.ends_with("+OK\r\n") && !replies.contains('-'), "{replies}");
    check(&*server.store("")).await;
}

#[tokio::test]
async fn the_redb_file_of_release_0_1_is_recovered() {
    let directory = tempfile::tempdir().unwrap();
    restore(&directory.path().join("minerva.redb"));
    let store = Arc::new(RedbStore::open(directory.path()).unwrap());
    check(&*store).await;
}

/// Writes the pages of the stored file.
fn restore(path: &Path) {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap()) as usize;
    let (length, pages) = REDB.split_at(8);
    let mut file = vec![0; number(length)];
    for page in pages.chunks_exact(8 + 4096) {
        let (offset, content) = page.split_at(8);
        file[number(offset)..][..4096].copy_from_slice(content);
    }
    std::fs::write(path, file).unwrap();
}
