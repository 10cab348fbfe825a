//! Benchmarks of a complete Minerva on Redis, each part a separate process, relative to the floor: a bare WebSocket
//! echo server in the same run. Machines differ, so only ratios within one run are comparable.

mod bare;
mod chart;
mod compare;
mod compression;
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
    /// Throughput: 100 streams with 64 messages of 64 bytes in flight each.
    Pipe(workload::Options),
    /// 100 streams with one message in flight each.
    Echo(workload::Options),
    /// One stream with one message in flight: the round-trip time.
    Rtt1(workload::Options),
    /// `pipe` with a bar of 4 microseconds of Redis CPU per message.
    Redis(workload::Options),
    /// `pipe`, `echo` and `rtt1`.
    All(workload::Options),
    /// Group sends of one message to 1,000 streams.
    FanOut(fan_out::Options),
    /// Memory of idle connections. Bars: 7 KB in the edge per WebSocket, 24 KB per long-poll, 2 KB in the core per
    /// stream.
    Idle(idle::Options),
    /// Opening of 5,000 streams at full speed.
    ConnectStorm(connect_storm::Options),
    /// Resumption of 5,000 streams after a kill of their edge. Bars: 10 s until all are back, less than one processor
    /// in the core meanwhile, no lost message.
    ResumeStorm(resume_storm::Options),
    /// Takeover of a core with much state after a kill. Bar: 2 s after the end of the last lease.
    Recovery(recovery::Options),
    /// Cost of a message by the number of streams, the message length and the number of edges. Bar: 1.3 times the cost,
    /// from the first to the last number of streams at the same total rate.
    Grow(grow::Options),
    /// 200 fast clients, without and with a slow client. Bar: 1.5 times the p99 of the fast clients.
    SlowOne(Config),
    /// Compression of wire version 3. Bars for JSON: 15 ns per byte, ratio 0.4.
    Compression(compression::Options),
    /// The measured application service.
    #[command(hide = true)]
    App(echo::Config),
    /// The measured bare server.
    #[command(hide = true)]
    Bare(bare::Config),
}

/// Exit code 1: a bar was not met; 2: a measurement failed.
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
    /// The measured application and bare server have as many threads as edge and core; the load uses all processors.
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
        Program::Compression(options) => compression::measure(&options),
        Program::App(config) => echo::run(config).await.map(|()| true),
        Program::Bare(config) => bare::run(config).await.map(|()| true),
    }
}
