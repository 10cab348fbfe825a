//! Sessions of the Rust client: processes that are killed at random moments continue one stream.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use minerva_app::{Retention, Service};
use minerva_client::{
    ConnectError, Message, Rewind, SessionError, SessionFile, Stream, TransportKind,
};

use super::config;
use super::program::Program;

/// Environment of a child process: the address, the kind of transport, the session file and the first message number.
const ADDRESS: &str = "MINERVA_TEST_SESSION_ADDRESS";
const KIND: &str = "MINERVA_TEST_SESSION_KIND";
const FILE: &str = "MINERVA_TEST_SESSION_FILE";
const FIRST: &str = "MINERVA_TEST_SESSION_FIRST";
/// Killed processes per kind of transport.
const KILLS: usize = 10;
/// Time limit for an event of a child process.
const EVENT_DEADLINE: Duration = Duration::from_secs(60);

/// Messages that the service has received, in order.
type Received = Arc<Mutex<Vec<String>>>;

/// Starts a service that retains and returns each message.
async fn service(program: &Program) -> (tokio::task::JoinHandle<()>, Received) {
    let received = Received::default();
    let mut service = Service::connect(program.api().to_string()).start().await.unwrap();
    let log = Arc::clone(&received);
    let serving = tokio::spawn(async move {
        while let Some(mut stream) = service.accept().await {
            let age = Duration::from_secs(3600);
            stream.set_retention(Retention { messages: 10_000, bytes: 1 << 20, age, hold: false });
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                while let Some(message) = stream.recv().await {
                    log.lock().unwrap().push(message.as_text().unwrap().to_owned());
                    if stream.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (serving, received)
}

fn session_config(
    address: impl ToString,
    kind: TransportKind,
    file: &Path,
) -> minerva_client::Config {
    let mut config = config(address, kind);
    config.session = Some(SessionFile::open(file).unwrap());
    config.rewind = Rewind::Unseen;
    config
}

/// The child process: queues messages until it is killed, and reports each step on a line.
#[test]
fn session_child() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let variable = |name| std::env::var(name).unwrap();
    let first: u64 = variable(FIRST).parse().unwrap();
    let kind: TransportKind = variable(KIND).parse().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let stream =
            Stream::connect(session_config(address, kind, Path::new(&variable(FILE)))).unwrap();
        let receiver = stream.clone();
        tokio::spawn(async move {
            while let Some((number, message)) = receiver.recv_numbered().await {
                println!("\nreceived {number} {}", message.as_text().unwrap());
            }
            println!("\nended {:?}", receiver.ended());
        });
        if let Some(rejoin) = stream.rejoined().await.unwrap() {
            println!("\nrejoined {} {} {}", rejoin.generation, rejoin.complete, rejoin.fresh);
        }
        for number in first.. {
            println!("\nbegun {number}");
            stream.queue(format!("message {number}")).await.unwrap();
            println!("\nqueued {number}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// What the processes of one session have reported.
#[derive(Default)]
struct Report {
    begun: Option<u64>,
    queued: Vec<u64>,
    received: Vec<(u64, String)>,
    generations: Vec<u32>,
}

impl Report {
    fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        match words[..] {
            ["begun", number] => self.begun = Some(number.parse().unwrap()),
            ["queued", number] => self.queued.push(number.parse().unwrap()),
            ["received", number, text] => {
                self.received.push((number.parse().unwrap(), text.to_owned()))
            }
            ["rejoined", generation, rest] => {
                assert_eq!(rest, "true false", "complete, and not fresh");
                self.generations.push(generation.parse().unwrap());
            }
            ["ended", ..] => panic!("{line}"),
            _ => {}
        }
    }
}

fn child(
    address: &str,
    kind: TransportKind,
    file: &Path,
    first: u64,
) -> (Child, mpsc::Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sessions::session_child", "--nocapture"])
        .env(ADDRESS, address)
        .env(KIND, kind.to_string())
        .env(FILE, file)
        .env(FIRST, first.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (child, receiver)
}

/// Kills the processes of one session, and completes the session in this process.
async fn run(program: &Program, kind: TransportKind, received: &Received) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.session");
    let address = program.clients.to_string();
    let mut report = Report::default();
    for kill in 0..KILLS {
        let first = report.begun.map_or(0, |last| last + 1);
        let (mut process, lines) = child(&address, kind, &file, first);
        // Some processes die before the server has accepted them, and most in the midst of messages.
        let wanted = report.queued.len() + kill * 7;
        let is_early = kill % 4 == 3;
        while !is_early && (report.queued.len() <= wanted || report.begun < Some(first)) {
            report.add(&lines.recv_timeout(EVENT_DEADLINE).unwrap());
        }
        process.kill().unwrap();
        process.wait().unwrap();
        lines.iter().for_each(|line| report.add(&line));
    }
    let stream = Stream::connect(session_config(&address, kind, &file)).unwrap();
    let rejoin = stream.rejoined().await.unwrap().unwrap();
    assert!(rejoin.complete && !rejoin.fresh && rejoin.unsent.is_empty(), "{rejoin:?}");
    report.generations.push(rejoin.generation);
    stream.send("last").await.unwrap();
    while let Some((number, message)) = stream.recv_numbered().await {
        report.received.push((number.0, message.as_text().unwrap().to_owned()));
        if message == "last" {
            break;
        }
    }
    check(kind, &report, &received.lock().unwrap());
    // The end of the stream deletes the file.
    stream.reset("done");
    stream.closed().await;
    assert!(!file.exists());
}

fn check(kind: TransportKind, report: &Report, received: &[String]) {
    assert!(report.generations.is_sorted_by(|a, b| a < b), "{kind}: {:?}", report.generations);
    assert!(
        received.iter().enumerate().all(|(at, text)| !received[..at].contains(text)),
        "{kind}: twice"
    );
    let numbers: Vec<u64> =
        received.iter().filter_map(|text| text.strip_prefix("message ")?.parse().ok()).collect();
    assert!(numbers.is_sorted(), "{kind}: {numbers:?}");
    let missing: Vec<_> = report.queued.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "{kind}: queued and lost: {missing:?}");
    assert_eq!(received.last().map(String::as_str), Some("last"), "{kind}");
    // Each received message has the number of its echo; a process may die before its report.
    let echoes = &report.received;
    assert!(
        echoes.is_sorted_by(|a, b| a.0 < b.0),
        "{kind}: a message was received again: {echoes:?}"
    );
    assert!(
        echoes.iter().all(|(number, text)| received.get(*number as usize) == Some(text)),
        "{kind}"
    );
    assert!(
        echoes.len() + KILLS >= received.len(),
        "{kind}: {} of {}",
        echoes.len(),
        received.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_continue_one_stream_without_loss_or_repetition() {
    let program = Program::start();
    for kind in TransportKind::ALL {
        let (serving, received) = service(&program).await;
        let session = tokio::time::timeout(super::DEADLINE, run(&program, kind, &received));
        session.await.unwrap_or_else(|_| panic!("{kind}: not complete in time"));
        serving.abort();
        let _ = serving.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_stream_and_can_be_forgotten() {
    let program = Program::start();
    let _service = service(&program).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.session");
    let config = session_config(program.clients, TransportKind::Tcp, &path);
    assert!(matches!(SessionFile::open(&path), Err(SessionError::Busy { .. })));
    let stream = Stream::open(config.clone()).await.unwrap();
    let second = Stream::connect(config.clone()).err();
    assert!(matches!(second, Some(ConnectError::Session(SessionError::Busy { .. }))), "{second:?}");
    stream.send("a").await.unwrap();
    let id = stream.id().clone();
    drop(stream);
    let mut other = config.clone();
    other.service = "other".parse().unwrap();
    let refused = Stream::connect(other).err();
    assert!(matches!(refused, Some(ConnectError::Session(SessionError::OtherService { .. }))));

    // The same file continues the stream in this process, too.
    let again = Stream::open(config.clone()).await.unwrap();
    assert_eq!(again.id(), &id);
    assert!(again.rejoined().await.unwrap().is_some_and(|rejoin| rejoin.generation == 1));
    assert_eq!(again.recv().await, Some(Message::from("a")));
    drop(again);

    Stream::forget(config.clone()).await.unwrap();
    assert!(!path.exists());
    Stream::forget(config.clone()).await.unwrap();
    let fresh = Stream::open(config).await.unwrap();
    assert_ne!(fresh.id(), &id);
    assert_eq!(fresh.rejoined().await, Ok(None));
}
