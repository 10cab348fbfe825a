//! A server with a memory limit: the reported use.

use minerva_proto::LogIndex;

use crate::server::Server;
use crate::{append, claim, content};

#[tokio::test]
async fn the_used_memory_is_reported_if_the_server_has_a_limit() {
    let server = Server::start(&[]);
    let handle = server.store("");
    assert_eq!(handle.fill().await, Ok(None), "no maxmemory");
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let before = handle.fill().await.unwrap().unwrap();
    assert_eq!(before.limit, 100 << 20);
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..50).await;
    let large = "x".repeat(8 << 20).into();
    handle.append(1, epoch.into(), LogIndex(50), large).await.unwrap();
    let after = handle.fill().await.unwrap().unwrap();
    assert!(after.used > before.used + (8 << 20), "{before:?} {after:?}");
    assert!(after.used < after.limit, "{after:?}");
    handle.append(1, epoch.into(), LogIndex(51), content(1, 51)).await.unwrap();
}
