//! Does harm to a deployment, by a seed, and undoes it; keeps a list of what was done when.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::clock;
use crate::fault::{Fault, Harm, Kind};
use crate::fleet::{Condition, Fleet, Part};
use crate::ledger::Ledger;
use crate::process::Signal;
use crate::proxy::{Cut, Way, Weather};
use crate::random::Random;

/// How often a process that is asked to end is looked at, and how long it may take.
const LOOKS: Duration = Duration::from_millis(50);
const ENDS: Duration = Duration::from_secs(30);
/// A delay, and its jitter.
const DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));
/// A slow way.
const BYTES_PER_SECOND: u32 = 20_000;

/// Whoever does it.
pub(crate) struct Villain {
    faults: Vec<Fault>,
    random: Random,
    start: Instant,
    due: Vec<(Instant, Due)>,
    /// How often each fault was done.
    counts: Vec<u64>,
    /// What was done when.
    deeds: Vec<(Instant, Kind)>,
    log: File,
    /// What must not be, in words.
    wrong: Vec<String>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A fault, by its place.
    Strike(usize),
    /// A process that was stopped goes on.
    Continue(usize),
    /// A process that was killed is started again.
    Start(usize),
    /// A process that was asked to end may have done so; until then it may take.
    Reap(usize, Instant),
    /// A way is well again, by the place of its proxy.
    Calm(usize),
}

impl Villain {
    /// Prepares the faults; what is done is written to a file in the deployment's directory.
    pub(crate) fn new(faults: Vec<Fault>, seed: u64, fleet: &Fleet) -> anyhow::Result<Self> {
        let log = File::create(fleet.directory().join("faults.log")).context("no log file")?;
        let mut random = Random::new(seed);
        let start = clock::now();
        let due = faults.iter().enumerate().map(|(place, fault)| {
            (start + fault.every.mul_f64(random.fraction() + 0.1), Due::Strike(place))
        });
        let due = due.collect();
        let counts = vec![0; faults.len()];
        let (deeds, wrong) = (Vec::new(), Vec::new());
        Ok(Self { faults, random, start, due, counts, deeds, log, wrong })
    }

    /// What was done how often, and the place that it has in [`Ledger::pauses_of`].
    pub(crate) fn counts(&self) -> impl Iterator<Item = (usize, Kind, u64)> {
        let faults = self.faults.iter().zip(&self.counts).enumerate();
        faults.map(|(place, (fault, count))| (place, fault.kind, *count))
    }

    /// What was done when.
    pub(crate) fn deeds(&self) -> &[(Instant, Kind)] {
        &self.deeds
    }

    /// What must not be, in words.
    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Does harm for so long, then undoes what is not undone yet. In the end everything is running.
    pub(crate) async fn run(
        &mut self,
        fleet: &mut Fleet,
        ledger: &Ledger,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let end = clock::now() + duration;
        while let Some(at) = self.due.iter().map(|(at, _)| *at).min() {
            // Looked at now and then, whether something ended by itself.
            let wake = at.min(clock::now() + LOOKS);
            sleep(wake.saturating_duration_since(clock::now())).await;
            self.note_ended(fleet)?;
            if clock::now() >= end {
                self.due.retain(|(_, due)| !matches!(due, Due::Strike(_)));
            }
            match self.take_due() {
                Some(Due::Strike(fault)) => self.strike(fault, fleet, ledger).await?,
                Some(undo) => self.undo(undo, fleet).await?,
                None => {}
            }
        }
        fleet.ready().await?;
        self.note_ended(fleet)
    }

    /// What is due by now, the earliest first.
    fn take_due(&mut self) -> Option<Due> {
        let due = self.due.iter().enumerate().filter(|(_, (at, _))| *at <= clock::now());
        let (place, _) = due.min_by_key(|(_, (at, _))| *at)?;
        Some(self.due.swap_remove(place).1)
    }

    fn note_ended(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        for ended in fleet.revive()? {
            self.log(&ended);
            self.wrong.push(ended);
        }
        Ok(())
    }

    async fn strike(
        &mut self,
        place: usize,
        fleet: &mut Fleet,
        ledger: &Ledger,
    ) -> anyhow::Result<()> {
        let Fault { kind, every, lasting } = self.faults[place];
        let at = clock::now();
        let lasts = lasting.mul_f64(0.3 + 0.7 * self.random.fraction());
        let struck = match kind {
            Kind::Kill(part) => self.kill(part, fleet, lasting).await?,
            Kind::Stop(part) => self.signal(part, Signal::STOP, fleet, lasts)?,
            Kind::Term(part) => self.signal(part, Signal::TERM, fleet, LOOKS)?,
            Kind::Way(hop, harm) => {
                let proxies = fleet.free_proxies(hop);
                let proxy = self.random.choose(&proxies);
                proxy.map(|proxy| self.harm(proxy, harm, fleet, lasts))
            }
            Kind::Failover => fleet.fail_over().await.ok().map(|()| "the primary".to_owned()),
        };
        if let Some(victim) = struck {
            ledger.struck(place, at, at + kind.settles(lasts));
            self.counts[place] += 1;
            self.deeds.push((at, kind));
            self.log(&format!("{kind} {victim}"));
        }
        let pause = every.mul_f64(0.5 + self.random.fraction());
        self.due.push((at + pause, Due::Strike(place)));
        Ok(())
    }

