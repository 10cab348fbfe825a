//! The plan of a run, derived from the seed: numbers of processes, limits, and the schedule of faults.

use std::time::Duration;

use minerva_core::limits::Limits;
use minerva_core::partition::PartitionOptions;
use minerva_proto::PartitionHash;

use crate::clock::Time;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Network;
use crate::random::Random;
use crate::versions::Versions;

/// Settings of a run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Number of clients; each has one stream.
    pub streams: usize,
    /// Messages per stream and direction.
    pub messages: u64,
    /// Print the trace.
    pub trace: bool,
    /// Frequency of store rollbacks.
    pub rollbacks: Frequency,
    /// Frequency of damaged blobs.
    pub damage: Frequency,
    /// Abilities of the clients.
    pub clients: Clients,
    /// Frequency of long outages: a full store, or a service whose instances start late.
    pub outages: Frequency,
}

/// Abilities of the clients. They decide which failures of a client are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Clients {
    /// Clients of wire version 2, which cannot detect that a message number was assigned twice.
    V2,
    /// Clients of wire version 3, which check claim tags, so that every failure counts; a quarter has wire version 2.
    Tagged,
}

/// Frequency of a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Frequency {
    /// Never.
    Never,
    /// In some runs, rarely.
    Sometimes,
    /// In all runs, often.
    Often,
}

/// The plan of one seed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) edges: usize,
    pub(crate) cores: usize,
    /// All cores but the first are on standby.
    standby: bool,
    pub(crate) services: usize,
    /// Instances of each service.
    apps: usize,
    pub(crate) partitions: u32,
    pub(crate) hash: PartitionHash,
    /// Mean pause between two bursts of messages.
    pub(crate) pace: Time,
    /// End of all faults.
    pub(crate) healed_at: Time,
    pub(crate) s2c_window: u64,
    pub(crate) app_window: usize,
    pub(crate) max_idle: Time,
    pub(crate) may_roll_back: bool,
    may_damage: bool,
    /// Damage beside the ordinary plan.
    extra_damage: u64,
    /// Times in which the store is full.
    full_stores: u64,
    /// The time at which the instances of the last service start; there are no faults before.
    pub(crate) late_service_at: Option<Time>,
    /// Whether programs of several releases run at the same time.
    pub(crate) mixes_versions: bool,
    /// Stored version of the store at the start. The version rises only after the streams were created.
    pub(crate) stored_version: u32,
    /// Relative frequencies of the faults.
    weights: &'static [(Fault, u64)],
    pub(crate) limits: Limits,
    pub(crate) options: PartitionOptions,
}

/// Relative frequency of each fault.
const WEIGHTS: &[(Fault, u64)] = &[
    (Fault::CutClient, 14),
    (Fault::CutLink, 6),
    (Fault::CutApp, 5),
    (Fault::Delay, 4),
    (Fault::EdgeCrash, 3),
    (Fault::EdgeDrain, 2),
    (Fault::CoreCrash, 4),
    (Fault::HandOver, 3),
    (Fault::CorePause, 3),
    (Fault::AppCrash, 3),
    (Fault::AppRestart, 2),
    (Fault::AppAbsent, 1),
    (Fault::ServiceAbsent, 2),
    (Fault::StoreSlow, 3),
    (Fault::StoreUnavailable, 3),
    (Fault::StoreReplyLost, 3),
    (Fault::Rollback, 1),
    (Fault::RollbackDeath, 1),
    (Fault::PartitionRollback, 1),
    (Fault::PartitionRollbackDeath, 1),
    (Fault::LostCheckpoint, 1),
    (Fault::StoreCutOff, 3),
    (Fault::SplitBrain, 3),
    (Fault::StoreClockStep, 2),
    (Fault::BlobDamage, 1),
    (Fault::TransportSwitch, 8),
    (Fault::ClientOffline, 3),
    (Fault::ClientSlow, 4),
    (Fault::ClientResets, 1),
    (Fault::AppResets, 1),
];

/// Relative frequencies with [`Frequency::Often`].
const OFTEN: &[(Fault, u64)] = &[
    (Fault::CutClient, 14),
    (Fault::CutLink, 3),
    (Fault::CutApp, 3),
    (Fault::EdgeCrash, 3),
    (Fault::HandOver, 6),
    (Fault::AppCrash, 3),
    (Fault::Rollback, 2),
    (Fault::RollbackDeath, 15),
    (Fault::PartitionRollback, 2),
    (Fault::PartitionRollbackDeath, 5),
    (Fault::LostCheckpoint, 5),
    (Fault::TransportSwitch, 4),
    (Fault::ClientOffline, 30),
];

