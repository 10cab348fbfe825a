//! `minerva-faults rollback`: Redis restarts with an older copy of its data. If the cores were killed, streams with
//! lost data end with `state lost` on both sides, and no others; if the cores are alive, nothing is lost.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use minerva_runtime::positive_duration;
use serde::Serialize;
use tokio::time::sleep;

use crate::clock;
use crate::ends::{Ends, STATE_LOST};
use crate::fleet::{Fleet, Options, Role, StoreKind};
use crate::load::{Load, PADDING};
use crate::message::{Direction, Length};
use crate::process::Signal;
use crate::random::Random;
use crate::redis_server::copy_directory;
use crate::report::{self, Checks, FigureOptions, Row};
use crate::traffic::StopFlag;

/// Deadline for the detection of lost data by the streams.
const DETECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Head start of the first core with `--cores-are apart`, to claim all partitions and receive the applications' view
/// of the streams.
const HEAD_START: Duration = Duration::from_millis(200);
/// Messages sent afterwards on streams without a loss.
const PROBES: u64 = 5;

/// Options of `rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    fleet: Options,
    /// Age of the copy.
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "TIME")]
    age: Duration,
    /// State of the cores meanwhile; all of them, one after the other, by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    cores_are: Vec<Cores>,
    /// Number of streams in each group.
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// Messages per second and stream from clients; each is answered.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Seed of the ports; random by default.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    figures: FigureOptions,
}

/// The cores during the rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Cores {
    /// Killed and restarted together.
    Killed,
    /// Killed and restarted one after the other, so that streams move between cores as soon as they have ended.
    Apart,
    /// Alive, so that they detect the rollback.
    Alive,
}

impl Cores {
    /// Whether the cores lose their memory of the rolled-back state.
    fn lose_state(self) -> bool {
        self != Self::Alive
    }
}

/// Streams, by their activity around the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Group {
    /// Idle since before the copy.
    Idle,
    /// Active before and after the copy.
    Active,
    /// Created after the copy.
    New,
}

/// The evaluation of all rollbacks.
#[derive(Serialize)]
struct Findings {
    seed: u64,
    rollbacks: Vec<Rollback>,
    #[serde(flatten)]
    checks: Checks,
}

#[derive(Serialize)]
struct Rollback {
    cores: Cores,
    groups: Vec<Ended>,
    rows: Vec<Row>,
}

/// Ended streams of a group.
#[derive(Serialize)]
struct Ended {
    group: Group,
    streams: usize,
    /// Ended with `state lost` on both sides.
    state_lost: usize,
    /// Ended on one side only or for another reason.
    otherwise: usize,
}

