//! Injects and reverts faults in a deployment, reproducibly by seed, and keeps their history.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::clock;
use crate::fault::{Fault, FaultKind, NetworkFault};
use crate::fleet::{Condition, Fleet, Role};
use crate::ledger::Ledger;
use crate::process::Signal;
use crate::proxy::{Cut, NetworkConditions, PipeDirection};
use crate::random::Random;

/// Poll interval for the exit of a process after SIGTERM, and its deadline.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const TERM_TIMEOUT: Duration = Duration::from_secs(30);
/// A process that receives SIGTERM has run for this time: before a program has installed its handler, the signal ends the
/// process.
const START_UP: Duration = Duration::from_secs(1);
/// Minimum delay and jitter.
const DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));
/// Rate of a slow connection.
const BYTES_PER_SECOND: u32 = 20_000;

pub(crate) struct FaultInjector {
    faults: Vec<Fault>,
    random: Random,
    start: Instant,
    due: Vec<(Instant, Action)>,
    /// Number of injections by fault.
    counts: Vec<u64>,
    log: File,
    violations: Vec<String>,
}

/// A scheduled action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Injects a fault, by index.
    Inject(usize),
    /// Continues a suspended process.
    Continue(usize),
    /// Restarts a killed process.
    Start(usize),
    /// Checks for the exit of a process after SIGTERM, until the deadline.
    Reap(usize, Instant),
    /// Removes the impairment of a proxy, by index.
    Restore(usize),
}

impl FaultInjector {
    /// Schedules the faults; the history is also written to `faults.log` in the deployment's directory.
    pub(crate) fn new(faults: Vec<Fault>, seed: u64, fleet: &Fleet) -> anyhow::Result<Self> {
        let log = File::create(fleet.directory().join("faults.log")).context("no log file")?;
        let mut random = Random::new(seed);
        let start = clock::now();
        let due = faults.iter().enumerate().map(|(place, fault)| {
            (start + fault.every.mul_f64(random.fraction() + 0.1), Action::Inject(place))
        });
        let due = due.collect();
        let counts = vec![0; faults.len()];
        let violations = Vec::new();
        Ok(Self { faults, random, start, due, counts, log, violations })
    }

    /// The number of injections by fault; the index is the `kind` of [`Ledger::pauses_of`].
    pub(crate) fn counts(&self) -> impl Iterator<Item = (usize, FaultKind, u64)> {
        let faults = self.faults.iter().zip(&self.counts).enumerate();
        faults.map(|(place, (fault, count))| (place, fault.kind, *count))
    }

    /// Unexpected exits and missed deadlines.
    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Injects faults for `duration`, then reverts all of them. All processes run when the call returns.
    pub(crate) async fn run(
        &mut self,
        fleet: &mut Fleet,
        ledger: &Ledger,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let end = clock::now() + duration;
        while let Some(at) = self.due.iter().map(|(at, _)| *at).min() {
            // Wakes at least once per poll interval to detect unexpected exits.
            let wake = at.min(clock::now() + POLL_INTERVAL);
            sleep(wake.saturating_duration_since(clock::now())).await;
            self.record_ended(fleet)?;
            if clock::now() >= end {
                self.due.retain(|(_, due)| !matches!(due, Action::Inject(_)));
            }
            match self.take_due() {
                Some(Action::Inject(fault)) => self.inject(fault, fleet, ledger).await?,
                Some(undo) => self.undo(undo, fleet).await?,
                None => {}
            }
        }
        fleet.ready().await?;
        self.record_ended(fleet)
    }

    /// Removes and returns the earliest due action.
    fn take_due(&mut self) -> Option<Action> {
        let due = self.due.iter().enumerate().filter(|(_, (at, _))| *at <= clock::now());
        let (place, _) = due.min_by_key(|(_, (at, _))| *at)?;
        Some(self.due.swap_remove(place).1)
    }

    fn record_ended(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        for ended in fleet.restart_ended()? {
            self.log(&ended);
            self.violations.push(ended);
        }
        Ok(())
    }

    async fn inject(
        &mut self,
        place: usize,
        fleet: &mut Fleet,
        ledger: &Ledger,
    ) -> anyhow::Result<()> {
        let Fault { kind, every, lasting } = self.faults[place];
        let at = clock::now();
        let lasts = lasting.mul_f64(0.3 + 0.7 * self.random.fraction());
        let struck = match kind {
            FaultKind::Kill(role) => self.kill(role, fleet, lasting).await?,
            FaultKind::Stop(role) => self.signal(role, Signal::STOP, fleet, lasts)?,
            FaultKind::Term(role) => self.signal(role, Signal::TERM, fleet, POLL_INTERVAL)?,
            FaultKind::Network(hop, fault) => {
                let proxies = fleet.unimpaired_proxies(hop);
                let proxy = self.random.choose(&proxies);
                proxy.map(|proxy| self.impair(proxy, fault, fleet, lasts))
            }
            FaultKind::Failover => fleet.fail_over().await.ok().map(|()| "the primary".to_owned()),
        };
        if let Some(victim) = struck {
            ledger.record_fault(place, at, at + kind.attribution_window(lasts));
            self.counts[place] += 1;
            self.log(&format!("{kind} {victim}"));
        }
        let pause = every.mul_f64(0.5 + self.random.fraction());
        self.due.push((at + pause, Action::Inject(place)));
        Ok(())
    }

