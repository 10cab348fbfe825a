//! One process of a run: started, killed without warning, stopped for a while, asked to end, started again
//! as the same.
//!
//! Knows nothing of what the program does, but that it prints a line when it is ready. Touches no
//! process that it did not start.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::clock;

pub use rustix::process::Signal;

/// Time for the program to say that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of its log is shown when it has ended by itself.
const LOG_TAIL_BYTES: usize = 4000;

/// A program with its arguments, which stay the same, and the process that runs it now.
pub struct Process {
    /// What reports call it.
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    /// Environment variables on top of this program's own.
    variables: Vec<(&'static str, OsString)>,
    /// Where what it prints goes, start after start.
    log: PathBuf,
    /// It is ready when it prints a line with this in it.
    ready_marker: &'static str,
    running: Option<Running>,
    /// How long each start took that was not cut short.
    starts: Arc<Mutex<Vec<Duration>>>,
    kills: u64,
}

struct Running {
    child: Child,
    /// Closed with this value, which tells the process that nobody needs it any more.
    input: ChildStdin,
    /// Told true when the process says that it is ready, and closed when it says no more.
    ready: watch::Receiver<bool>,
}

impl Process {
    /// Describes a process; starts nothing.
    pub fn new(
        name: impl Into<String>,
        program: PathBuf,
        arguments: Vec<OsString>,
        log: PathBuf,
    ) -> Self {
        let name = name.into();
        let starts = Arc::default();
        let variables = Vec::new();
        Self {
            name,
            program,
            arguments,
            variables,
            log,
            ready_marker: "",
            running: None,
            starts,
            kills: 0,
        }
    }

    /// It gets this environment variable.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// It is ready when it prints a line with `sign` in it; without this, with its first line.
    #[must_use]
    pub fn ready_when(mut self, ready_marker: &'static str) -> Self {
        self.ready_marker = ready_marker;
        self
    }

    /// What reports call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// How often it was killed.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// How long each start took that was not cut short.
    pub fn starts(&self) -> Vec<Duration> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the process, without waiting for it.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.context("no log file")?;
        let printed = log.try_clone().context("no log file")?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {:?}", self.program))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{} has no input or output", self.name);
        };
        let (ready_sender, ready) = watch::channel(false);
        let reader = OutputReader {
            output: BufReader::new(output).lines(),
            log: printed,
            ready_marker: self.ready_marker,
            ready: ready_sender,
            starts: Arc::clone(&self.starts),
        };
        tokio::spawn(reader.run());
        self.running = Some(Running { child, input, ready });
        Ok(())
    }

    /// Waits until the process says that it is ready.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { bail!("{} was not started", self.name) };
        let ready = async { running.ready.wait_for(|ready| *ready).await.map(drop) };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => bail!("{} ended before it was ready:\n{}", self.name, self.log()),
            Err(_) => bail!("{} is not ready after {START_TIMEOUT:?}:\n{}", self.name, self.log()),
        }
    }

    /// Writes a line to its input.
    pub async fn write_line(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { bail!("{} does not run", self.name) };
        let written = running.input.write_all(format!("{line}\n").as_bytes()).await;
        written.with_context(|| format!("{} takes no input", self.name))
    }

    /// Ends the process by SIGKILL. An error if it had ended by itself.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.check()?;
        if let Some(mut running) = self.running.take() {
            running.child.kill().await.with_context(|| format!("cannot kill {}", self.name))?;
            self.kills += 1;
        }
        Ok(())
    }

    /// Sends a signal, if the process runs.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Whether it has ended, and how; `None` while it runs or if it was not started.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.running.as_mut().and_then(|running| running.child.try_wait().ok()?);
        self.running.take_if(|_| ended.is_some());
        ended
    }

    /// Waits until it ends by itself, or because it was asked to.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let Some(running) = &mut self.running else { bail!("{} does not run", self.name) };
        let status = running.child.wait().await;
        self.running = None;
        status.with_context(|| format!("cannot wait for {}", self.name))
    }

    /// An error if the process has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let status = self.running.as_mut().map(|running| running.child.try_wait());
        match status {
            Some(Ok(Some(status))) => bail!("{} ended ({status}):\n{}", self.name, self.log()),
            Some(Ok(None) | Err(_)) | None => Ok(()),
        }
    }

    /// The end of its log.
    fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }
}

/// Reads what a process prints.
struct OutputReader {
    output: Lines<BufReader<ChildStdout>>,
    log: File,
    ready_marker: &'static str,
    ready: watch::Sender<bool>,
    starts: Arc<Mutex<Vec<Duration>>>,
}

impl OutputReader {
    /// Waits for the ready line, then reads on so that the program never blocks on its output.
    async fn run(mut self) {
        let spawned = clock::now();
        while let Ok(Some(line)) = self.output.next_line().await {
            // A log that is not complete spoils no run.
            let _ = writeln!(self.log, "{line}");
            if line.contains(self.ready_marker) && !self.ready.send_replace(true) {
                let took = clock::now().duration_since(spawned);
                self.starts.lock().unwrap_or_else(PoisonError::into_inner).push(took);
            }
        }
    }
}