const GROUPS: [Group; 3] = [Group::Idle, Group::Active, Group::New];

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.fleet.store != StoreKind::Redis {
        bail!("a rollback needs --store redis");
    }
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("seed {seed}");
    let ways = match &*config.cores_are {
        [] => &[Cores::Killed, Cores::Apart, Cores::Alive],
        chosen => chosen,
    };
    let mut findings = Findings { seed, rollbacks: Vec::new(), checks: Checks::default() };
    for &cores in ways {
        let plan = config.fleet.plan(GROUPS.len() * config.streams, PADDING)?;
        let mut fleet = Fleet::new(&plan, &mut Random::new(seed)).await?;
        let failed = findings.checks.failed();
        let done = config.roll_back(cores, &mut fleet, &mut findings).await;
        if done.is_err() || findings.checks.failed() > failed {
            println!("logs: {}", fleet.keep_directory().display());
        }
        done?;
    }
    if let Some(path) = &config.figures.json {
        report::write_json(path, &findings)?;
    }
    Ok(if findings.checks.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Config {
    async fn roll_back(
        &self,
        cores: Cores,
        fleet: &mut Fleet,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        fleet.start().await?;
        let (stop_idle, stop) = (StopFlag::default(), StopFlag::default());
        let all = GROUPS.len() * self.streams;
        let mut load = Load::new(fleet.address.to_string(), fleet.event_log.clone(), all, &[]);
        let checks = &mut findings.checks;
        load.add(self.streams, self.rate, &stop_idle)?;
        load.wait_until_started(&self.members(Group::Idle)).await?;
        stop_idle.stop();
        checks.add("idle streams drained", load.drain().await.is_some());
        load.add(self.streams, self.rate, &stop)?;
        load.wait_until_started(&self.members(Group::Active)).await?;
        let copy = self.copy(fleet, &load, checks).await?;
        load.add(self.streams, self.rate, &stop)?;
        load.wait_until_started(&self.members(Group::New)).await?;
        sleep(self.age).await;
        restore_copy(fleet, &copy, cores).await?;
        if cores.lose_state() {
            self.wait_for_ends(&load).await;
        }
        let living: Vec<usize> = (0..all).filter(|stream| load.is_open(*stream)).collect();
        probe(&load, &self.members(Group::Idle)).await;
        let active: Vec<_> =
            living.iter().copied().filter(|stream| *stream >= self.streams).collect();
        checks.add_no_stall("that is open went on", &load.wait_for_progress(&active).await);
        stop.stop();
        checks.add(format!("{cores:?}: everything sent has arrived"), load.drain().await.is_some());
        let rollback = self.judge(cores, &load, checks);
        checks.add_none("processes", &fleet.restart_ended()?);
        checks.add_none("quarantines", &fleet.quarantines().await?);
        checks.add_none("instances", load.audit().double_ends());
        rollback.print();
        findings.rollbacks.push(rollback);
        Ok(())
    }

    /// Copies the data of Redis at one moment.
    async fn copy(
        &self,
        fleet: &Fleet,
        load: &Load,
        checks: &mut Checks,
    ) -> anyhow::Result<PathBuf> {
        let server = fleet.servers.first().context("there is no Redis")?;
        let sync =
            |how| async move { server.command::<()>(&["CONFIG", "SET", "appendfsync", how]).await };
        // With `everysec`, acknowledged writes may be missing in the file during a sync.
        sync("always").await?;
        checks.add_no_stall(
            "active went on",
            &load.wait_for_progress(&self.members(Group::Active)).await,
        );
        let copy = fleet.directory().join("copy");
        let redis = fleet.all(Role::Redis);
        let signal =
            |signal| redis.iter().try_for_each(|at| fleet.members[*at].process.signal(signal));
        signal(Signal::STOP)?;
        let copied = copy_directory(&server.directory, &copy);
        signal(Signal::CONT)?;
        copied.context("cannot copy what Redis has")?;
        sync("everysec").await?;
        Ok(copy)
    }

    fn members(&self, group: Group) -> Vec<usize> {
        let place = GROUPS.iter().position(|other| *other == group).unwrap_or(0);
        (place * self.streams..(place + 1) * self.streams).collect()
    }

    /// Waits until all streams with lost data have ended on both sides, or the deadline has passed.
    async fn wait_for_ends(&self, load: &Load) {
        let start = clock::now();
        let lost = [self.members(Group::Active), self.members(Group::New)].concat();
        let has_ended = |stream: &usize| load.ledger.end_reasons(*stream).len() >= 2;
        while !lost.iter().all(has_ended) && clock::now().duration_since(start) < DETECTION_TIMEOUT
        {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn judge(&self, cores: Cores, load: &Load, checks: &mut Checks) -> Rollback {
        let groups = GROUPS.map(|group| {
            let loses = cores.lose_state() && group != Group::Idle;
            let ended = judge_group(group, loses, &self.members(group), load);
            let Ended { streams, state_lost, otherwise, .. } = ended;
            let expected = if loses { streams } else { 0 };
            let what = format!("{cores:?}, {group:?}: {state_lost} of {streams} lost state");
            checks.add(format!("{what}, {expected} expected"), state_lost == expected);
            let what = format!("{cores:?}, {group:?}: {otherwise} streams ended otherwise");
            checks.add(what, otherwise == 0);
            ended
        });
        let rows = load.rows();
        checks.add_delivery(&rows);
        checks.add_none("instances", &load.violations());
        Rollback { cores, groups: groups.into(), rows }
    }
}

fn judge_group(group: Group, loses: bool, members: &[usize], load: &Load) -> Ended {
    let mut ended = Ended { group, streams: members.len(), state_lost: 0, otherwise: 0 };
    for &stream in members {
        let ends = load.ledger.end_reasons(stream);
        if Ends::of(&ends) == Ends::Same(STATE_LOST.to_owned()) {
            ended.state_lost += 1;
        } else if !ends.is_empty() || loses {
            ended.otherwise += 1;
            println!("stream {stream} ({}, {group:?}): {ends:?}", load.clients[stream].transport);
        }
    }
    ended
}

/// Replaces the data of Redis by the copy.
async fn restore_copy(fleet: &mut Fleet, copy: &Path, cores: Cores) -> anyhow::Result<()> {
    let dying = if cores.lose_state() { fleet.all(Role::Core) } else { Vec::new() };
    for place in dying.iter().chain(&fleet.all(Role::Redis)) {
        fleet.members[*place].process.kill().await?;
    }
    let server = fleet.servers.first().context("there is no Redis")?;
    copy_directory(copy, &server.directory).context("cannot put the copy back")?;
    for place in fleet.all(Role::Redis) {
        fleet.members[place].process.spawn()?;
    }
    for place in dying {
        fleet.members[place].process.spawn()?;
        if cores == Cores::Apart {
            sleep(HEAD_START).await;
        }
    }
    fleet.ready().await
}

/// Sends some messages on each of these streams.
async fn probe(load: &Load, streams: &[usize]) {
    for &stream in streams {
        for _ in 0..PROBES {
            let length = Length::UpTo(PADDING);
            let message = load.ledger.next_message(Direction::C2s, stream, length);
            if load.clients[stream].stream.queue(message).await.is_err() {
                load.ledger.cancel_send(Direction::C2s, stream);
            }
        }
    }
}

impl Rollback {
    fn print(&self) {
        println!("cores {:?}:", self.cores);
        for Ended { group, streams, state_lost, otherwise } in &self.groups {
            println!(
                "  {:<7} {streams:>4} streams, {state_lost:>4} ended with state lost on both sides, {otherwise:>4} \
                 otherwise",
                format!("{group:?}")
            );
        }
        report::print(&self.rows);
    }
}
