//! The program `minerva-core`: options, signals, memory, and recovery after SIGKILL.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test ignores other outputs")]

#[path = "serve/peers.rs"]
#[allow(dead_code, reason = "shared with the tests of the library")]
mod peers;
#[path = "support/ports.rs"]
mod ports;
#[path = "program/store_command.rs"]
mod store_command;
#[path = "program/subprotocols.rs"]
mod subprotocols;
#[path = "program/suspects.rs"]
mod suspects;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use minerva_proto::link::pb::{self as link, edge_frame};
use peers::{App, Edge, attach, batch, sack};

const ID: &str = "stream-id-stream-id-1";

/// Limit for a start; far longer than one takes.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running process; killed on drop.
struct Program {
    child: Child,
    link: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minerva-core"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MINERVA_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn free_addresses() -> [SocketAddr; 3] {
    [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], ports::free_port())))
}

/// The first line of standard output; empty if the process exits or prints nothing.
fn first_line(child: &mut Child) -> String {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (sender, line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // The receiver may have timed out.
        let _ = sender.send(line);
    });
    line.recv_timeout(START_TIMEOUT).unwrap_or_default()
}

impl Program {
    fn start(directory: &Path) -> Self {
        Self::start_at(directory, free_addresses())
    }

    fn start_at(directory: &Path, addresses: [SocketAddr; 3]) -> Self {
        Self::start_with(directory, addresses, &[])
    }

    fn start_with(directory: &Path, addresses: [SocketAddr; 3], options: &[&str]) -> Self {
        Self::start_logging(directory, addresses, options, Stdio::inherit())
    }

