//! `minerva-apps`: runs app services on a real deployment, kills processes, and checks the messages of the clients.
//! Apps in all languages share one set of checks; `ledger` checks exactly-once effects in a database.

mod client;
mod clock;
mod deployment;
mod gateway;
mod ledger;
mod parrot;
mod qan;
mod report;
mod traffic;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::report::Report;

/// Runs app services, kills processes, and checks the messages of the clients. The last line has the totals.
#[derive(Debug, Parser)]
enum Program {
    /// The parrot in every language and on every store: answers, ends, flow control, kills.
    Parrot(parrot::Config),
    /// The ledger, killed at five points of handling a message: effects and answers exactly once.
    Ledger(ledger::Config),
    /// Questions in both directions while the program is killed: one answer each, and no stream ends.
    Qan(qan::Config),
    /// The TCP gateway in front of a Redis: relayed bytes, back-pressure, ends of connections.
    Gateway(gateway::Config),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::ERROR).init();
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        report = run(Program::parse()) => Ok(report?.conclude()),
        // Dropping the run kills all processes.
        _ = terminated.recv() => bail!("terminated"),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn run(program: Program) -> anyhow::Result<Report> {
    match program {
        Program::Parrot(config) => parrot::run(config).await,
        Program::Ledger(config) => ledger::run(config).await,
        Program::Qan(config) => qan::run(config).await,
        Program::Gateway(config) => gateway::run(config).await,
    }
}
