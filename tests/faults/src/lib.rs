//! Faults on real processes: kills under load, slow readers, networks and stores that fail, with every
//! message counted at both ends.
//!
//! Clients run in this process, through the published SDK; what is harmed are processes of their own. The
//! benchmarks use the public modules to run theirs.

pub mod clock;
pub mod deployment;
pub mod memory;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod random;
pub mod redis_server;

mod app;
mod app_instance;
mod app_process;
mod audit;
mod balancer;
mod checker;
mod clients;
mod effects;
mod event_log;
mod external_load;
mod fault;
mod fault_injector;
mod fleet;
mod kill;
mod ledger;
mod load;
mod message;
mod outage;
mod pressure;
mod report;
mod rollback;
mod run;
mod slow;
mod traffic;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Harms a real Minerva under load and counts what arrives at both ends.
#[derive(Debug, Parser)]
enum Program {
    /// Kill the server, its parts or the application again and again while messages go both ways: none may
    /// be lost, duplicated or reordered, and no stream may end.
    Kill(kill::Config),
    /// NetworkFault everything in a deployment of several cores, edges and application instances on Redis, at random
    /// moments: no message may be lost, duplicated or reordered, and no stream may end without a cause.
    Run(run::Config),
    /// Take Redis away for a while: nothing may be acknowledged meanwhile, nothing may grow, and all must
    /// arrive soon after.
    Outage(outage::Config),
    /// Replace Redis by an older copy of itself: streams that lost something must end with `state lost` on both
    /// sides, and no others.
    Rollback(rollback::Config),
    /// Send much both ways to slow readers: the server must stay small.
    Pressure(pressure::Config),
    /// Send messages through a deployment that somebody else runs and harms, with `answer` as its application.
    Load(external_load::Config),
    /// Read slowly, through a deployment that somebody else runs, what an application sends quickly: the
    /// application must be paused, and no process may grow.
    Slow(slow::Config),
    /// The application service that `kill --target app` kills.
    #[command(hide = true)]
    App(app_process::Config),
    /// One application instance of `run`.
    #[command(hide = true)]
    Answer(app_instance::Config),
}

/// Reads the options and does it.
///
/// # Errors
/// If a run could not be done; one that was and failed is told by the exit code.
pub async fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let program = Program::parse();
    if let Program::Answer(config) = program {
        return app_instance::run(config).await;
    }
    run_until_signal(run(program)).await
}

/// Runs something unless this process is asked to stop. What it has started is killed when it is dropped, so nothing is
/// left.
///
/// # Errors
/// What it fails with, or that it was to stop.
pub async fn run_until_signal<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => bail!("stopped by SIGTERM"),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn run(program: Program) -> anyhow::Result<ExitCode> {
    match program {
        Program::Kill(config) => kill::run(config).await,
        Program::Run(config) => run::run(config).await,
        Program::Outage(config) => outage::run(config).await,
        Program::Rollback(config) => rollback::run(config).await,
        Program::Pressure(config) => pressure::run(config).await,
        Program::Load(config) => external_load::run(config).await,
        Program::Slow(config) => slow::run(config).await,
        Program::App(config) => app_process::run(config).await,
        Program::Answer(config) => app_instance::run(config).await,
    }
}
