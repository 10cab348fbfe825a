//! Kills the ledger (`sdk/app/examples/ledger.rs`) repeatedly at five points of handling a message, under traffic. At
//! the end the table contains each effect once and in order, and the clients have each answer once.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use minerva_faults::deployment::beside_this;
use minerva_faults::process::{Process, Signal};
use minerva_faults::random::Random;
use rusqlite::Connection;
use tokio::time::timeout;

use crate::clock;
use crate::deployment::{Deployment, Store};
use crate::report::Report;
use crate::traffic::Traffic;

/// Kill points, and whether the message of the kill is redelivered with its effect already stored.
const POINTS: [(&str, Redelivery); 5] = [
    // An earlier process may have stored the effect.
    ("before-transaction", Redelivery::Sometimes),
    ("before-commit", Redelivery::Never),
    ("after-commit", Redelivery::Always),
    ("after-answer", Redelivery::Sometimes),
    ("after-confirmation", Redelivery::Never),
];
/// Highest count of passes of the point before the kill: the first messages after a start are redelivered, later ones
/// are new.
const MAX_PASSES: u64 = 40;
/// Time limit for reaching the point.
const LIFE: Duration = Duration::from_secs(20);
/// Time limit for the last answers: streams that were in delivery at many deaths wait for up to a minute.
const LAST_ANSWERS: Duration = Duration::from_secs(90);
/// Required answers after the last kill.
const AFTER: u64 = 200;

/// Options of `ledger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Kills per point; there are five points.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Store of the cores.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Seed of the kill times [default: random].
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redelivery {
    Never,
    /// Both outcomes are valid.
    Sometimes,
    Always,
}

/// Runs the kills and the checks.
pub(crate) async fn run(config: Config) -> anyhow::Result<Report> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("ledger: {} kills at each of {} points, --seed {seed}", config.kills, POINTS.len());
    let began = clock::now();
    let mut deployment = Deployment::start(config.store).await?;
    let mut traffic = Traffic::start(deployment.clients, |_, message| format!("stored {message}"))?;
    let killed = kill(&config, &deployment, &mut traffic, &mut Random::new(seed)).await;
    let mut report = Report::default();
    let took = || clock::now().duration_since(began);
    let app = killed.map_err(|error| report.count("kills", Err(error), took())).ok();
    if let Some(mut app) = app {
        let sent = timeout(LAST_ANSWERS, traffic.finish()).await;
        let sent = sent.context("clients lack answers").and_then(|sent| sent);
        // Behind the last answer: a stream that was in delivery at many deaths is delivered later than the others.
        let log = std::fs::read_to_string(deployment.directory().join("ledger.log"))?;
        count_deaths(&deaths(&log)?, config.kills, &mut report);
        app.signal(Signal::TERM)?;
        app.wait().await?;
        let effects = check_effects(&deployment.directory().join("ledger.sqlite"), sent.as_ref());
        report.count("each answer once, in order", sent.map(drop), took());
        report.count("each effect once, in order", effects, took());
    }
    if report.failed() > 0 {
        deployment.keep();
    }
    Ok(report)
}

/// Kills the app repeatedly. Returns a running one.
async fn kill(
    config: &Config,
    deployment: &Deployment,
    traffic: &mut Traffic,
    random: &mut Random,
) -> anyhow::Result<Process> {
    for kill in 0..config.kills * POINTS.len() {
        let (point, _) = POINTS[kill % POINTS.len()];
        let mut app =
            describe(deployment, Some(format!("{point}:{}", random.between(1, MAX_PASSES))))?;
        app.spawn()?;
        let status = tokio::select! {
            died = timeout(LIFE, app.wait()) => {
                died.with_context(|| format!("kill {kill}: {point} is not reached"))??
            }
            failure = traffic.failure() => return Err(failure),
        };
        let aborted = status.signal() == Some(Signal::ABORT.as_raw());
        ensure!(aborted, "kill {kill}: exit status {status} before {point}");
    }
    let mut app = describe(deployment, None)?;
    app.spawn()?;
    match timeout(LIFE, traffic.progress(AFTER)).await {
        Ok(done) => done?,
        Err(_) => bail!("no progress after the last kill"),
    }
    Ok(app)
}

fn describe(deployment: &Deployment, death: Option<String>) -> anyhow::Result<Process> {
    let mut arguments =
        vec!["--database".into(), deployment.directory().join("ledger.sqlite").into()];
    if let Some(death) = death {
        arguments.extend(["--die-at".into(), death.into()]);
    }
    let log = deployment.directory().join("ledger.log");
    let process = Process::new("the ledger", beside_this("examples/ledger")?, arguments, log);
    Ok(process.variable("MINERVA_API", &deployment.api))
}

