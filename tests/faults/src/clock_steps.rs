//! `minerva-faults clock`: the wall clock of Redis steps back and forward while a core is dead, under load. The other
//! cores take over as usual, and nothing is lost.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use minerva_runtime::positive_duration;
use serde::Serialize;
use tokio::time::sleep;

use crate::clock;
use crate::fleet::{Fleet, Options, Role, StoreKind};
use crate::load::{Load, PADDING};
use crate::random::Random;
use crate::report::{self, Checks, FigureOptions, Pauses, Row};
use crate::traffic::StopFlag;

/// Shifts the wall clock of Redis; compiled at the start of a run.
const SHIM: &str = include_str!("clock_steps/shim.c");
/// Environment variable with the path of the shift.
const SHIFT: &str = "MINERVA_CLOCK";
/// Leases without service that are allowed after a step.
const MAX_LEASES: u32 = 3;
/// Load before each step.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Options of `clock`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Length of each step.
    #[arg(long, default_value = "1h", value_parser = positive_duration, value_name = "TIME")]
    step: Duration,
    /// Number of steps, alternately back and forward.
    #[arg(long, default_value_t = 2)]
    steps: usize,
    /// Lease of the cores; twice the usual one, so that the load of the machine matters less.
    #[arg(long, default_value = "4s", value_parser = positive_duration, value_name = "TIME")]
    lease: Duration,
    /// Number of streams.
    #[arg(long, default_value_t = 40)]
    streams: usize,
    /// Messages per second and stream from clients; each is answered.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Seed of the ports and victims; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    figures: FigureOptions,
}

/// One step of the clock.
#[derive(Serialize)]
struct Step {
    seconds: i64,
    dead: String,
    pauses: Pauses,
}

#[derive(Serialize)]
struct Findings {
    seed: u64,
    steps: Vec<Step>,
    rows: Vec<Row>,
    #[serde(flatten)]
    checks: Checks,
}

pub(crate) async fn run(mut config: Config) -> anyhow::Result<ExitCode> {
    if config.fleet.store != StoreKind::Redis || config.fleet.cores < 2 {
        bail!("a step of the clock needs --store redis and several cores");
    }
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let lease = format!("--lease={}ms", config.lease.as_millis());
    config.fleet.core_option.push(lease.into());
    let plan = config.fleet.plan(config.streams, PADDING)?;
    let mut random = Random::new(seed);
    let mut fleet = Fleet::new(&plan, &mut random).await?;
    let outcome = step_all(&config, seed, &mut fleet, &mut random).await;
    fleet.exit_code(outcome, false)
}

async fn step_all(
    config: &Config,
    seed: u64,
    fleet: &mut Fleet,
    random: &mut Random,
) -> anyhow::Result<bool> {
    let shift = preload(fleet)?;
    fleet.start().await?;
    let (stop, streams) = (StopFlag::default(), config.streams);
    let mut load = Load::new(fleet.address.to_string(), fleet.event_log.clone(), streams, &[]);
    let all = load.start_all(streams, config.rate, &stop).await?;
    let (mut steps, mut checks, mut ended) = (Vec::new(), Checks::default(), Vec::new());
    let mut shifted = 0;
    for number in 0..config.steps {
        sleep(SETTLE_TIME).await;
        let seconds = config.step.as_secs() as i64 * if number.is_multiple_of(2) { -1 } else { 1 };
        shifted += seconds;
        let victim = random.choose(&fleet.all(Role::Core)).context("there is no core")?;
        let process = &mut fleet.members[victim].process;
        let dead = process.name().to_owned();
        let at = clock::now();
        process.kill().await?;
        load.ledger.record_fault(number, at, at + config.lease);
        write_shift(&shift, shifted)?;
        check_clock(fleet, shifted).await?;
        checks.add_no_stall(
            &format!("went on after {seconds} s"),
            &load.wait_for_progress(&all).await,
        );
        sleep(config.lease).await;
        fleet.members[victim].process.spawn()?;
        fleet.ready().await?;
        ended.extend(fleet.restart_ended()?);
        steps.push(Step { seconds, dead, pauses: Pauses::default() });
    }
    checks.add_no_stall("went on after the last step", &load.wait_for_progress(&all).await);
    stop.stop();
    checks.add("everything sent has arrived", load.drain().await.is_some());
    ended.extend(fleet.restart_ended()?);
    for (number, step) in steps.iter_mut().enumerate() {
        step.pauses = Pauses::of(load.ledger.pauses_of(number));
        let (seconds, max) = (step.seconds, step.pauses.max);
        let what = format!("{seconds} s: no service for at most {max} ms, {MAX_LEASES} leases");
        checks.add(what, Duration::from_millis(max) <= MAX_LEASES * config.lease);
    }
    let rows = load.rows();
    checks.add_delivery(&rows);
    checks.add_none("instances", &load.violations());
    checks.add_none("processes", &ended);
    checks.add_none("quarantines", &fleet.quarantines().await?);
    let ends: Vec<_> = all.iter().flat_map(|stream| load.ledger.end_reasons(*stream)).collect();
    checks.add_none("ends of streams", &ends);
    Findings { seed, steps, rows, checks }.report(config.figures.json.as_deref())
}

/// Compiles the shim and preloads it into Redis; returns the path of the shift.
fn preload(fleet: &mut Fleet) -> anyhow::Result<PathBuf> {
    let [source, library, shift] =
        ["shim.c", "shim.so", "shift"].map(|name| fleet.directory().join(name));
    fs::write(&source, SHIM)?;
    fs::write(&shift, 0_i64.to_ne_bytes())?;
    let compiled = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    ensure!(compiled.context("gcc is missing")?.success(), "the shim does not compile");
    for place in fleet.all(Role::Redis) {
        let process = &mut fleet.members[place].process;
        process.set_variable("LD_PRELOAD", Some(library.clone().into()));
        process.set_variable(SHIFT, Some(shift.clone().into()));
    }
    Ok(shift)
}

/// Overwrites the shift in place. A file that is truncated meanwhile would end Redis, which has mapped the bytes.
fn write_shift(file: &Path, shift: i64) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(&shift.to_ne_bytes())
}

/// Checks that Redis uses the shifted clock.
async fn check_clock(fleet: &Fleet, shifted: i64) -> anyhow::Result<()> {
    let server = fleet.servers.first().context("there is no Redis")?;
    let (seconds, _): (i64, i64) = server.command(&["TIME"]).await?;
    let real = clock::unix_seconds() as i64;
    ensure!(
        (seconds - real - shifted).abs() < 60,
        "Redis does not use the shifted clock: {seconds}, {real}"
    );
    Ok(())
}

impl Findings {
    /// Prints the findings and writes the JSON; true if all checks passed.
    fn report(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        for Step { seconds, dead, pauses: Pauses { p50, p99, max } } in &self.steps {
            println!(
                "{seconds:+} s with {dead} dead: pauses p50 {p50} ms, p99 {p99} ms, max {max} ms"
            );
        }
        report::print(&self.rows);
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}
