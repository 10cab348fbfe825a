//! The kinds of fault, and how a run is told which of them to do: `edge-kill=2s,link-blackhole=7s/3s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use minerva_runtime::positive_duration;

use crate::fleet::{Hop, Part, StoreKind};

/// How long a fault lasts that has an end, unless said otherwise.
const LASTING: Duration = Duration::from_secs(2);
/// How long a fault that is over at once is looked at for pauses that it makes.
const SETTLES: Duration = Duration::from_millis(500);
/// The same for a process that is asked to end, which takes its time.
const ENDS: Duration = Duration::from_secs(3);

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIGKILL, and started again.
    Kill(Part),
    /// SIGSTOP for a while.
    Stop(Part),
    /// SIGTERM, and started again when it has ended.
    Term(Part),
    /// Something on the way between two processes.
    Way(Hop, Harm),
    /// A Sentinel is asked for another primary.
    Failover,
}

/// What is done to a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Cut,
    Delay,
    BlackHole,
    Slow,
    HalfOpen,
}

/// A kind, and how often it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// From one to the next on average; each time at random from half to one and a half of it.
    pub(crate) every: Duration,
    /// The longest, if it has an end.
    pub(crate) lasting: Duration,
}

const PARTS: [(&str, Part); 4] =
    [("redis", Part::Redis), ("core", Part::Core), ("edge", Part::Edge), ("app", Part::App)];
const HOPS: [(&str, Hop); 4] =
    [("client", Hop::Client), ("link", Hop::Link), ("api", Hop::Api), ("redis", Hop::Redis)];
const HARMS: [(&str, Harm); 5] = [
    ("cut", Harm::Cut),
    ("delay", Harm::Delay),
    ("blackhole", Harm::BlackHole),
    ("slow", Harm::Slow),
    ("half-open", Harm::HalfOpen),
];
/// What is done to a process of a kind.
type ToPart = fn(Part) -> Kind;
const TO_PARTS: [ToPart; 3] = [Kind::Kill, Kind::Stop, Kind::Term];

impl Kind {
    /// All there are.
    pub(crate) fn all() -> Vec<Self> {
        let to_parts = PARTS.iter().flat_map(|(_, part)| TO_PARTS.map(|make| make(*part)));
        let ways = HOPS.iter().flat_map(|(_, hop)| HARMS.map(|(_, harm)| Self::Way(*hop, harm)));
        let all = to_parts.chain(ways).chain([Self::Failover]);
        // Redis that is asked to end is started again with what it saved: nothing that a kill does not show.
        all.filter(|kind| *kind != Self::Term(Part::Redis)).collect()
    }

    /// Whether a run on this store can do it.
    pub(crate) fn fits(self, store: StoreKind) -> bool {
        match self {
            Self::Kill(Part::Redis) | Self::Stop(Part::Redis) => store != StoreKind::Redb,
            Self::Way(Hop::Redis, _) => store == StoreKind::Redis,
            Self::Failover => store == StoreKind::Sentinel,
            Self::Kill(_) | Self::Stop(_) | Self::Term(_) | Self::Way(..) => true,
        }
    }

    /// How long a fault of this kind that lasts so long is looked at for pauses that it makes.
    pub(crate) fn settles(self, lasting: Duration) -> Duration {
        match self {
            Self::Kill(_) | Self::Way(_, Harm::Cut) => SETTLES,
            Self::Term(_) | Self::Failover => ENDS,
            Self::Stop(_) | Self::Way(..) => lasting,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, what) = match self {
            Self::Kill(part) => (name(&PARTS, part), "kill"),
            Self::Stop(part) => (name(&PARTS, part), "stop"),
            Self::Term(part) => (name(&PARTS, part), "term"),
            Self::Way(hop, harm) => (name(&HOPS, hop), name(&HARMS, harm)),
            Self::Failover => return f.pad("failover"),
        };
        f.pad(&format!("{part}-{what}"))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no KIND=INTERVAL, such as edge-kill=2s or core-stop=5s/2s");
        let (kind, times) = text.split_once('=').ok_or_else(wrong)?;
        let known = || {
            let names: Vec<_> = Kind::all().iter().map(ToString::to_string).collect();
            format!("`{kind}` is no kind of fault: there are {}", names.join(", "))
        };
        let kind =
            Kind::all().into_iter().find(|known| known.to_string() == kind).ok_or_else(known)?;
        let (every, lasting) = match times.split_once('/') {
            Some((every, lasting)) => (every, positive_duration(lasting)?),
            None => (times, LASTING),
        };
        Ok(Self { kind, every: positive_duration(every)?, lasting })
    }
}

/// What a run does that is not told what to do: everything that its store allows.
pub(crate) fn usual(store: StoreKind) -> Vec<Fault> {
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
    fn every_kind_is_read_by_its_name() {
        let all = Kind::all();
        assert_eq!(all.len(), 11 + 20 + 1);
        for kind in all {
            let fault: Fault = format!("{kind}=500ms/1s").parse().unwrap();
            let (every, lasting) = (Duration::from_millis(500), Duration::from_secs(1));
            assert_eq!(fault, Fault { kind, every, lasting });
        }
    }

    #[test]
    fn wrong_ones_are_explained() {
        for (text, what) in [
            ("edge-kill", "KIND=INTERVAL"),
            ("edge-kill=0s", "too short"),
            ("edge-kill=2s/x", "no time"),
            ("edge-eat=2s", "there are redis-kill, "),
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_run_does_what_its_store_allows() {
        assert_eq!(usual(StoreKind::Redis).len(), 21);
        let has = |store, kind| usual(store).iter().any(|fault| fault.kind == kind);
        assert!(has(StoreKind::Sentinel, Kind::Failover));
        assert!(!has(StoreKind::Sentinel, Kind::Way(Hop::Redis, Harm::Cut)));
        assert!(!has(StoreKind::Redb, Kind::Kill(Part::Redis)));
    }
}