impl Plan {
    pub(crate) fn new(options: &Options, net: &mut Network) -> Self {
        let random = &mut net.random;
        let length = random.between(30_000, 60_000);
        let max_idle = random.pick(&[20_000, 40_000]);
        let limits = Limits {
            max_idle: Duration::from_millis(max_idle),
            inbox_bytes: random.between(400, 4000) as usize,
            inbox_messages: random.between(5, 60) as usize,
            outbox_bytes: random.between(400, 4000) as usize,
            outbox_messages: random.between(5, 60) as usize,
            ..Limits::default()
        };
        let partition_options = PartitionOptions {
            max_attempts: 0,
            app_grace: Duration::from_millis(random.between(500, 3000)),
            app_crash_grace: Duration::from_millis(400),
            checkpoint_bytes: 1 << 20,
            checkpoint_entries: random.between(3, 60),
            lease: Duration::from_secs(2),
            standby: false,
            subprotocols: Vec::new(),
            stored_version: minerva_core::store::STORED_VERSION,
        };
        // A store with a key refuses programs of release 0.1.
        let (mixes_versions, is_keyed) = (random.percent(40), random.percent(50));
        let key = (!mixes_versions && is_keyed).then(|| random.key());
        let is_upgraded = !mixes_versions || random.percent(50);
        let stored_version = if is_upgraded { minerva_core::store::STORED_VERSION } else { 0 };
        let (full_stores, late_service_at) = outages(options.outages, random);
        Self {
            edges: random.between(2, 3) as usize,
            cores: random.between(2, 3) as usize,
            standby: random.percent(30),
            services: random.pick(&[1, 1, 2, 3]),
            apps: random.between(1, 2) as usize,
            partitions: random.between(1, 8) as u32,
            hash: PartitionHash::new(key),
            pace: (length * 3 / options.messages.max(1)).max(1),
            healed_at: length,
            s2c_window: random.pick(&[200, 2000, 100_000]),
            app_window: random.pick(&[100, 1000, 100_000]),
            max_idle,
            // Frequency hide other defects, since streams with lost state may end.
            may_roll_back: match options.rollbacks {
                Frequency::Never => false,
                Frequency::Sometimes => random.percent(50),
                Frequency::Often => true,
            },
            // Damage hides other defects in the same way.
            may_damage: match options.damage {
                Frequency::Never => false,
                Frequency::Sometimes => random.percent(25),
                Frequency::Often => true,
            },
            full_stores,
            late_service_at,
            extra_damage: if options.damage == Frequency::Often { 6 } else { 0 },
            mixes_versions,
            stored_version,
            weights: if options.rollbacks == Frequency::Often { OFTEN } else { WEIGHTS },
            limits,
            options: partition_options,
        }
    }

    /// The versions of the clients. Cores and edges serve version 3 once all live cores can read its stored content.
    pub(crate) fn versions(&self, clients: Clients) -> Versions {
        Versions {
            clients,
            services: self.services,
            serves_v3: self.has_summaries(),
            has_old_apps: self.mixes_versions,
            instances: self.instances(),
        }
    }

    /// Whether every checkpoint has a summary, which reveals an earlier snapshot in the place of the last one.
    pub(crate) fn has_summaries(&self) -> bool {
        self.stored_version == minerva_core::store::STORED_VERSION
    }

    /// Number of instances.
    pub(crate) fn instances(&self) -> usize {
        self.services * self.apps
    }

    pub(crate) fn is_standby(&self, core: usize) -> bool {
        self.standby && core > 0
    }

    fn first_fault_at(&self) -> Time {
        self.late_service_at.unwrap_or(0) + 500
    }

    /// Schedules the faults and their end.
    pub(crate) fn schedule(&self, net: &mut Network) {
        let sum: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        for _ in 0..net.random.between(20, 50) {
            let mut pick = net.random.between(0, sum - 1);
            let fault = self.weights.iter().find(|(_, weight)| {
                let is_it = pick < *weight;
                pick = pick.saturating_sub(*weight);
                is_it
            });
            let is_meant = |fault: Fault| {
                (self.may_roll_back || !fault.is_rollback())
                    && (self.may_damage || fault != Fault::BlobDamage)
            };
            if let Some((fault, _)) = fault.filter(|(fault, _)| is_meant(*fault)) {
                let at = net.random.between(self.first_fault_at(), self.healed_at - 500);
                net.events.schedule(at, Event::Fault(*fault));
            }
        }
        for _ in 0..self.full_stores {
            let at = net.random.between(self.first_fault_at(), self.healed_at - 500);
            net.events.schedule(at, Event::Fault(Fault::StoreFull));
        }
        for _ in 0..self.extra_damage {
            let at = net.random.between(self.first_fault_at(), self.healed_at - 500);
            net.events.schedule(at, Event::Fault(Fault::BlobDamage));
        }
        net.events.schedule(self.healed_at, Event::Heal);
    }
}

/// Number of times in which the store is full, and the time at which the last service starts.
fn outages(frequency: Frequency, random: &mut Random) -> (u64, Option<Time>) {
    match frequency {
        Frequency::Never => (0, None),
        Frequency::Sometimes | Frequency::Often if random.percent(50) => (3, None),
        Frequency::Sometimes | Frequency::Often => (0, Some(random.between(12_000, 18_000))),
    }
}
