//! `minerva-core store` beside running cores.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use minerva_core::store::Epoch;
use tokio::time::sleep;

use crate::server::Server;

const CORE: &str = env!("CARGO_BIN_EXE_minerva-core");
const PARTITION: u32 = 1;

/// A running core; killed on drop.
struct RunningCore(Child);

impl Drop for RunningCore {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a core that logs nothing, and waits until the partition is held.
async fn start(server: &Server) -> RunningCore {
    let mut command = Command::new(CORE);
    command.args(["--link", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    command.args(["--partitions", "2", "--log", "off"]).env("MINERVA_STORE", server.url(""));
    let core = RunningCore(command.stdout(Stdio::null()).spawn().unwrap());
    let store = server.store("");
    while store.inspect(PARTITION).await.is_ok_and(|found| found.owner.is_none()) {
        sleep(Duration::from_millis(20)).await;
    }
    core
}

/// Exit code, standard output and standard error.
fn store(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(CORE);
    command.arg("store").args(arguments).env("MINERVA_STORE", server.url(""));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_store_is_checked_and_a_partition_taken_from_a_running_core() {
    let server = Server::start(&[]);
    let (code, _, stderr) = store(&server, &["check"]);
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stderr.contains("no core has used this store"), "{stderr}");
    let _core = start(&server).await;
    let (code, table, stderr) = store(&server, &["check"]);
    assert_eq!((code, table.lines().count()), (Some(0), 3), "{table}{stderr}");

    let partition = PARTITION.to_string();
    let quarantine = ["quarantine", "--partition", &partition, "--all"];
    let (code, _, stderr) = store(&server, &quarantine);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("use --force"), "{stderr}");
    let before = server.store("").inspect(PARTITION).await.unwrap();
    let (code, text, stderr) = store(&server, &[&quarantine[..], &["--force"]].concat());
    assert_eq!(code, Some(0), "{text}{stderr}");
    // The core claims the partition again after the reset.
    let handle = server.store("");
    loop {
        let found = handle.inspect(PARTITION).await.unwrap();
        if found.owner.is_some() && found.meta.is_some() && found.epoch > before.epoch {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let (code, table, stderr) = store(&server, &["check"]);
    assert_eq!(code, Some(0), "the core has written the reset partition: {table}{stderr}");
}

#[tokio::test]
async fn a_damaged_blob_is_found_beside_a_running_core() {
    let server = Server::start(&[]);
    let _core = start(&server).await;
    server.command(&["HSET", &format!("minerva:{{p{PARTITION}}}:streams"), "281474976710657", "x"]);
    let (code, table, stderr) = store(&server, &["check"]);
    assert_eq!(code, Some(1), "{table}{stderr}");
    assert!(table.contains("stream 281474976710657: "), "{table}");
    let found = server.store("").inspect(PARTITION).await.unwrap();
    assert!(found.epoch > Epoch(0) && found.owner.is_some(), "the core goes on");
}
