//! Faults on real processes: kills under load, and slow readers, with every string counted at both ends.
//!
//! Clients and the application service run in this process, through the published SDKs; the server is
//! a process of its own.

mod app;
mod checker;
mod clients;
mod clock;
mod kill;
mod ledger;
mod memory;
mod message;
mod pressure;
mod random;
mod report;
mod server;
mod traffic;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Kills and slows a real `minerva` under load and counts what arrives at both ends.
#[derive(Debug, Parser)]
enum Program {
    /// Kill the server again and again while strings go both ways: none may be lost, doubled or
    /// reordered, and no stream may end.
    Kill(kill::Config),
    /// Send much both ways to slow readers: the server must stay small.
    Pressure(pressure::Config),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Program::parse() {
        Program::Kill(config) => kill::run(config).await,
        Program::Pressure(config) => pressure::run(config).await,
    }
}
