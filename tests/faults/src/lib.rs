//! Fault tests on real processes: kills under load, slow readers, failing networks and stores, with every message
//! counted at both ends.
//!
//! The clients run in this process, on the published SDK; the servers and the killed application are separate
//! processes. The benchmarks use the public modules to start theirs.

pub mod clock;
pub mod deployment;
pub mod memory;
pub mod nginx;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod random;
pub mod redis_server;

mod admin;
mod app;
mod app_instance;
mod app_process;
mod audit;
mod balancer;
mod checker;
mod clients;
mod clock_steps;
mod damage;
mod effects;
mod ends;
mod event_log;
mod external_load;
mod fault;
mod fault_injector;
mod fleet;
mod half_open;
mod held;
mod hostile;
mod kill;
mod ledger;
mod load;
mod message;
mod outage;
mod poison;
mod pressure;
mod report;
mod reset_proofs;
mod rollback;
mod round_trips;
mod run;
mod slow;
mod source_address;
mod traffic;
mod upgrade;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Injects faults into a real Minerva under load and counts the messages at both ends.
#[derive(Debug, Parser)]
enum Program {
    /// Kill the server, its parts or the application repeatedly under two-way load. Messages must arrive once and in
    /// order, and no stream may end.
    Kill(kill::Config),
    /// Inject all kinds of faults at random moments into cores, edges, application instances and Redis. Messages must
    /// arrive once and in order; no stream may end without a cause.
    Run(run::Config),
    /// Make Redis unavailable for a while. No message may be acknowledged meanwhile, memory must stay bounded, and all
    /// messages must arrive soon after.
    Outage(outage::Config),
    /// Replace Redis by an older copy of its data. Only streams with lost data may end, with `state lost` on both
    /// sides.
    Rollback(rollback::Config),
    /// Replace the programs of a deployment by those of another version, one by one. No message may be lost, and no stream
    /// may end.
    Upgrade(upgrade::Config),
    /// Step the wall clock of Redis back and forward while a core is dead. The other cores take over as usual.
    Clock(clock_steps::Config),
    /// Damage stored bytes at random positions. No message may be taken for another, and undamaged partitions go on.
    Damage(damage::Config),
    /// Send much data both ways to slow readers. The server's memory must stay small.
    Pressure(pressure::Config),
    /// Attack the client ports with many hostile clients beside healthy ones. Healthy clients must be served as before,
    /// and memory must stay within the documented budget.
    Hostile(hostile::Config),
    /// Hold thousands of unfinished handshakes open. Clients must be able to connect, and every handshake must be closed
    /// at its deadline.
    HalfOpen(half_open::Config),
    /// Let one stream kill each application instance that processes it. Other streams must be served as before, and the
    /// deaths must become rare.
    Poison(poison::Config),
    /// Send messages through a deployment of somebody else, with `answer` as its application.
    Load(external_load::Config),
    /// Read slowly from a fast application, through a deployment of somebody else. The application must be paused, and
    /// no process may grow.
    Slow(slow::Config),
    /// The application service under `kill --target app`.
    #[command(hide = true)]
    App(app_process::Config),
    /// The rows of a redb file, for `damage`.
    #[command(hide = true)]
    Rows(damage::redb_image::Config),
    /// The clients of `hostile`.
    #[command(hide = true)]
    Attack(hostile::AttackConfig),
    /// The application service of the clients of `hostile`.
    #[command(hide = true)]
    Flood(hostile::FloodConfig),
    /// One application instance of `run`.
    #[command(hide = true)]
    Answer(app_instance::Config),
}

/// Parses the options and runs the command.
///
/// # Errors
/// If the run could not be completed. A failed check is an exit code, not an error.
pub async fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let program = Program::parse();
    if let Program::Answer(config) = program {
        return app_instance::run(config).await;
    }
    run_until_signal(run(program)).await
}

/// Runs a future until SIGTERM or SIGINT. Dropping the future kills the processes it started.
///
/// # Errors
/// The error of the future, or the signal.
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
        Program::Upgrade(config) => upgrade::run(config).await,
        Program::Clock(config) => clock_steps::run(config).await,
        Program::Damage(config) => damage::run(config).await,
        Program::Rows(config) => damage::redb_image::run(&config),
        Program::Pressure(config) => pressure::run(config).await,
        Program::Hostile(config) => hostile::run(config).await,
        Program::HalfOpen(config) => half_open::run(config).await,
        Program::Poison(config) => poison::run(config).await,
        Program::Attack(config) => hostile::attack(config).await,
        Program::Flood(config) => hostile::flood(config).await,
        Program::Load(config) => external_load::run(config).await,
        Program::Slow(config) => slow::run(config).await,
        Program::App(config) => app_process::run(config).await,
        Program::Answer(config) => app_instance::run(config).await,
    }
}
