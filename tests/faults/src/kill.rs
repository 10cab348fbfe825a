//! `minerva-faults kill`: the server is killed again and again while strings go both ways.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use minerva_client::TransportKind;
use serde::Serialize;
use tokio::time::sleep;

use crate::app;
use crate::clients::{self, Client};
use crate::clock;
use crate::ledger::Ledger;
use crate::message::{Direction, Length};
use crate::random::Random;
use crate::report::{self, Checks, Pauses, Row};
use crate::server::{self, Server};
use crate::traffic::{Behaviour, Lane, Stop, Supply};

/// Longest padding of a string: most strings of real applications are short.
const PADDING: usize = 200;
/// Traffic before the first kill and after the last one, so that every stream is under way.
const CALM: Duration = Duration::from_secs(2);
/// Draining is given up if nothing has arrived for so long.
const STUCK: Duration = Duration::from_secs(30);
/// How long is waited for strings that come again after everything has arrived.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Options of `kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The program `minerva`; the one beside this program if not given.
    #[arg(long)]
    minerva: Option<PathBuf>,
    /// How often it is killed.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Seconds in which that happens, at random moments.
    #[arg(long, default_value_t = 60)]
    duration: u64,
    /// Streams.
    #[arg(long, default_value_t = 50)]
    streams: usize,
    /// Strings a second, per stream and direction.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Transports, given to the streams in turn; all of them if not given.
    #[arg(long, value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Decides the moments of the kills; random if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the figures as JSON to this file; `-` is the output.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Everything that a run found.
#[derive(Serialize)]
struct Findings {
    seed: u64,
    kills: u64,
    rows: Vec<Row>,
    reconnects: BTreeMap<String, u64>,
    /// How long the server took to be ready, each time it got there.
    starts: Pauses,
    #[serde(flatten)]
    checks: Checks,
}

/// A run under way.
struct Run {
    server: Server,
    random: Random,
    ledger: Arc<Ledger>,
    stop: Stop,
    clients: Vec<Client>,
}

/// Does it all.
pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let mut run = Run::start(&config, seed).await?;
    sleep(CALM).await;
    let kills = run.kill_at_random(&config).await?;
    sleep(CALM).await;
    let drained = run.drain().await?;
    let findings = run.judge(seed, kills, &config, drained);
    report::print(&findings.rows);
    for (transport, number) in &findings.reconnects {
        println!("{transport}: {number} reconnects");
    }
    let Pauses { p50, max, .. } = findings.starts;
    println!("{kills} kills; ready again after {p50} ms (median), {max} ms (longest)");
    if let Some(path) = &config.json {
        report::write_json(path, &findings)?;
    }
    Ok(if findings.checks.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Run {
    async fn start(config: &Config, seed: u64) -> anyhow::Result<Self> {
        if config.streams == 0 || !config.rate.is_finite() || config.rate <= 0.0 {
            bail!("--streams and --rate must be above 0");
        }
        let program = match &config.minerva {
            Some(path) => path.clone(),
            None => server::beside_this()?,
        };
        let mut random = Random::new(seed);
        let mut server = Server::new(program, &mut random)?;
        server.spawn()?;
        server.ready().await?;
        let ledger = Arc::new(Ledger::new(config.streams));
        let stop = Stop::default();
        let behaviour = Behaviour {
            lane: Lane {
                ledger: ledger.clone(),
                direction: Direction::C2s,
                stream: 0,
                length: Length::UpTo(PADDING),
            },
            supply: Supply {
                every: Some(Duration::from_secs_f64(1.0 / config.rate)),
                most: u64::MAX,
            },
            stop: stop.clone(),
            bytes_per_second: None,
        };
        app::start(&server.api().to_string(), behaviour.clone()).await?;
        let transports = match config.transports.as_slice() {
            [] => TransportKind::ALL.to_vec(),
            chosen => chosen.to_vec(),
        };
        let address = server.listen().to_string();
        let clients = (0..config.streams)
            .map(|number| {
                let transport = transports[number % transports.len()];
                clients::start(&address, transport, number, behaviour.clone())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { server, random, ledger, stop, clients })
    }

    /// Kills the server at random moments, starting it again at once. Some of these moments fall into
    /// its start. In the end it is running.
    async fn kill_at_random(&mut self, config: &Config) -> anyhow::Result<u64> {
        let span = config.duration * 1000;
        let mut moments: Vec<u64> =
            (0..config.kills).map(|_| self.random.between(0, span)).collect();
        moments.sort_unstable();
        let start = clock::now();
        let mut kills = 0;
        for moment in moments {
            let moment = start + Duration::from_millis(moment);
            sleep(moment.saturating_duration_since(clock::now())).await;
            self.server.kill().await?;
            kills += 1;
            self.ledger.killed();
            self.server.spawn()?;
        }
        self.server.ready().await?;
        Ok(kills)
    }

    /// Lets everything that was sent arrive; false if something does not.
    async fn drain(&mut self) -> anyhow::Result<bool> {
        self.stop.stop();
        let mut progress = (self.ledger.arrived(), clock::now());
        loop {
            self.server.check()?;
            let sent = self.clients.iter().all(|client| client.producer.is_finished());
            if sent && self.ledger.is_drained() {
                // The application's last strings may still be on their way to the ledger.
                sleep(AFTERMATH).await;
                if self.ledger.is_drained() {
                    return Ok(true);
                }
            }
            let arrived = self.ledger.arrived();
            if arrived != progress.0 {
                progress = (arrived, clock::now());
            } else if clock::now().duration_since(progress.1) > STUCK {
                return Ok(false);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn judge(&self, seed: u64, kills: u64, config: &Config, drained: bool) -> Findings {
        let mut by_transport: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut reconnects: BTreeMap<String, u64> = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate() {
            let transport = client.transport.to_string();
            by_transport.entry(transport.clone()).or_default().push(number);
            *reconnects.entry(transport).or_default() += client.stream.counters().reconnects;
        }
        let rows: Vec<Row> = by_transport
            .iter()
            .flat_map(|(transport, streams)| {
                Direction::BOTH.map(|way| Row::new(transport, way, streams, &self.ledger))
            })
            .collect();
        let mut checks = Checks::default();
        checks.add(format!("killed {} times", config.kills), kills == config.kills);
        checks.add("everything sent has arrived", drained);
        checks.add_strings(&rows);
        self.check_streams(&mut checks);
        let starts = Pauses::of(self.server.starts());
        Findings { seed, kills, rows, reconnects, starts, checks }
    }

    fn check_streams(&self, checks: &mut Checks) {
        for direction in Direction::BOTH {
            let still: Vec<usize> = (0..self.ledger.streams())
                .filter(|&stream| !self.ledger.moved_since_last_kill(direction, stream))
                .collect();
            let what = format!("{direction}: every stream went on after the last kill");
            checks.add(format!("{what} (did not: {still:?})"), still.is_empty());
        }
        for (stream, client) in self.clients.iter().enumerate() {
            for why in self.ledger.ends(stream) {
                println!("stream {stream} ({}): {why}", client.transport);
            }
        }
    }
}