    /// Somebody of this kind who is well.
    async fn victim(&mut self, part: Part, fleet: &Fleet) -> Option<usize> {
        let well = fleet.all_well(part);
        if part == Part::Redis && well.len() > 1 {
            // A replica more or less would not be noticed.
            let primary = fleet.primary().await.ok()?;
            return well.into_iter().find(|place| *place == fleet.all(Part::Redis)[primary]);
        }
        self.random.choose(&well)
    }

    async fn kill(
        &mut self,
        part: Part,
        fleet: &mut Fleet,
        lasting: Duration,
    ) -> anyhow::Result<Option<String>> {
        let Some(victim) = self.victim(part, fleet).await else { return Ok(None) };
        let is_in_set = part == Part::Redis && !fleet.sentinels.is_empty();
        let member = &mut fleet.members[victim];
        member.process.kill().await?;
        if is_in_set {
            // One that is back at once is not succeeded by another.
            member.condition = Condition::Down;
            self.due.push((clock::now() + lasting, Due::Start(victim)));
        } else {
            member.process.spawn()?;
        }
        Ok(Some(member.process.name().to_owned()))
    }

    fn signal(
        &mut self,
        part: Part,
        signal: Signal,
        fleet: &mut Fleet,
        lasts: Duration,
    ) -> anyhow::Result<Option<String>> {
        let Some(victim) = self.random.choose(&fleet.all_well(part)) else { return Ok(None) };
        let now = clock::now();
        let member = &mut fleet.members[victim];
        member.process.signal(signal)?;
        let due = if signal == Signal::STOP {
            member.condition = Condition::Stopped;
            Due::Continue(victim)
        } else {
            member.condition = Condition::Ending;
            Due::Reap(victim, now + ENDS)
        };
        self.due.push((now + lasts, due));
        Ok(Some(format!("{} for {lasts:.1?}", member.process.name())))
    }

    fn harm(&mut self, place: usize, harm: Harm, fleet: &mut Fleet, lasts: Duration) -> String {
        let proxy = fleet.proxy_at(place);
        let coin = self.random.between(0, 1) == 0;
        let weather = match harm {
            Harm::Cut => {
                proxy.cut(if coin { Cut::Rst } else { Cut::Fin });
                return format!("{place} with {}", if coin { "RST" } else { "FIN" });
            }
            Harm::Delay => Weather::Delay { least: DELAY.0, jitter: DELAY.1 },
            Harm::BlackHole => Weather::BlackHole,
            Harm::Slow => Weather::Slow { bytes_per_second: BYTES_PER_SECOND },
            Harm::HalfOpen => Weather::HalfOpen(if coin { Way::There } else { Way::Back }),
        };
        proxy.set(weather);
        self.due.push((clock::now() + lasts, Due::Calm(place)));
        format!("{place} {weather:?} for {lasts:.1?}")
    }

    async fn undo(&mut self, due: Due, fleet: &mut Fleet) -> anyhow::Result<()> {
        match due {
            Due::Strike(_) => {}
            Due::Continue(place) => {
                fleet.members[place].process.signal(Signal::CONT)?;
                fleet.members[place].condition = Condition::Well;
            }
            Due::Start(place) => {
                fleet.members[place].process.spawn()?;
                fleet.members[place].condition = Condition::Well;
            }
            Due::Reap(place, latest) => self.reap(place, latest, fleet).await?,
            Due::Calm(place) => fleet.proxy_at(place).set(Weather::Fair),
        }
        Ok(())
    }

    /// Starts again what was asked to end, once it has.
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
            Some(status) => self.wrong.push(format!("{name} ended with {status} when asked to")),
            None if now < latest => {
                self.due.push((now + LOOKS, Due::Reap(place, latest)));
                return Ok(());
            }
            None => {
                self.wrong.push(format!("{name} did not end within {ENDS:?} when asked to"));
                member.process.kill().await?;
            }
        }
        member.process.spawn()?;
        member.condition = Condition::Well;
        self.log(&format!("{name} has ended"));
        Ok(())
    }

    fn log(&mut self, what: &str) {
        let seconds = clock::now().duration_since(self.start).as_secs_f64();
        // A log that is not complete spoils no run.
        let _ = writeln!(self.log, "{seconds:8.3} {what}");
    }
}
