//! `minerva-faults upgrade`: the programs of another version replace those of a running deployment one by one, under
//! load. No message may be lost, no stream may end, and no process may end by itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use minerva_runtime::positive_duration;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::fault::{FaultKind, PROCESS_ROLES};
use crate::fleet::{Fleet, Options, Role};
use crate::load::{Load, PADDING};
use crate::process::Signal;
use crate::random::Random;
use crate::report::{self, Checks, OutputOptions, Pauses, Row};
use crate::traffic::StopFlag;

/// The newest stored version that a core lets the deployment use.
const STORED_VERSION: &str = "MINERVA_STORED_VERSION";
/// Deadline for the exit after SIGTERM, and for the exit of a core that refuses the store.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Exit code of a configuration error.
const CONFIG_ERROR: i32 = 64;

/// Options of `upgrade`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Directory of the earlier programs: minerva-core, minerva-edge, and minerva-faults for the application instances.
    /// A program that is missing is not replaced.
    #[arg(long)]
    from: PathBuf,
    /// The steps, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "forward")]
    phases: Vec<Phase>,
    /// The order of the processes.
    #[arg(long, value_enum, default_value_t = Order::Roles)]
    order: Order,
    /// The programs of the application instances.
    #[arg(long, value_enum, default_value_t = Apps::Replaced)]
    apps_are: Apps,
    /// Newest stored version that the cores may use until the phase `raise`.
    #[arg(long, value_name = "N")]
    stored_version: Option<u32>,
    /// Load between two processes.
    #[arg(long, default_value = "3s", value_parser = positive_duration, value_name = "TIME")]
    pause: Duration,
    /// Number of streams.
    #[arg(long, default_value_t = 40)]
    streams: usize,
    /// Messages per second and stream from clients; each is answered.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Seed of the ports and of the mixed order; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// The later programs replace the earlier ones.
    Forward,
    /// The earlier programs replace the later ones, in the opposite order.
    Back,
    /// The cores restart without the limit of the stored version.
    Raise,
    /// An earlier core starts; it must exit with code 64.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// Cores, edges, applications.
    Roles,
    /// Drawn at random.
    Mixed,
}

/// The version of the application instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Apps {
    /// Replaced like the servers.
    Replaced,
    /// The earlier program in all phases.
    Earlier,
    /// The later program in all phases.
    Later,
}

#[derive(Serialize)]
struct Findings {
    seed: u64,
    /// Replaced processes in order.
    steps: Vec<String>,
    pauses: Vec<(String, Pauses)>,
    rows: Vec<Row>,
    #[serde(flatten)]
    checks: Checks,
}

/// A running upgrade.
struct Upgrade<'a> {
    config: &'a Config,
    /// Programs of the later version, by member.
    later: Vec<PathBuf>,
    /// Places of the replaceable members in order.
    order: Vec<usize>,
    steps: Vec<String>,
    violations: Vec<String>,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    ensure!(config.from.join("minerva-core").exists(), "{} has no programs", config.from.display());
    let has_apps = config.from.join("minerva-faults").exists();
    ensure!(has_apps || config.apps_are != Apps::Earlier, "there is no earlier minerva-faults");
    let plan = config.fleet.plan(config.streams, PADDING)?;
    let mut random = Random::new(seed);
    let mut fleet = Fleet::new(&plan, &mut random).await?;
    let outcome = upgrade(&config, seed, &mut fleet, &mut random).await;
    fleet.exit_code(outcome, config.output.keep)
}

