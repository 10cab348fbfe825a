//! `minerva-core store` beside running cores.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use minerva_core::store::Epoch;
use tokio::time::sleep;

use crate::server::{Server, free_port};

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

#[tokio::test]
async fn the_exit_code_of_each_command_is_that_of_the_result() {
    let server = Server::start(&[]);
    let handle = server.store("");
    handle.partitions(2).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let stream = (1_u64 << 48 | 1).to_string();
    let codes = |expected: &[(&[&str], i32)]| {
        for (arguments, expected) in expected {
            let (code, text, stderr) = store(&server, arguments);
            assert_eq!(code, Some(*expected), "{arguments:?}: {text}{stderr}");
        }
    };
    codes(&[
        (&["check"], 0),
        (&["show"], 0),
        (&["show", "--stream", &stream], 1),
        (&["export", "--partition", "0", "--out", out], 0),
        (&["export", "--partition", "0", "--out", "/dev/null"], 1),
        (&["quarantine", "--partition", "1", "--stream", &stream], 1),
        (&["quarantine", "--partition", "1", "--all"], 0),
        (&["check", "--partition", "2"], 64),
        (&["export", "--partition", "2", "--out", out], 64),
        (&["quarantine", "--partition", "2", "--all"], 64),
    ]);
    handle.claim(0, "core", Epoch(0)).await.unwrap();
    codes(&[(&["quarantine", "--partition", "0", "--all"], 1)]);
    server.command(&["SET", "minerva:{p0}:head", "a string"]);
    codes(&[
        (&["check"], 1),
        (&["check", "--partition", "0"], 1),
        (&["show"], 1),
        (&["show", "--partition", "1"], 0),
        (&["export", "--partition", "0", "--out", out], 1),
    ]);
    let (_, text, stderr) = store(&server, &["show"]);
    assert!(text.contains("partition 0: unreadable: "), "{text}{stderr}");
    for count in ["0", "65537", "4294967295"] {
        server.command(&["SET", "minerva:{store}:partitions", count]);
        codes(&[(&["check"], 1), (&["show", "--partition", "0"], 1)]);
    }
}

#[tokio::test]
async fn an_unreadable_partition_stops_neither_the_core_nor_the_others() {
    let server = Server::start(&[]);
    drop(start(&server).await);
    let head = format!("minerva:{{p{PARTITION}}}:head");
    server.command(&["HSET", &head, "first", "garbage"]);
    let admin = free_port();
    let mut command = Command::new(CORE);
    command.args(["--link", "127.0.0.1:0", "--admin", &format!("127.0.0.1:{admin}")]);
    command.args(["--api", "127.0.0.1:0", "--partitions", "2"]);
    command.env("MINERVA_STORE", server.url("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut core = RunningCore(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(core.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    wait_for(admin, "/metrics", "minerva_unreadable_partitions 1").await;
    wait_for(admin, "/metrics", "minerva_core_partitions 1").await;
    let unready = wait_for(admin, "/readyz", "unreadable partitions: 1 (1); 1: ").await;
    assert!(unready.contains("503"), "{unready}");
    let (code, table, stderr) = store(&server, &["check"]);
    assert_eq!(code, Some(1), "{table}{stderr}");
    let repair = ["quarantine", "--partition", "1", "--all", "--force"];
    let (code, _, stderr) = store(&server, &repair);
    assert_eq!(code, Some(0), "{stderr}");
    wait_for(admin, "/metrics", "minerva_unreadable_partitions 0").await;
    wait_for(admin, "/readyz", "200 OK").await;
}

/// Requests a page of the admin port until the page contains the text; returns the response.
pub(crate) async fn wait_for(admin: u16, path: &str, text: &str) -> String {
    for _ in 0..1500 {
        let mut response = String::new();
        if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", admin)) {
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).unwrap();
            socket.read_to_string(&mut response).unwrap();
        }
        if response.contains(text) {
            return response;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} does not contain {text}");
}

#[tokio::test]
async fn a_damaged_partition_is_served_although_redis_is_full() {
    let server = Server::start(&[]);
    drop(start(&server).await);
    let streams = format!("minerva:{{p{PARTITION}}}:streams");
    server.command(&["HSET", &streams, "281474976710657", "x"]);
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let admin = free_port();
    let mut command = Command::new(CORE);
    command.args(["--link", "127.0.0.1:0", "--admin", &format!("127.0.0.1:{admin}")]);
    command.args(["--api", "127.0.0.1:0", "--partitions", "2"]);
    command.env("MINERVA_STORE", server.url("")).stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut core = RunningCore(command.spawn().unwrap());
    wait_for(admin, "/metrics", "minerva_quarantined_streams_total 1").await;
    wait_for(admin, "/metrics", "minerva_core_partitions 2").await;
    let found = loop {
        let found = server.store("").inspect(PARTITION).await.unwrap();
        if found.streams.iter().any(|(_, blob)| blob.len() > 1) {
            break found;
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(found.quarantined, [], "Redis has refused the copy");
    core.0.kill().unwrap();
    let mut log = String::new();
    core.0.stdout.take().unwrap().read_to_string(&mut log).unwrap();
    core.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("the store refuses to keep damaged blobs aside"), "{log}");
}
