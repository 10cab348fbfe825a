//! `minerva-faults half-open`: thousands of unfinished handshakes. Clients must be able to connect meanwhile, and the edge
//! must close each handshake at its deadline.

mod certificate;
mod findings;
mod handshake;
mod probe;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use minerva_runtime::positive_duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock;
use crate::fleet::{EdgePorts, Fleet, Options, Plan};
use crate::random::Random;
use crate::report::OutputOptions;
use crate::source_address::Sources;
use crate::traffic::StopFlag;

use findings::{Findings, Ledger};
use handshake::{Handshake, Target};

/// Second byte and number of the source addresses: less than `--max-connections-per-address` of 3,000 clients each.
const SOURCES: (u8, usize) = (7, 100);
/// Time for the last handshakes to be closed by the edge, beyond the longest deadline.
const END_TIME: Duration = Duration::from_secs(20);
/// Deadline for the end of all connections.
const CLOSE_TIME: Duration = Duration::from_secs(10);
const CONNECTIONS: &str = "minerva_edge_connections";

/// Options of `half-open`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Number of unfinished handshakes at the same time, of all kinds in turn.
    #[arg(long, default_value_t = 3000)]
    handshakes: usize,
    /// Duration of the run; a closed handshake is replaced by another one.
    #[arg(long, default_value = "60s", value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
    /// Clients per second that connect, receive the answer to one message, and end their stream.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Time in which such a client must be served.
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "TIME")]
    within: Duration,
    /// Permitted time of a close behind its deadline.
    #[arg(long, default_value = "2s", value_parser = positive_duration, value_name = "TIME")]
    late: Duration,
    /// Seed of the ports; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}, {} unfinished handshakes", config.handshakes);
    let directory = tempfile::tempdir()?;
    let mut plan = config.plan()?;
    plan.edge_ports =
        EdgePorts { has_proxy: true, tls: Some(certificate::create(directory.path())?) };
    let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
    let outcome = config.measure(&mut fleet).await;
    fleet.exit_code(outcome, config.output.keep)
}

impl Config {
    fn plan(&self) -> anyhow::Result<Plan> {
        if self.handshakes == 0 || !self.rate.is_finite() || self.rate <= 0.0 {
            bail!("--handshakes and --rate must be above 0");
        }
        let mut plan = self.fleet.plan(1, 0)?;
        // With a trusted proxy no other loopback address is exempt from the limits per address.
        plan.edge_option.push("--trust-forwarded-for=127.0.0.1".into());
        Ok(plan)
    }

    async fn measure(&self, fleet: &mut Fleet) -> anyhow::Result<bool> {
        fleet.start().await?;
        let (ledger, stop) = (Arc::new(Ledger::default()), StopFlag::default());
        let targets: Vec<_> = fleet.edges.iter().filter_map(Target::of).collect();
        let mut handshakes = JoinSet::new();
        for number in 0..self.handshakes {
            let target = targets[number / Handshake::ALL.len() % targets.len()];
            let sources = Sources::of(SOURCES.0, SOURCES.1);
            let handshake = Handshake::of(number);
            let held = handshake::hold(
                handshake,
                number,
                target,
                sources,
                Arc::clone(&ledger),
                stop.clone(),
            );
            handshakes.spawn(held);
        }
        probe::run(fleet.address, self.rate, self.within, self.seconds, &ledger).await;
        stop.stop();
        let ended = tokio::time::timeout(handshake::LONGEST + END_TIME, async {
            while handshakes.join_next().await.is_some() {}
        });
        let all_closed = ended.await.is_ok();
        let open = connections_left(fleet).await?;
        let exits = fleet.restart_ended()?;
        Findings { late: self.late, all_closed, open, exits }
            .report(&ledger, self.output.figures.json.as_deref())
    }
}

/// Open connections of each edge, once there are none, or at the deadline: the stream of a healthy client may end later
/// than the client.
async fn connections_left(fleet: &Fleet) -> anyhow::Result<Vec<u64>> {
    let start = clock::now();
    loop {
        let open = fleet.edge_metric(CONNECTIONS).await?;
        let is_over = clock::now().duration_since(start) > CLOSE_TIME;
        if is_over || open.iter().all(|open| *open == 0) {
            return Ok(open);
        }
        sleep(Duration::from_millis(100)).await;
    }
}
