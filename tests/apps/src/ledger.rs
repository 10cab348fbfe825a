//! Kills the ledger (`sdk/app/examples/ledger.rs`) at each point of handling a string again and again, while clients
//! send: in the end its table has each effect once and in order, and clients had each answer once.

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
use crate::report::Report;
use crate::stage::{Stage, Store};
use crate::traffic::Traffic;

/// Where it is killed, and whether what it handled then comes again although its effect is stored.
const POINTS: [(&str, Again); 5] = [
    // An earlier process may have stored it already.
    ("before-transaction", Again::Sometimes),
    ("before-commit", Again::Never),
    ("after-commit", Again::Always),
    ("after-answer", Again::Sometimes),
    ("after-confirmation", Again::Never),
];
/// It dies at the latest when it is at its point for this time: the first strings after a start are those that came
/// again, later ones are new.
const LATEST: u64 = 40;
/// Time for it to get there.
const LIFE: Duration = Duration::from_secs(20);
/// Answers that must come after the last kill.
const AFTER: u64 = 200;

/// Options of `ledger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Kills at each of the five points.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Where the core keeps state.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Repeats the moments of the kills.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Never,
    /// Either may be.
    Sometimes,
    Always,
}

/// Runs it.
pub(crate) async fn run(config: Config) -> anyhow::Result<Report> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("ledger: {} kills at each of {} points, --seed {seed}", config.kills, POINTS.len());
    let began = clock::now();
    let mut stage = Stage::start(config.store).await?;
    let mut traffic = Traffic::start(stage.clients, |_, string| format!("stored {string}"))?;
    let killed = kill(&config, &stage, &mut traffic, &mut Random::new(seed)).await;
    let mut report = Report::default();
    let took = || clock::now().duration_since(began);
    let app = killed.map_err(|error| report.count("kills", Err(error), took())).ok();
    if let Some(mut app) = app {
        let log = std::fs::read_to_string(stage.directory().join("ledger.log"))?;
        count_deaths(&deaths(&log)?, config.kills, &mut report);
        let sent = timeout(LIFE, traffic.finish()).await;
        let sent = sent.context("clients do not get all answers").and_then(|sent| sent);
        app.signal(Signal::TERM)?;
        app.wait().await?;
        let effects = check_effects(&stage.directory().join("ledger.sqlite"), sent.as_ref());
        report.count("each answer once, in order", sent.map(drop), took());
        report.count("each effect once, in order", effects, took());
    }
    if report.failed() > 0 {
        stage.keep();
    }
    Ok(report)
}

/// Lets the app die, again and again. Gives one that lives.
async fn kill(
    config: &Config,
    stage: &Stage,
    traffic: &mut Traffic,
    random: &mut Random,
) -> anyhow::Result<Process> {
    for kill in 0..config.kills * POINTS.len() {
        let (point, _) = POINTS[kill % POINTS.len()];
        let mut app = describe(stage, Some(format!("{point}:{}", random.between(1, LATEST))))?;
        app.spawn()?;
        let status = tokio::select! {
            died = timeout(LIFE, app.wait()) => {
                died.with_context(|| format!("kill {kill}: it does not come to {point}"))??
            }
            failure = traffic.failure() => return Err(failure),
        };
        let aborted = status.signal() == Some(Signal::ABORT.as_raw());
        ensure!(aborted, "kill {kill}: it ended with {status} before {point}");
    }
    let mut app = describe(stage, None)?;
    app.spawn()?;
    match timeout(LIFE, traffic.progress(AFTER)).await {
        Ok(done) => done?,
        Err(_) => bail!("nothing goes on after the last kill"),
    }
    Ok(app)
}

fn describe(stage: &Stage, death: Option<String>) -> anyhow::Result<Process> {
    let mut arguments = vec!["--database".into(), stage.directory().join("ledger.sqlite").into()];
    if let Some(death) = death {
        arguments.extend(["--die-at".into(), death.into()]);
    }
    let log = stage.directory().join("ledger.log");
    let process = Process::new("the ledger", beside_this("examples/ledger")?, arguments, log);
    Ok(process.variable("MINERVA_API", &stage.api))
}

/// Prints what became of the strings that it died with: it shows that each point is where it claims to be.
fn count_deaths(deaths: &[bool], kills: usize, report: &mut Report) {
    println!("{:<20} {:>6} {:>22}", "point", "kills", "stored and came again");
    for (number, (point, expected)) in POINTS.into_iter().enumerate() {
        let at: Vec<_> = deaths.iter().skip(number).step_by(POINTS.len()).collect();
        let again = at.iter().filter(|again| ***again).count();
        println!("{point:<20} {:>6} {again:>22}", at.len());
        let right = match expected {
            Again::Never => again == 0,
            Again::Always => again == kills,
            Again::Sometimes => true,
        };
        let outcome = match at.len() == kills && right {
            true => Ok(()),
            false => Err(anyhow!("{} noted, {again} came again: not {expected:?}", at.len())),
        };
        report.count(&format!("{kills} kills {point}"), outcome, Duration::ZERO);
    }
}

/// The deaths in order: whether the string that it died with was stored when it was handled next. It may die again
/// before it gets that far.
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

/// The table must have what clients sent, once and in order; `sent` is sorted.
fn check_effects(
    database: &Path,
    sent: Result<&Vec<Vec<String>>, &anyhow::Error>,
) -> anyhow::Result<()> {
    let Ok(sent) = sent else { bail!("what was sent is not known") };
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
    println!("{} strings sent, {} effects stored", count(sent), count(&effects));
    ensure!(effects == *sent, "the effects are not what was sent");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_handling_tells_whether_a_string_was_stored() {
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
    fn a_doubled_missing_or_displaced_effect_is_found() {
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
