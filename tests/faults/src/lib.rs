//! Faults on real processes: kills under load, slow readers, networks and stores that fail, with every
//! string counted at both ends.
//!
//! Clients run in this process, through the published SDK; what is harmed are processes of their own. The
//! benchmarks use the public modules to run theirs.

pub mod clock;
pub mod deployment;
pub mod memory;
pub mod ports;
pub mod process;
pub mod random;
pub mod redis_server;

mod app;
mod app_process;
mod balancer;
mod checker;
mod clients;
mod effects;
mod kill;
mod ledger;
mod message;
mod pressure;
pub mod proxy;
mod report;
mod traffic;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Harms a real Minerva under load and counts what arrives at both ends.
#[derive(Debug, Parser)]
enum Program {
    /// Kill the server, its parts or the application again and again while strings go both ways: none may
    /// be lost, doubled or reordered, and no stream may end.
    Kill(kill::Config),
    /// Send much both ways to slow readers: the server must stay small.
    Pressure(pressure::Config),
    /// The application service that `kill --target app` kills.
    #[command(hide = true)]
    App(app_process::Config),
}

/// Reads the options and does it.
///
/// # Errors
/// If a run could not be done; one that was and failed is told by the exit code.
pub async fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Program::parse() {
        Program::Kill(config) => kill::run(config).await,
        Program::Pressure(config) => pressure::run(config).await,
        Program::App(config) => app_process::run(config).await,
    }
}