    /// A random running process of the role.
    async fn victim(&mut self, role: Role, fleet: &Fleet) -> Option<usize> {
        let running = fleet.running(role);
        if role == Role::Redis && running.len() > 1 {
            // The loss of a replica has no effect, so the victim is the primary.
            let primary = fleet.primary().await.ok()?;
            return running.into_iter().find(|place| *place == fleet.all(Role::Redis)[primary]);
        }
        self.random.choose(&running)
    }

    async fn kill(
        &mut self,
        role: Role,
        fleet: &mut Fleet,
        lasting: Duration,
    ) -> anyhow::Result<Option<String>> {
        let Some(victim) = self.victim(role, fleet).await else { return Ok(None) };
        let is_in_set = role == Role::Redis && !fleet.sentinels.is_empty();
        let member = &mut fleet.members[victim];
        member.process.kill().await?;
        if is_in_set {
            // An immediate restart would prevent the failover.
            member.condition = Condition::Down;
            self.due.push((clock::now() + lasting, Action::Start(victim)));
        } else {
            member.process.spawn()?;
        }
        Ok(Some(member.process.name().to_owned()))
    }

    fn signal(
        &mut self,
        role: Role,
        signal: Signal,
        fleet: &mut Fleet,
        lasts: Duration,
    ) -> anyhow::Result<Option<String>> {
        let mut candidates = fleet.running(role);
        if signal == Signal::TERM {
            candidates.retain(|place| fleet.members[*place].process.has_run_for(START_UP));
        }
        let Some(victim) = self.random.choose(&candidates) else { return Ok(None) };
        let now = clock::now();
        let member = &mut fleet.members[victim];
        member.process.signal(signal)?;
        let due = if signal == Signal::STOP {
            member.condition = Condition::Stopped;
            Action::Continue(victim)
        } else {
            member.condition = Condition::Ending;
            Action::Reap(victim, now + TERM_TIMEOUT)
        };
        self.due.push((now + lasts, due));
        Ok(Some(format!("{} for {lasts:.1?}", member.process.name())))
    }

    fn impair(
        &mut self,
        place: usize,
        fault: NetworkFault,
        fleet: &mut Fleet,
        lasts: Duration,
    ) -> String {
        let proxy = fleet.proxy_at(place);
        let coin = self.random.between(0, 1) == 0;
        let conditions = match fault {
            NetworkFault::Cut => {
                proxy.cut(if coin { Cut::Rst } else { Cut::Fin });
                return format!("{place} with {}", if coin { "RST" } else { "FIN" });
            }
            NetworkFault::Delay => NetworkConditions::Delay { least: DELAY.0, jitter: DELAY.1 },
            NetworkFault::BlackHole => NetworkConditions::BlackHole,
            NetworkFault::Slow => NetworkConditions::Slow { bytes_per_second: BYTES_PER_SECOND },
            NetworkFault::HalfOpen => NetworkConditions::HalfOpen(if coin {
                PipeDirection::Upstream
            } else {
                PipeDirection::Downstream
            }),
        };
        proxy.set(conditions);
        self.due.push((clock::now() + lasts, Action::Restore(place)));
        format!("{place} {conditions:?} for {lasts:.1?}")
    }

    async fn undo(&mut self, due: Action, fleet: &mut Fleet) -> anyhow::Result<()> {
        match due {
            Action::Inject(_) => {}
            Action::Continue(place) => {
                fleet.members[place].process.signal(Signal::CONT)?;
                fleet.members[place].condition = Condition::Running;
            }
            Action::Start(place) => {
                fleet.members[place].process.spawn()?;
                fleet.members[place].condition = Condition::Running;
            }
            Action::Reap(place, latest) => self.reap(place, latest, fleet).await?,
            Action::Restore(place) => fleet.proxy_at(place).set(NetworkConditions::Unimpaired),
        }
        Ok(())
    }

    /// Restarts a process after its exit.
    async fn reap(
        &mut self,
        place: usize,
        latest: Instant,
        fleet: &mut Fleet,
    ) -> anyhow::Result<()> {
        let (now, member) = (clock::now(), &mut fleet.members[place]);
        let name = member.process.name().to_owned();
        match member.process.ended() {
            Some(status) if status.success() => {}
            Some(status) => {
                self.violations.push(format!("{name} ended with {status} after SIGTERM"))
            }
            None if now < latest => {
                self.due.push((now + POLL_INTERVAL, Action::Reap(place, latest)));
                return Ok(());
            }
            None => {
                self.violations
                    .push(format!("{name} did not end within {TERM_TIMEOUT:?} after SIGTERM"));
                member.process.kill().await?;
            }
        }
        member.process.spawn()?;
        member.condition = Condition::Running;
        self.log(&format!("{name} has ended"));
        Ok(())
    }

    fn log(&mut self, what: &str) {
        let seconds = clock::now().duration_since(self.start).as_secs_f64();
        // An incomplete log does not fail the run.
        let _ = writeln!(self.log, "{seconds:8.3} {what}");
    }
}
