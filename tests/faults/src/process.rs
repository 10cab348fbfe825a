//! A child process with a fixed command line that can be killed, suspended, terminated and restarted.
//!
//! Readiness is a line on the standard output. Only processes started by this module are signalled.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::clock;

pub use rustix::process::Signal;

/// Deadline for the ready line.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of the log in an error about an unexpected exit.
const LOG_TAIL_BYTES: usize = 4000;

/// A program with its arguments, and the process that currently runs it.
pub struct Process {
    /// Name in reports.
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    /// Environment variables in addition to the inherited ones.
    variables: Vec<(&'static str, OsString)>,
    /// File for the output of all starts, appended.
    log: PathBuf,
    /// A line that contains this text marks readiness.
    ready_marker: &'static str,
    running: Option<Running>,
    /// Durations of the completed starts.
    starts: Arc<Mutex<Vec<Duration>>>,
    kills: u64,
}

struct Running {
    child: Child,
    spawned: Instant,
    /// Closed on drop; the process exits at the end of its input.
    input: ChildStdin,
    /// Becomes true at the ready line; closed at the end of the output.
    ready: watch::Receiver<bool>,
}

impl Process {
    /// Describes a process without a start.
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

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Sets the text of the ready line; without a call, the first line marks readiness.
    #[must_use]
    pub fn ready_when(mut self, ready_marker: &'static str) -> Self {
        self.ready_marker = ready_marker;
        self
    }

    /// The name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program of the next start.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Sets the program of the next start.
    pub(crate) fn set_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Sets or removes an environment variable for the next start.
    pub(crate) fn set_variable(&mut self, name: &'static str, value: Option<OsString>) {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.extend(value.map(|value| (name, value)));
    }

    /// The file for the output of all starts.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// The process id, while the process runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// Returns true if the process has run for `time` since its start.
    pub(crate) fn has_run_for(&self, time: Duration) -> bool {
        let spawned = self.running.as_ref().map(|running| running.spawned);
        spawned.is_some_and(|spawned| clock::now().duration_since(spawned) >= time)
    }

    /// Number of kills.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// Durations of the completed starts.
    pub fn starts(&self) -> Vec<Duration> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the process without waiting for readiness.
    ///
    /// # Errors
    /// If the program cannot be started.
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
        self.running = Some(Running { child, spawned: clock::now(), input, ready });
        Ok(())
    }

    /// Waits until the process is ready.
    ///
    /// # Errors
    /// If the process ends first or misses the deadline; the error includes the end of the log.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { bail!("{} was not started", self.name) };
        let ready = async { running.ready.wait_for(|ready| *ready).await.map(drop) };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => bail!("{} ended before it was ready:\n{}", self.name, self.log()),
            Err(_) => bail!("{} is not ready after {START_TIMEOUT:?}:\n{}", self.name, self.log()),
        }
    }

    /// Writes a line to the standard input of the process.
    ///
    /// # Errors
    /// If the process is not running.
    pub async fn write_line(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { bail!("{} does not run", self.name) };
        let written = running.input.write_all(format!("{line}\n").as_bytes()).await;
        written.with_context(|| format!("{} takes no input", self.name))
    }

    /// Kills the process with SIGKILL.
    ///
    /// # Errors
    /// If the process had already ended.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.check()?;
        if let Some(mut running) = self.running.take() {
            running.child.kill().await.with_context(|| format!("cannot kill {}", self.name))?;
            self.kills += 1;
        }
        Ok(())
    }

    /// Sends a signal, if the process runs.
    ///
    /// # Errors
    /// If the system rejects the signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// The exit status; `None` while the process runs or without a start.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.running.as_mut().and_then(|running| running.child.try_wait().ok()?);
        self.running.take_if(|_| ended.is_some());
        ended
    }

    /// Waits for the exit of the process.
    ///
    /// # Errors
    /// If the process is not running.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let Some(running) = &mut self.running else { bail!("{} does not run", self.name) };
        let status = running.child.wait().await;
        self.running = None;
        status.with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Checks that the process has not ended.
    ///
    /// # Errors
    /// If the process has ended; the error includes the end of the log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let status = self.running.as_mut().map(|running| running.child.try_wait());
        match status {
            Some(Ok(Some(status))) => bail!("{} ended ({status}):\n{}", self.name, self.log()),
            Some(Ok(None) | Err(_)) | None => Ok(()),
        }
    }

    /// The end of the log.
    fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }
}

/// Copies the output of a process to the log.
struct OutputReader {
    output: Lines<BufReader<ChildStdout>>,
    log: File,
    ready_marker: &'static str,
    ready: watch::Sender<bool>,
    starts: Arc<Mutex<Vec<Duration>>>,
}

impl OutputReader {
    /// Waits for the ready line, then reads on, so that the process never blocks on its output.
    async fn run(mut self) {
        let spawned = clock::now();
        while let Ok(Some(line)) = self.output.next_line().await {
            // An incomplete log does not fail the run.
            let _ = writeln!(self.log, "{line}");
            if line.contains(self.ready_marker) && !self.ready.send_replace(true) {
                let took = clock::now().duration_since(spawned);
                self.starts.lock().unwrap_or_else(PoisonError::into_inner).push(took);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_of_a_process_begins_with_its_last_start() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("cat.log");
        let mut process = Process::new("cat", "/bin/cat".into(), Vec::new(), log);
        assert!(!process.has_run_for(Duration::ZERO), "not started");
        process.spawn().unwrap();
        assert!(process.has_run_for(Duration::ZERO));
        assert!(!process.has_run_for(Duration::from_secs(3600)));
        process.kill().await.unwrap();
        assert!(!process.has_run_for(Duration::ZERO), "killed");
    }
}
