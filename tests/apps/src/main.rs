//! `minerva-apps`: runs real app services against a real deployment, kills them, and checks what clients get.
//! One set of checks for apps in every language, so that they cannot differ. What exactly once means for an app that
//! stores effects is checked by `ledger`.

mod client;
mod clock;
mod gateway;
mod ledger;
mod parrot;
mod report;
mod stage;
mod traffic;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::report::Report;

/// Runs app services, kills them, and checks what clients get. The last line says how many checks passed.
#[derive(Debug, Parser)]
enum Program {
    /// The parrot in every language and on every store: starts, answers, ends, flow control, kills.
    Parrot(parrot::Config),
    /// The ledger, killed at five points of handling a string: each effect and each answer must be there once.
    Ledger(ledger::Config),
    /// The TCP gateway in front of a Redis: bytes both ways, slow sides, and how connections end.
    Gateway(gateway::Config),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::ERROR).init();
    let mut asked = signal(SignalKind::terminate())?;
    tokio::select! {
        report = run(Program::parse()) => Ok(report?.conclude()),
        // What was started is killed when it is dropped.
        _ = asked.recv() => bail!("asked to stop"),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn run(program: Program) -> anyhow::Result<Report> {
    match program {
        Program::Parrot(config) => parrot::run(config).await,
        Program::Ledger(config) => ledger::run(config).await,
        Program::Gateway(config) => gateway::run(config).await,
    }
}
