//! The rights of a caller: what a token or a certificate permits, for which service. Pure.

use std::fmt;
use std::sync::Arc;

use clap::ValueEnum;

/// One kind of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Right {
    /// Serve the streams of a service.
    Serve,
    /// Send to streams of a service, and change their groups.
    Send,
    /// Read the state of streams of a service.
    Read,
    /// End streams of a service.
    Reset,
    /// Attach clients as an edge.
    Edge,
    /// Read the metrics.
    Metrics,
}

/// All rights, in the order of their bits.
const ALL: [Right; 6] =
    [Right::Serve, Right::Send, Right::Read, Right::Reset, Right::Edge, Right::Metrics];

impl Right {
    /// Name in options and stored tokens.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Send => "send",
            Self::Read => "read",
            Self::Reset => "reset",
            Self::Edge => "edge",
            Self::Metrics => "metrics",
        }
    }

    /// Whether the right applies to one service.
    pub(crate) fn is_of_service(self) -> bool {
        !matches!(self, Self::Edge | Self::Metrics)
    }
}

/// A set of rights.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rights(u8);

impl Rights {
    pub(crate) fn has(self, right: Right) -> bool {
        self.0 & 1 << right as u8 != 0
    }

    /// The set with these names; names of later releases are skipped.
    pub(crate) fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let known = |name| ALL.into_iter().find(|right| right.name() == name);
        names.into_iter().filter_map(known).collect()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Right> {
        ALL.into_iter().filter(move |right| self.has(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | 1 << right as u8))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, right) in self.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "," }, right.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The services that a caller may address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    One(Arc<str>),
}

impl Scope {
    pub(crate) fn includes(&self, service: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(own) => **own == *service,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "*",
            Self::One(service) => service,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_named_rights_only() {
        for right in ALL {
            let set: Rights = [right].into_iter().collect();
            assert!(ALL.into_iter().all(|other| set.has(other) == (other == right)), "{set}");
            assert_eq!(Rights::from_names([right.name(), "of-a-later-release"]), set);
        }
        let all: Rights = ALL.into_iter().collect();
        assert_eq!(all.to_string(), "serve,send,read,reset,edge,metrics");
        assert_eq!(all.iter().count(), ALL.len());
        assert_eq!(Rights::from_names([]), Rights::default());
    }
}