async fn upgrade(
    config: &Config,
    seed: u64,
    fleet: &mut Fleet,
    random: &mut Random,
) -> anyhow::Result<bool> {
    let mut upgrade = Upgrade::new(config, fleet, random);
    fleet.start().await?;
    let (stop, streams) = (StopFlag::default(), config.streams);
    let mut load = Load::new(fleet.address.to_string(), fleet.event_log.clone(), streams, &[]);
    let all = load.start_all(streams, config.rate, &stop).await?;
    for &phase in &config.phases {
        upgrade
            .run(phase, fleet, &load)
            .await
            .with_context(|| format!("in the phase {phase:?}"))?;
    }
    let stalled = load.wait_for_progress(&all).await;
    stop.stop();
    let drained = load.drain().await.is_some();
    upgrade.record_ended(fleet)?;
    let mut checks = Checks::default();
    checks.add_no_stall("went on after the last step", &stalled);
    checks.add("everything sent has arrived", drained);
    let rows = load.rows();
    checks.add_delivery(&rows);
    checks.add_none("instances", &load.violations());
    checks.add_none("processes", &upgrade.violations);
    checks.add_none("quarantines", &fleet.quarantines().await?);
    let ends: Vec<_> = all.iter().flat_map(|stream| load.ledger.end_reasons(*stream)).collect();
    checks.add_none("ends of streams", &ends);
    let pauses = PROCESS_ROLES.iter().enumerate().filter(|(_, (_, role))| *role != Role::Redis);
    let pauses = pauses
        .map(|(place, (name, _))| ((*name).to_owned(), Pauses::of(load.ledger.pauses_of(place))));
    let findings = Findings { seed, steps: upgrade.steps, pauses: pauses.collect(), rows, checks };
    findings.report(config.output.figures.json.as_deref())
}

impl Config {
    /// Whether the processes of a role start with the earlier program.
    fn starts_earlier(&self, role: Role) -> bool {
        role != Role::App || self.apps_are != Apps::Later
    }
}

impl<'a> Upgrade<'a> {
    /// Sets the earlier programs in a deployment that has not started.
    fn new(config: &'a Config, fleet: &mut Fleet, random: &mut Random) -> Self {
        let mut order = [Role::Core, Role::Edge].map(|role| fleet.all(role)).concat();
        if config.apps_are == Apps::Replaced {
            order.extend(fleet.all(Role::App));
        }
        if config.order == Order::Mixed {
            for last in (1..order.len()).rev() {
                order.swap(last, random.between(0, last as u64) as usize);
            }
        }
        let later =
            fleet.members.iter().map(|member| member.process.program().to_owned()).collect();
        for member in &mut fleet.members {
            if config.starts_earlier(member.role) {
                member.process.set_program(earlier(&config.from, member.process.program()));
            }
            if let (Role::Core, Some(version)) = (member.role, config.stored_version) {
                member.process.set_variable(STORED_VERSION, Some(version.to_string().into()));
            }
        }
        Self { config, later, order, steps: Vec::new(), violations: Vec::new() }
    }

    async fn run(&mut self, phase: Phase, fleet: &mut Fleet, load: &Load) -> anyhow::Result<()> {
        println!("{phase:?}");
        self.observe(fleet).await?;
        let mut order = self.order.clone();
        if phase == Phase::Back {
            order.reverse();
        }
        let cores = fleet.all(Role::Core);
        if phase == Phase::Raise {
            order.retain(|place| cores.contains(place));
        }
        if phase == Phase::Refused {
            return self.refuse(fleet, cores[0]).await;
        }
        for place in order {
            let process = &mut fleet.members[place].process;
            match phase {
                Phase::Forward => process.set_program(self.later[place].clone()),
                Phase::Back => process.set_program(earlier(&self.config.from, process.program())),
                Phase::Raise | Phase::Refused => process.set_variable(STORED_VERSION, None),
            }
            self.replace(fleet, load, place).await?;
            self.observe(fleet).await?;
        }
        Ok(())
    }

    /// Stops a process and starts its successor.
    async fn replace(
        &mut self,
        fleet: &mut Fleet,
        load: &Load,
        place: usize,
    ) -> anyhow::Result<()> {
        let member = &mut fleet.members[place];
        let at = clock::now();
        let kind = PROCESS_ROLES.iter().position(|(_, role)| *role == member.role).unwrap_or(0);
        let window = FaultKind::Term(member.role).attribution_window(Duration::ZERO);
        load.ledger.record_fault(kind, at, at + window);
        self.stop(fleet, place).await?;
        let process = &mut fleet.members[place].process;
        process.spawn()?;
        process.ready().await?;
        let took = clock::now().duration_since(at);
        self.steps.push(format!(
            "{} by {} in {took:.1?}",
            process.name(),
            process.program().display()
        ));
        Ok(())
    }

