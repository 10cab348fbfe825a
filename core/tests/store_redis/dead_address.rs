//! A Redis whose name has a dead first address.

use std::process::{Command, Stdio};

use tokio::time::timeout;

use crate::dead_addresses::{LIVE, NAME, SOON, in_namespace, kill_first_address};
use crate::server::{PROGRAM, free_port, store, wait_until};

#[tokio::test]
async fn a_first_address_that_drops_syns_does_not_keep_a_core_from_its_store() {
    let path = "dead_address::a_first_address_that_drops_syns_does_not_keep_a_core_from_its_store";
    if !in_namespace(path) {
        return;
    }
    let port = free_port();
    let program = std::env::var(PROGRAM).unwrap_or_else(|_| "redis-server".to_owned());
    let options = ["--bind", LIVE, "--port", &port.to_string(), "--save", ""];
    let mut server = Command::new(program).args(options).stdout(Stdio::null()).spawn().unwrap();
    wait_until("redis-server listens", || std::net::TcpStream::connect((LIVE, port)).is_ok());
    let _dead = kill_first_address(port);
    let store = store(&format!("redis://{NAME}:{port}/"));
    let outcome = timeout(SOON, store.claim(0, "core-a", minerva_core::store::Epoch(0))).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(outcome.is_ok_and(|claim| claim.is_ok()));
}