/// Prints the redeliveries by point, which verify the position of each point, and counts the checks.
fn count_deaths(deaths: &[bool], kills: usize, report: &mut Report) {
    println!("{:<20} {:>6} {:>22}", "point", "kills", "stored and redelivered");
    for (number, (point, expected)) in POINTS.into_iter().enumerate() {
        let at: Vec<_> = deaths.iter().skip(number).step_by(POINTS.len()).collect();
        let again = at.iter().filter(|again| ***again).count();
        println!("{point:<20} {:>6} {again:>22}", at.len());
        let right = match expected {
            Redelivery::Never => again == 0,
            Redelivery::Always => again == kills,
            Redelivery::Sometimes => true,
        };
        let outcome = match at.len() == kills && right {
            true => Ok(()),
            false => Err(anyhow!("{} recorded, {again} redelivered: not {expected:?}", at.len())),
        };
        report.count(&format!("{kills} kills {point}"), outcome, Duration::ZERO);
    }
}

/// By kill in order: whether the effect of its message was stored at the next handling. Several kills may precede that
/// handling.
fn deaths(log: &str) -> anyhow::Result<Vec<bool>> {
    let mut deaths = Vec::new();
    let mut pending: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let (Some("ledger:"), Some(what)) = (words.next(), words.next()) else { continue };
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        match (what, &numbers[..]) {
            ("dies", &[stream, event]) => {
                pending.entry((stream, event)).or_default().push(deaths.len());
                deaths.push(false);
            }
            ("new" | "again", &[stream, event]) => {
                for death in pending.remove(&(stream, event)).into_iter().flatten() {
                    deaths[death] = what == "again";
                }
            }
            ("dies" | "new" | "again", _) => bail!("not a line of the ledger: {line:?}"),
            _ => {}
        }
    }
    Ok(deaths)
}

/// Compares the table with the sent messages: once and in order; `sent` is sorted.
fn check_effects(
    database: &Path,
    sent: Result<&Vec<Vec<String>>, &anyhow::Error>,
) -> anyhow::Result<()> {
    let Ok(sent) = sent else { bail!("the sent messages are unknown") };
    let connection = Connection::open(database).context("cannot open the table")?;
    let mut query =
        connection.prepare("SELECT stream, event, what FROM effects ORDER BY number")?;
    let mut effects: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (stream, event, what): (_, i64, _) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let of_stream = effects.entry(stream).or_default();
        of_stream.push(what);
        ensure!(of_stream.len() as i64 == event, "stream {stream}: event {event} out of order");
    }
    let mut effects: Vec<_> = effects.into_values().collect();
    effects.sort();
    let count = |all: &[Vec<String>]| all.iter().map(Vec::len).sum::<usize>();
    println!("{} messages sent, {} effects stored", count(sent), count(&effects));
    ensure!(effects == *sent, "the effects differ from the sent messages");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_handling_determines_whether_an_effect_was_stored() {
        let log = "ledger: serving `default`\nledger: new 1 7\nledger: dies 1 7\n\
                   ledger: again 1 8\nledger: again 1 7\nledger: dies 2 1\n\
                   ledger: new 2 1\nledger: again 2 1\nledger: dies 3 1\n";
        assert_eq!(deaths(log).unwrap(), [true, false, false]);
        let twice = "ledger: new 1 7\nledger: dies 1 7\nledger: dies 2 1\nledger: dies 1 7\n\
                     ledger: again 1 7\nledger: new 2 1\n";
        assert_eq!(deaths(twice).unwrap(), [true, false, true]);
        assert!(deaths("ledger: dies 1").is_err());
    }

    #[test]
    fn a_duplicate_missing_or_misplaced_effect_is_detected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        let table = Connection::open(&path).unwrap();
        table
            .execute_batch("CREATE TABLE effects (number INTEGER PRIMARY KEY, stream, event, what)")
            .unwrap();
        let check = |effects: &[(i64, i64, &str)]| {
            table.execute("DELETE FROM effects", []).unwrap();
            for (stream, event, what) in effects {
                let row = rusqlite::params![stream, event, what];
                let insert = "INSERT INTO effects (stream, event, what) VALUES (?, ?, ?)";
                table.execute(insert, row).unwrap();
            }
            let sent = vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]];
            check_effects(&path, Ok(&sent)).is_ok()
        };
        assert!(check(&[(1, 1, "a"), (-2, 1, "c"), (1, 2, "b")]));
        assert!(!check(&[(1, 1, "a"), (-2, 1, "c"), (1, 2, "b"), (1, 2, "b")]));
        assert!(!check(&[(1, 1, "a"), (1, 2, "b")]));
        assert!(!check(&[(1, 2, "b"), (1, 1, "a"), (-2, 1, "c")]));
        assert!(!check(&[(1, 1, "a"), (1, 2, "x"), (-2, 1, "c")]));
    }
}