    async fn stop(&mut self, fleet: &mut Fleet, place: usize) -> anyhow::Result<()> {
        let process = &mut fleet.members[place].process;
        process.check()?;
        process.signal(Signal::TERM)?;
        let Ok(status) = timeout(EXIT_TIMEOUT, process.wait()).await else {
            bail!("{} did not end within {EXIT_TIMEOUT:?} after SIGTERM", process.name());
        };
        let status = status?;
        if !status.success() {
            self.violations.push(format!("{} ended with {status} after SIGTERM", process.name()));
        }
        Ok(())
    }

    /// Replaces a core by an earlier one, which must refuse the store.
    async fn refuse(&mut self, fleet: &mut Fleet, core: usize) -> anyhow::Result<()> {
        self.stop(fleet, core).await?;
        let process = &mut fleet.members[core].process;
        process.set_program(earlier(&self.config.from, process.program()));
        process.spawn()?;
        let status = timeout(EXIT_TIMEOUT, process.wait()).await;
        let what = match status {
            Ok(status)
                if status.as_ref().is_ok_and(|status| status.code() == Some(CONFIG_ERROR)) =>
            {
                None
            }
            Ok(status) => Some(format!("an earlier core ended with {}", status?)),
            Err(_) => {
                process.kill().await?;
                Some("an earlier core did not refuse the store".to_owned())
            }
        };
        self.steps.push(format!("{} refused", process.name()));
        self.violations.extend(what);
        process.set_program(self.later[core].clone());
        process.spawn()?;
        process.ready().await
    }

    /// Lets the load run, and records processes that end by themselves.
    async fn observe(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let start = clock::now();
        while clock::now().duration_since(start) < self.config.pause {
            sleep(POLL).await;
            self.record_ended(fleet)?;
        }
        Ok(())
    }

    fn record_ended(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        for ended in fleet.restart_ended()? {
            println!("{ended}");
            self.violations.push(ended);
        }
        Ok(())
    }
}

/// The earlier program of the same name, if there is one.
fn earlier(from: &Path, program: &Path) -> PathBuf {
    let found = program.file_name().map(|name| from.join(name));
    found.filter(|path| path.exists()).unwrap_or_else(|| program.to_owned())
}

impl Findings {
    /// Prints the findings and writes the JSON; true if all checks passed.
    fn report(&self, json: Option<&Path>) -> anyhow::Result<bool> {
        for step in &self.steps {
            println!("  {step}");
        }
        for (role, Pauses { p50, p99, max }) in &self.pauses {
            println!("{role:<5} pauses: p50 {p50} ms, p99 {p99} ms, max {max} ms");
        }
        report::print(&self.rows);
        if let Some(path) = json {
            report::write_json(path, self)?;
        }
        Ok(self.checks.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_instances_may_keep_either_program() {
        #[derive(Debug, clap::Parser)]
        struct Command {
            #[command(flatten)]
            config: Config,
        }
        let starts = |apps: &str| {
            let words = ["upgrade", "--from", "x", "--apps-are", apps];
            let Command { config } = clap::Parser::parse_from(words);
            [Role::Core, Role::Edge, Role::App].map(|role| config.starts_earlier(role))
        };
        assert_eq!(starts("replaced"), [true, true, true]);
        assert_eq!(starts("earlier"), [true, true, true]);
        assert_eq!(starts("later"), [true, true, false]);
    }

    #[test]
    fn a_missing_earlier_program_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("minerva-core"), "").unwrap();
        let program = |name: &str| earlier(directory.path(), &Path::new("/later").join(name));
        assert_eq!(program("minerva-core"), directory.path().join("minerva-core"));
        assert_eq!(program("minerva-faults"), Path::new("/later/minerva-faults"));
    }
}
