//! How a Minerva program shows itself to its operator: logs on standard error, exit codes, the two
//! signals that stop it, the admin port, and the questions to it and to its machine. Called by each
//! program's `main.rs`; knows nothing of streams.

mod admin;
pub mod doctor;
mod health;
mod threads;
mod values;

pub use admin::{Admin, Readiness};
pub use health::{HealthError, Task, health};
pub use threads::{ThreadConfig, half_of_processors, runtime, threads};
pub use values::{address, duration, positive_duration};

use std::fmt::Display;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit code for a wrong option or a configuration that cannot work (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;

/// Runs a program: reads its options from the command line and the environment, runs it on as many threads
/// as they say, and turns an error into a message and an exit code: [`EXIT_CONFIG`] if `is_config` says that the
/// operator has to change an option.
pub fn program<O, E, Run>(
    name: &str,
    threads: impl FnOnce(&O) -> Option<usize>,
    run: impl FnOnce(O) -> Run,
    is_config: impl FnOnce(&E) -> bool,
) -> ExitCode
where
    O: clap::Parser,
    E: Display,
    Run: Future<Output = Result<(), E>>,
{
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { EXIT_CONFIG.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match runtime(threads(&options)) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(options));
    // What is left may wait for sockets; nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            if is_config(&error) { EXIT_CONFIG.into() } else { ExitCode::FAILURE }
        }
    }
}

/// Options about logging; every program has them.
#[derive(Debug, Clone, clap::Args)]
pub struct LogConfig {
    /// What to log: a level (error, warn, info, debug, trace) or tracing directives such as
    /// `info,minerva_core=debug`. Stream ids, credentials and strings are never logged.
    #[arg(long = "log", env = "MINERVA_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
}

impl LogConfig {
    /// Starts logging to standard error.
    ///
    /// # Errors
    /// A message that names the option, if the filter cannot be parsed.
    pub fn start(&self) -> Result<(), ConfigError> {
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| {
            ConfigError::new(
                "--log",
                error,
                "use a level such as `info`, or `info,minerva_core=debug`",
            )
        })?;
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        // A second start in one process (tests) keeps the first one's settings.
        let _ = logs.try_init();
        Ok(())
    }
}

/// A wrong option: what is wrong with it and what to do. Programs print it and exit with
/// [`EXIT_CONFIG`].
#[derive(Debug, thiserror::Error)]
#[error("{option}: {problem}\n  fix: {fix}")]
pub struct ConfigError {
    option: String,
    problem: String,
    fix: String,
}

impl ConfigError {
    /// Names the option, the problem and the fix.
    pub fn new(option: impl Into<String>, problem: impl Display, fix: impl Into<String>) -> Self {
        Self { option: option.into(), problem: problem.to_string(), fix: fix.into() }
    }

    /// An address that cannot be listened on.
    pub fn cannot_listen(option: &str, address: SocketAddr, error: &std::io::Error) -> Self {
        let problem = format!("cannot listen on {address}: {error}");
        Self::new(option, problem, "choose a free address of this machine, or stop what uses it")
    }
}

/// The signal that asks a program to read its files again: SIGHUP. Without one of these it ends the program.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Starts listening for the signal.
    ///
    /// # Errors
    /// If the system refuses a signal handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// The signals that stop a program: SIGTERM and SIGINT. The first asks it to drain, the second to exit
/// at once.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Starts listening for the signals.
    ///
    /// # Errors
    /// If the system refuses a signal handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