    fn start_logging(
        directory: &Path,
        [link, api, admin]: [SocketAddr; 3],
        options: &[&str],
        log: Stdio,
    ) -> Self {
        let store = format!("redb:{}", directory.display());
        let addresses = [link, api, admin].map(|address| address.to_string());
        let mut child = command(&["--link", &addresses[0], "--api", &addresses[1]])
            .args(["--admin", &addresses[2], "--store", &store, "--log", "warn"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let line = first_line(&mut child);
        // Created before the assertion, so that the process is killed if it fails.
        let program = Self { child, link, api, admin };
        let expected = format!(
            "minerva-core: ready, edges on {link}, apps on {api}, admin on http://{admin}, \
             store {store}\n"
        );
        assert_eq!(line, expected);
        program
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Peak resident memory in KiB.
    fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_invalid_option_exits_with_64_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let under_file = format!("redb:{}/data", file.display());
    let free = free_addresses().map(|address| address.to_string());
    let store = ["--link", &free[0], "--api", &free[1], "--admin", &free[2], "--store"];
    for (arguments, text) in [
        (vec!["--store", "sqlite:x"], "redb:DIR"),
        (vec!["--store", "redis://host:port"], "Redis needs a host and perhaps a port"),
        (vec!["--link", "nowhere"], "--link"),
        (vec!["--max-idle", "0"], "--max-idle"),
        (vec!["--log", "=,="], "--log"),
        (vec!["--admin", "192.0.2.1:1"], "--admin: cannot listen on 192.0.2.1:1"),
        (vec!["--api", "0.0.0.0:0"], "--api: 0.0.0.0:0 is open to other machines without TLS"),
        (
            vec!["--link", "192.0.2.1:1"],
            "--link: 192.0.2.1:1 is open to other machines without TLS",
        ),
        (vec!["token", "create", "--can", "send", "--file", "/nowhere/t"], "needs --service"),
        (vec!["--partitions", "0"], "--partitions"),
        (vec!["--subprotocols", "chat,Game"], "'G' at position 0"),
        (vec!["--subprotocols", "=chat"], "a service name is 1 to 64"),
        ([&store[..], &[&under_file]].concat(), "the directory cannot be used"),
    ] {
        let (code, stderr) = run(&arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_exits_with_0() {
    let Output { status, stdout, .. } = command(&["--help"]).output().unwrap();
    assert!(status.success());
    let text = String::from_utf8(stdout).unwrap();
    for option in [
        "--link",
        "--api",
        "--store",
        "--admin",
        "MINERVA_STORE",
        "redb:./minerva-data",
        "--subprotocols",
        "MINERVA_SUBPROTOCOLS",
    ] {
        assert!(text.contains(option), "{option} is not in\n{text}");
    }
}

#[test]
fn a_second_process_in_a_directory_exits_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Program::start(directory.path());
    let free = free_addresses().map(|address| address.to_string());
    let store = format!("redb:{}", directory.path().display());
    let (code, stderr) =
        run(&["--link", &free[0], "--api", &free[1], "--admin", &free[2], "--store", &store]);
    assert_eq!(code, Some(64));
    assert!(stderr.contains("another process is using this directory"), "{stderr}");
}

#[tokio::test]
async fn sigterm_stops_the_process_gracefully() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start(directory.path());
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    program.signal("-TERM");
    assert_eq!(edge.end().await.unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

/// Messages both ways while the process is killed repeatedly: none is lost, duplicated or reordered.
#[tokio::test]
async fn no_message_is_lost_by_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = free_addresses();
    let (mut stream, mut sent, mut delivered) = (0, 0, 0);
    for round in 0..8 {
        let program = Program::start_at(directory.path(), addresses);
        let held = if round == 0 { vec![] } else { vec![stream] };
        let mut app = App::register(program.api, "one", held).await;
        let mut edge = Edge::connect(program.link).await;
        edge.attach(attach(1, ID)).await;
        let started = app.started().await;
        assert!(round == 0 || started.stream == stream);
        assert_eq!(started.next_send, sent, "confirmed sends are recovered");
        stream = started.stream;
        // The app acknowledged every event; only the last acknowledgement may be lost.
        assert!(started.next_event <= delivered + 1, "{} {delivered}", started.next_event);
        let mut first = started.next_event.max(1);
        for step in 0..10 {
            let text = format!("up {delivered}");
            edge.send(edge_frame::Frame::Batch(batch(1, 2 * step, delivered, &[&text])));
            edge.taken(2 * step).await;
            let all: Vec<_> = (first - 1..=delivered).map(|n| format!("up {n}")).collect();
            assert_eq!(app.messages(first, all.len()).await, all);
            delivered += 1;
            first = delivered + 1;
            app.acknowledge(stream, delivered);
            app.send_messages(stream, sent, &[&format!("down {sent}")]);
            app.sent(sent + 1).await;
            assert_eq!(edge.messages(1, sent, 1).await, [format!("down {sent}")]);
            edge.send(edge_frame::Frame::Batch(sack(1, 2 * step + 1, sent as i64)));
            edge.taken(2 * step + 1).await;
            sent += 1;
        }
        drop(program);
    }
}

/// 32 MB each way through one process: memory does not grow with the volume.
#[tokio::test]
async fn memory_is_bounded() {
    const MESSAGES: u64 = 500;
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let mut app = App::register(program.api, "one", vec![]).await;
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    let text = "x".repeat(64_000);
    let start = now();
    for n in 0..MESSAGES {
        edge.send(edge_frame::Frame::Batch(batch(1, 2 * n, n, &[&text])));
        app.send_messages(stream, n, &[&text]);
        assert!(app.messages(n + 1, 1).await == [text.as_str()]);
        app.acknowledge(stream, n + 1);
        assert!(edge.messages(1, n, 1).await == [Bytes::from(text.clone())]);
        edge.send(edge_frame::Frame::Batch(sack(1, 2 * n + 1, n as i64)));
        let grant = link::Grant { transport: 1, s2c_bytes: text.len() as u64 };
        edge.send(edge_frame::Frame::Grant(grant));
    }
    let (memory, time) = (program.peak_memory(), start.elapsed());
    println!("{memory} KiB, {time:?}");
    assert!(memory < 64 << 10, "{memory} KiB");
    let file = std::fs::metadata(directory.path().join("minerva.redb")).unwrap().len();
    assert!(file < 256 << 20, "the file has {file} bytes");
}

#[expect(clippy::disallowed_methods, reason = "only printed")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn the_process_is_ready_once_the_line_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let response = tokio::time::timeout(Duration::from_secs(5), http(program.admin, "/readyz"));
    assert!(response.await.unwrap().ends_with("ready\n"));
    assert!(http(program.admin, "/metrics").await.contains("minerva_core_partitions 64"));
}

async fn http(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    response
}
