//! Benchmarks: a whole Minerva on Redis, each part a process of its own, and beside it in the same run a bare
//! WebSocket server that echoes, which is the floor. Only ratios in one run say something; machines differ.

mod bare;
mod chart;
mod compare;
mod config;
mod connect_storm;
mod connection;
mod count;
mod descriptors;
mod echo;
mod fan_out;
mod figures;
mod grow;
mod histogram;
mod http;
mod idle;
mod loader;
mod metrics;
mod nginx;
mod poll;
mod quantiles;
mod receive_state;
mod recovery;
mod resume_storm;
mod sheet;
mod size;
mod slow_client;
mod socket;
mod tcp;
mod test_bed;
mod usage;
mod wire;
mod workload;

use std::process::ExitCode;

use clap::Parser;
use minerva_faults::run_until_signal;
use minerva_runtime::{half_of_processors, runtime};

use config::Config;
use workload::Workload;

/// Measures Minerva against a bare WebSocket server.
#[derive(Debug, Parser)]
enum Program {
    /// 100 streams with 64 messages of 64 bytes in flight each, as many as go through.
    Pipe(workload::Options),
    /// 100 streams with one message in flight each.
    Echo(workload::Options),
    /// One stream with one message in flight: how long a round trip takes.
    Rtt1(workload::Options),
    /// `pipe`, and what it costs Redis: the bar is 4 microseconds of its CPU per message.
    Redis(workload::Options),
    /// `pipe`, `echo` and `rtt1`.
    All(workload::Options),
    /// One message to 1,000 streams by a group send, again and again.
    FanOut(fan_out::Options),
    /// Memory per open connection and per stream while nothing is said: the bars are 7 KB of the edge for a WebSocket, 24 KB
    /// for a long-poll, and 2 KB of the core for a stream.
    Idle(idle::Options),
    /// 5,000 streams opened as quickly as can be.
    ConnectStorm(connect_storm::Options),
    /// 5,000 streams whose edge is killed: the bars are 10 s until all are back on another one, less than one processor
    /// for the core meanwhile, and no message lost.
    ResumeStorm(resume_storm::Options),
    /// A core with much state is killed and another one takes over: the bar is 2 s after the last lease has run out.
    Recovery(recovery::Options),
    /// What a message costs as streams, messages and edges become more or longer: the bar is 1.3 times the cost from the
    /// first to the last number of streams, at the same rate of them all.
    Grow(grow::Options),
    /// 200 quick clients, without and with a slow one beside them: the bar is 1.5 times the quick ones' p99.
    SlowOne(Config),
    /// The application service that is measured.
    #[command(hide = true)]
    App(echo::Config),
    /// The bare server that is measured.
    #[command(hide = true)]
    Bare(bare::Config),
}

/// The exit code is 1 if a bar was not met, and 2 if something could not be measured.
fn main() -> ExitCode {
    let program = Program::parse();
    let outcome = runtime(program.threads())
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run_until_signal(run(program))));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("minerva-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Program {
    /// What is measured has as many threads as edge and core, the bare server too; the load takes what it needs.
    fn threads(&self) -> Option<usize> {
        matches!(self, Self::App(_) | Self::Bare(_)).then(half_of_processors)
    }
}

/// False if a bar was not met.
async fn run(program: Program) -> anyhow::Result<bool> {
    match program {
        Program::Pipe(options) => workload::measure(&options, &[Workload::Pipe]).await,
        Program::Echo(options) => workload::measure(&options, &[Workload::Echo]).await,
        Program::Rtt1(options) => workload::measure(&options, &[Workload::Rtt1]).await,
        Program::Redis(options) => workload::measure(&options, &[Workload::Redis]).await,
        Program::All(options) => {
            let all = [Workload::Pipe, Workload::Echo, Workload::Rtt1];
            workload::measure(&options, &all).await
        }
        Program::FanOut(options) => fan_out::measure(&options).await,
        Program::Idle(options) => idle::measure(&options).await,
        Program::ConnectStorm(options) => connect_storm::measure(&options).await,
        Program::ResumeStorm(options) => resume_storm::measure(&options).await,
        Program::Recovery(options) => recovery::measure(&options).await,
        Program::Grow(options) => grow::measure(&options).await,
        Program::SlowOne(config) => slow_client::measure(&config).await,
        Program::App(config) => echo::run(config).await.map(|()| true),
        Program::Bare(config) => bare::run(config).await.map(|()| true),
    }
}
