//! The kinds of faults, and the parser of `--faults`: `edge-kill=2s,link-blackhole=7s/3s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use minerva_runtime::positive_duration;

use crate::fleet::{Hop, Role, StoreKind};

/// Default length of a fault with an end.
const DEFAULT_DURATION: Duration = Duration::from_secs(2);
/// Pauses that begin within this time are charged to an instantaneous fault.
const ATTRIBUTION_WINDOW: Duration = Duration::from_millis(500);
/// The same for a SIGTERM, which includes the drain.
const TERM_ATTRIBUTION_WINDOW: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// SIGKILL and an immediate restart.
    Kill(Role),
    /// SIGSTOP, later SIGCONT.
    Stop(Role),
    /// SIGTERM, and a restart after the exit.
    Term(Role),
    /// A fault of the connections between two roles.
    Network(Hop, NetworkFault),
    /// A failover, requested from a Sentinel.
    Failover,
}

/// A fault of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    Cut,
    Delay,
    BlackHole,
    Slow,
    HalfOpen,
}

/// A kind with a frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// Mean interval; each interval is random, from 0.5 to 1.5 times the mean.
    pub(crate) every: Duration,
    /// Maximum length of a fault with an end.
    pub(crate) lasting: Duration,
}

/// Names of the roles that faults and upgrades affect.
pub(crate) const PROCESS_ROLES: [(&str, Role); 4] =
    [("redis", Role::Redis), ("core", Role::Core), ("edge", Role::Edge), ("app", Role::App)];
const HOPS: [(&str, Hop); 4] =
    [("client", Hop::Client), ("link", Hop::Link), ("api", Hop::Api), ("redis", Hop::Redis)];
const NETWORK_FAULTS: [(&str, NetworkFault); 5] = [
    ("cut", NetworkFault::Cut),
    ("delay", NetworkFault::Delay),
    ("blackhole", NetworkFault::BlackHole),
    ("slow", NetworkFault::Slow),
    ("half-open", NetworkFault::HalfOpen),
];
/// Constructor of a process fault.
type ProcessFault = fn(Role) -> FaultKind;
const PROCESS_FAULTS: [ProcessFault; 3] = [FaultKind::Kill, FaultKind::Stop, FaultKind::Term];

impl FaultKind {
    /// All supported kinds.
    pub(crate) fn all() -> Vec<Self> {
        let process_faults =
            PROCESS_ROLES.iter().flat_map(|(_, role)| PROCESS_FAULTS.map(|make| make(*role)));
        let ways = HOPS
            .iter()
            .flat_map(|(_, hop)| NETWORK_FAULTS.map(|(_, fault)| Self::Network(*hop, fault)));
        let all = process_faults.chain(ways).chain([Self::Failover]);
        // A SIGTERM to Redis saves all data, so it tests less than a kill.
        all.filter(|kind| *kind != Self::Term(Role::Redis)).collect()
    }

    /// Whether the kind is applicable to this store.
    pub(crate) fn fits(self, store: StoreKind) -> bool {
        match self {
            Self::Kill(Role::Redis) | Self::Stop(Role::Redis) => store != StoreKind::Redb,
            Self::Network(Hop::Redis, _) => store == StoreKind::Redis,
            Self::Failover => store == StoreKind::Sentinel,
            Self::Kill(_) | Self::Stop(_) | Self::Term(_) | Self::Network(..) => true,
        }
    }

    /// Pauses that begin within this time after the fault are charged to a fault of this kind and length.
    pub(crate) fn attribution_window(self, lasting: Duration) -> Duration {
        match self {
            Self::Kill(_) | Self::Network(_, NetworkFault::Cut) => ATTRIBUTION_WINDOW,
            Self::Term(_) | Self::Failover => TERM_ATTRIBUTION_WINDOW,
            Self::Stop(_) | Self::Network(..) => lasting,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, what) = match self {
            Self::Kill(role) => (name(&PROCESS_ROLES, role), "kill"),
            Self::Stop(role) => (name(&PROCESS_ROLES, role), "stop"),
            Self::Term(role) => (name(&PROCESS_ROLES, role), "term"),
            Self::Network(hop, fault) => (name(&HOPS, hop), name(&NETWORK_FAULTS, fault)),
            Self::Failover => return f.pad("failover"),
        };
        f.pad(&format!("{role}-{what}"))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not KIND=INTERVAL, such as edge-kill=2s or core-stop=5s/2s");
        let (kind, times) = text.split_once('=').ok_or_else(wrong)?;
        let known = || {
            let names: Vec<_> = FaultKind::all().iter().map(ToString::to_string).collect();
            format!("`{kind}` is not a kind of fault; the kinds are {}", names.join(", "))
        };
        let kind = FaultKind::all()
            .into_iter()
            .find(|known| known.to_string() == kind)
            .ok_or_else(known)?;
        let (every, lasting) = match times.split_once('/') {
            Some((every, lasting)) => (every, positive_duration(lasting)?),
            None => (times, DEFAULT_DURATION),
        };
        Ok(Self { kind, every: positive_duration(every)?, lasting })
    }
}

/// The faults of a run without `--faults`: all that the store supports.
pub(crate) fn default_faults(store: StoreKind) -> Vec<Fault> {
    let texts = [
        "edge-kill=4s",
        "core-kill=7s",
        "app-kill=6s",
        "redis-kill=13s/4s",
        "edge-stop=15s/3s",
        "core-stop=17s/4s",
        "app-stop=15s/4s",
        "redis-stop=19s/3s",
        "edge-term=17s",
        "core-term=13s",
        "app-term=17s",
        "client-cut=7s",
        "link-cut=6s",
        "api-cut=7s",
        "redis-cut=7s",
        "client-delay=17s",
        "link-blackhole=19s/4s",
        "api-blackhole=19s/4s",
        "redis-blackhole=23s/4s",
        "link-half-open=29s",
        "client-half-open=29s",
        "failover=17s",
    ];
    let faults = texts.iter().filter_map(|text| text.parse().ok());
    faults.filter(|fault: &Fault| fault.kind.fits(store)).collect()
}

fn name<T: PartialEq>(among: &[(&'static str, T)], wanted: &T) -> &'static str {
    among.iter().find(|(_, other)| other == wanted).map_or("sentinel", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_parsed_by_name() {
        let all = FaultKind::all();
        assert_eq!(all.len(), 11 + 20 + 1);
        for kind in all {
            let fault: Fault = format!("{kind}=500ms/1s").parse().unwrap();
            let (every, lasting) = (Duration::from_millis(500), Duration::from_secs(1));
            assert_eq!(fault, Fault { kind, every, lasting });
        }
    }

    #[test]
    fn parse_errors_explain_the_format() {
        for (text, what) in [
            ("edge-kill", "KIND=INTERVAL"),
            ("edge-kill=0s", "too short"),
            ("edge-kill=2s/x", "not a time"),
            ("edge-eat=2s", "the kinds are redis-kill, "),
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn default_faults_fit_the_store() {
        assert_eq!(default_faults(StoreKind::Redis).len(), 21);
        let has = |store, kind| default_faults(store).iter().any(|fault| fault.kind == kind);
        assert!(has(StoreKind::Sentinel, FaultKind::Failover));
        assert!(!has(StoreKind::Sentinel, FaultKind::Network(Hop::Redis, NetworkFault::Cut)));
        assert!(!has(StoreKind::Redb, FaultKind::Kill(Role::Redis)));
    }
}
