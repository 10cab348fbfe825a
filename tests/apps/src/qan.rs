//! Kills the example `questions` (`sdk/app/examples/questions.rs`) repeatedly while its clients and the program ask each
//! other. Each question of a client has one answer, which is right or `interrupted`, and no stream ends.

mod client;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use minerva_client::TransportKind;
use minerva_faults::deployment::beside_this;
use minerva_faults::process::{Process, Signal};
use minerva_faults::random::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::client::{Client, Outcome};
use crate::clock;
use crate::deployment::{Deployment, Store};
use crate::report::Report;

/// Number of streams, half of them over each transport.
const STREAMS: usize = 4;
/// Right answers between two kills.
const BETWEEN: u64 = 60;
/// Longest further time before a kill, in milliseconds.
const MAX_DELAY: u64 = 50;
/// Time limit for the answers between two kills, and for the last ones: streams that were in delivery at many deaths wait
/// for up to a minute.
const LIMIT: Duration = Duration::from_secs(90);

/// Options of `qan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Kills of the program.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Store of the cores.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Seed of the kill times [default: random].
    #[arg(long)]
    seed: Option<u64>,
}

/// Clients that ask until they are stopped.
struct Traffic {
    clients: JoinSet<anyhow::Result<Outcome>>,
    answered: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
}

/// Runs the kills and the checks.
pub(crate) async fn run(config: Config) -> anyhow::Result<Report> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("qan: {} kills, --seed {seed}", config.kills);
    let began = clock::now();
    let mut deployment = Deployment::start(config.store).await?;
    let log = deployment.directory().join("questions.log");
    let app =
        Process::new("questions", beside_this("examples/questions")?, Vec::new(), log.clone());
    let app = app
        .variable("MINERVA_API", &deployment.api)
        .variable("MINERVA_INSTANCE", "questions")
        .ready_when("serving");
    let outcome = ask_and_kill(&config, seed, deployment.clients, app).await;
    let mut report = Report::default();
    let took = || clock::now().duration_since(began);
    let of_app = match &outcome {
        Ok(outcome) => check_log(&log, outcome, config.kills),
        Err(_) => Ok(()),
    };
    report.count("questions of clients", outcome.and_then(|outcome| check(&outcome)), took());
    report.count("questions of the program", of_app, took());
    if report.failed() > 0 {
        deployment.keep();
    }
    Ok(report)
}

/// Kills the program repeatedly, and stops it after the last answers.
async fn ask_and_kill(
    config: &Config,
    seed: u64,
    clients: std::net::SocketAddr,
    mut app: Process,
) -> anyhow::Result<Outcome> {
    app.spawn()?;
    app.ready().await?;
    let mut random = Random::new(seed);
    let mut traffic = Traffic::start(clients, &mut random)?;
    for kill in 1..=config.kills {
        traffic.progress().await.with_context(|| format!("before kill {kill}"))?;
        sleep(Duration::from_millis(random.between(0, MAX_DELAY))).await;
        app.kill().await?;
        app.spawn()?;
    }
    traffic.progress().await.context("after the last kill")?;
    let outcome = timeout(LIMIT, traffic.finish()).await.context("clients lack answers")??;
    app.signal(Signal::TERM)?;
    let status = app.wait().await?;
    ensure!(status.success(), "exit status {status} after SIGTERM");
    Ok(outcome)
}

/// Both results must occur, or the kills have missed the open questions.
fn check(outcome: &Outcome) -> anyhow::Result<()> {
    let Outcome { right, interrupted, ignored, again, .. } = outcome;
    println!(
        "{right} right answers, {interrupted} interrupted; second ones: {again} right, {ignored} interrupted"
    );
    ensure!(outcome.right > 0 && outcome.interrupted > 0, "one result is missing");
    Ok(())
}

/// Checks the answers in the program's log: right, to questions of a client, and one each. Unlogged are at most the open
/// questions of killed processes, one per stream, and the last ones.
fn check_log(log: &Path, outcome: &Outcome, kills: usize) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(log).context("cannot read the program's log")?;
    let mut answered = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("questions: ")) {
        ensure!(!line.starts_with("wrong"), "{line}");
        let Some(question) = line.strip_prefix("answered ") else { continue };
        ensure!(outcome.asked.contains(question), "nobody was asked {question:?}");
        ensure!(answered.insert(question), "two answers to {question:?}");
    }
    let open = outcome.asked.len() - answered.len();
    println!("{} questions of the program, {open} without an answer", outcome.asked.len());
    ensure!(open <= STREAMS * (kills + 1), "more than the killed processes had open");
    ensure!(!answered.is_empty(), "no answers");
    Ok(())
}

impl Traffic {
    fn start(address: std::net::SocketAddr, random: &mut Random) -> anyhow::Result<Self> {
        let (counter, answered) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..STREAMS {
            let transport = [TransportKind::WebSocket, TransportKind::Tcp][number % 2];
            let client = Client::connect(address, transport, Random::new(random.bits()))?;
            clients.spawn(client.run(counter.clone(), stopped.clone()));
        }
        Ok(Self { clients, answered, stop })
    }

    /// Waits for further right answers; fails if a client fails.
    async fn progress(&mut self) -> anyhow::Result<()> {
        let goal = *self.answered.borrow() + BETWEEN;
        tokio::select! {
            reached = timeout(LIMIT, self.answered.wait_for(|answered| *answered >= goal)) => {
                reached.context("no answers")?.map(drop).context("all clients have ended")
            }
            Some(failure) = self.clients.join_next() => match failure? {
                Ok(_) => bail!("a client has ended early"),
                Err(error) => Err(error.context("a client")),
            },
        }
    }

    /// Stops the clients after their last answers.
    async fn finish(mut self) -> anyhow::Result<Outcome> {
        self.stop.send_replace(true);
        let mut all = Outcome::default();
        while let Some(over) = self.clients.join_next().await {
            let one = over?.context("a client")?;
            all.right += one.right;
            all.interrupted += one.interrupted;
            all.ignored += one.ignored;
            all.again += one.again;
            all.asked.extend(one.asked);
        }
        Ok(all)
    }
}
