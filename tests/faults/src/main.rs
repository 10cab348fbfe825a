//! Faults on real processes: kills under load, and slow readers, with every string counted at both ends.
//!
//! Clients and the application service run in this process, through the published SDKs; what is killed
//! are processes of their own.

mod app;
mod app_process;
mod balancer;
mod checker;
mod clients;
mod clock;
mod deployment;
mod effects;
mod kill;
mod ledger;
mod memory;
mod message;
mod pressure;
mod process;
mod random;
mod report;
mod traffic;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Kills and slows a real `minerva` under load and counts what arrives at both ends.
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

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Program::parse() {
        Program::Kill(config) => kill::run(config).await,
        Program::Pressure(config) => pressure::run(config).await,
        Program::App(config) => app_process::run(config).await,
    }
}
