//! The process under test: `minerva` on fixed ports with a data directory of its own.
//!
//! Starts it, kills it without warning, starts it again. Touches no process that it did not start.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

use crate::clock;
use crate::random::Random;

/// Time for the program to say that it is ready.
const START: Duration = Duration::from_secs(60);
/// How much of its log is shown when it has ended by itself.
const SHOWN_LOG: usize = 4000;
/// Ports to choose from: below those that the system gives to outgoing connections, so that no client
/// takes one while the server is down.
const PORTS: (u64, u64) = (20_000, 29_999);

/// The server and what it needs to come back as the same.
pub(crate) struct Server {
    program: PathBuf,
    /// Holds the store and the log; deleted with this value.
    directory: TempDir,
    listen: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
    running: Option<Running>,
    /// How long each start took that was not cut short.
    starts: Arc<Mutex<Vec<Duration>>>,
}

struct Running {
    child: Child,
    /// Told true when the process says that it is ready, and closed when it says no more.
    ready: watch::Receiver<bool>,
}

impl Server {
    /// Chooses ports and a directory; starts nothing.
    pub(crate) fn new(program: PathBuf, random: &mut Random) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let (listen, api) = (free_address(random)?, free_address(random)?);
        let admin = free_address(random)?;
        Ok(Self { program, directory, listen, api, admin, running: None, starts: Arc::default() })
    }

    /// Where clients connect.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where application services connect.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// Starts the process, without waiting for it.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path());
        let mut child = Command::new(&self.program)
            .args(["--demo", "off", "--listen", &self.listen.to_string()])
            .args(["--api", &self.api.to_string(), "--admin", &self.admin.to_string()])
            .arg("--data-dir")
            .arg(self.directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.context("no log file")?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {:?}", self.program))?;
        let Some(stdout) = child.stdout.take() else { bail!("the server has no output") };
        let (told, ready) = watch::channel(false);
        tokio::spawn(listen(BufReader::new(stdout).lines(), told, Arc::clone(&self.starts)));
        self.running = Some(Running { child, ready });
        Ok(())
    }

    /// Waits until the process says that it is ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { bail!("the server was not started") };
        let ready = async { running.ready.wait_for(|ready| *ready).await.map(drop) };
        match tokio::time::timeout(START, ready).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => bail!("the server ended before it was ready:\n{}", self.log()),
            Err(_) => bail!("the server is not ready after {START:?}:\n{}", self.log()),
        }
    }

    /// How long each start took that was not cut short.
    pub(crate) fn starts(&self) -> Vec<Duration> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process by SIGKILL. An error if it had ended by itself.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.check()?;
        if let Some(mut running) = self.running.take() {
            running.child.kill().await.context("cannot kill the server")?;
        }
        Ok(())
    }

    /// An error if the process has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let status = self.running.as_mut().map(|running| running.child.try_wait());
        match status {
            Some(Ok(Some(status))) => bail!("the server ended ({status}):\n{}", self.log()),
            Some(Ok(None) | Err(_)) | None => Ok(()),
        }
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN_LOG)..]).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }
}

/// The program `minerva` that was built along with this one.
pub(crate) fn beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program's own path")?;
    let found = this.parent().map(|directory| directory.join("minerva"));
    found
        .filter(|path| path.exists())
        .context("minerva is not beside this program: build it, or name its path with --minerva")
}

/// Waits for the ready line, then reads on so that the program never blocks on its output.
async fn listen(
    mut output: Lines<BufReader<ChildStdout>>,
    ready: watch::Sender<bool>,
    starts: Arc<Mutex<Vec<Duration>>>,
) {
    let spawned = clock::now();
    while let Ok(Some(_)) = output.next_line().await {
        if !ready.send_replace(true) {
            let took = clock::now().duration_since(spawned);
            starts.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }
}

fn free_address(random: &mut Random) -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let port = random.between(PORTS.0, PORTS.1) as u16;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().context("no local address");
        }
    }
    bail!("no free port");
}
