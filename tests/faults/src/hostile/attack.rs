//! `minerva-faults attack`: the clients of `hostile`, in a process of low priority, since attackers have machines of
//! their own. The last line of output has the figures of each kind.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use minerva_runtime::positive_duration;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::acts::{Attacker, Target};
use super::kind::{Kind, Kinds};
use crate::random::Random;
use crate::source_address::Sources;

/// Second byte and number of the source addresses, with at most 16 of 2,000 clients each.
const SOURCES: (u8, usize) = (7, 250);
/// Priority of the process.
const NICE: i32 = 10;

/// Options of `attack`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Addresses for HTTP, separated by commas.
    #[arg(long, value_delimiter = ',')]
    http: Vec<SocketAddr>,
    /// Addresses for raw TCP, separated by commas.
    #[arg(long, value_delimiter = ',')]
    tcp: Vec<SocketAddr>,
    /// Number of clients.
    #[arg(long)]
    clients: usize,
    /// Kinds of the clients, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Acts per second of each client, unless an act takes longer.
    #[arg(long)]
    rate: f64,
    /// Duration of the attack.
    #[arg(long, value_parser = positive_duration, value_name = "TIME")]
    seconds: Duration,
}

/// Figures of the clients of one kind.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KindFigures {
    pub(super) kind: Kind,
    pub(super) clients: usize,
    /// Begun acts.
    pub(super) acts: u64,
    /// Acts that ended with an error of the socket.
    pub(super) errors: u64,
}

#[derive(Debug, Default)]
struct Counters {
    acts: AtomicU64,
    errors: AtomicU64,
}

/// Attacks until the time is over.
pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    // Without the lower priority the attack only takes more of the processors.
    let _ = rustix::process::nice(NICE);
    let kinds = Kinds::new(&config.kinds);
    let counters: Vec<Arc<Counters>> = kinds.each().iter().map(|_| Arc::default()).collect();
    let mut clients = JoinSet::new();
    for number in 0..config.clients {
        let place = kinds.place_of(number);
        let (kind, counters) = (kinds.each()[place], Arc::clone(&counters[place]));
        // Clients of one kind are distributed over all addresses.
        let turn = number / kinds.each().len();
        let target = Target {
            http: config.http[turn % config.http.len()],
            tcp: config.tcp[turn % config.tcp.len()],
            sources: Sources::of(SOURCES.0, SOURCES.1),
        };
        clients.spawn(attack(Attacker::new(number, target), kind, config.rate, counters));
    }
    println!("ready");
    sleep(config.seconds).await;
    clients.shutdown().await;
    println!("{}", serde_json::to_string(&figures(&kinds, config.clients, &counters))?);
    Ok(ExitCode::SUCCESS)
}

async fn attack(mut attacker: Attacker, kind: Kind, rate: f64, counters: Arc<Counters>) {
    let mut random = Random::new(Random::fresh_seed());
    loop {
        // Up to twice the mean, so that the clients are not synchronous.
        sleep(Duration::from_secs_f64(2.0 * random.fraction() / rate)).await;
        counters.acts.fetch_add(1, Ordering::Relaxed);
        if attacker.act(kind).await.is_err() {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn figures(kinds: &Kinds, clients: usize, counters: &[Arc<Counters>]) -> Vec<KindFigures> {
    let of = |(kind, counters): (&Kind, &Arc<Counters>)| KindFigures {
        kind: *kind,
        clients: kinds.count(*kind, clients),
        acts: counters.acts.load(Ordering::Relaxed),
        errors: counters.errors.load(Ordering::Relaxed),
    };
    kinds.each().iter().zip(counters).map(of).collect()
}
