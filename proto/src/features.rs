//! Features and versions in the greetings of the link and of the application API. Each side lists the features that it
//! supports; both use the common ones. Used by edge, core and application SDK; has no state.

use std::ops::BitAnd;

/// An addition to a contract that a peer must support before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Link: the edge routes by `CoreHello.partition_key`.
    KeyedPartitions,
    /// Link and application API: messages have claim tags, and peers report those of the messages that they have received.
    ClaimTags,
    /// Application API: `SetLimits.ack_timeout_ms` limits the time without an acknowledgement.
    AckTimeout,
    /// Application API: `Finish` ends a stream behind the messages for the client.
    Finish,
    /// Application API: `Sync` confirms the earlier commands of a stream.
    Sync,
    /// Link and application API: messages are text or binary, and text may be any UTF-8.
    MessageKinds,
    /// Link and application API: new generations of a client adopt its stream.
    Sessions,
    /// Application API: new tokens of clients are events.
    Identities,
}

impl Feature {
    const ALL: [Self; 8] = [
        Self::KeyedPartitions,
        Self::ClaimTags,
        Self::AckTimeout,
        Self::Finish,
        Self::Sync,
        Self::MessageKinds,
        Self::Sessions,
        Self::Identities,
    ];

    /// The name in a greeting: lower-case letters, digits and dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyedPartitions => "keyed-partitions",
            Self::ClaimTags => "claim-tags",
            Self::AckTimeout => "ack-timeout",
            Self::Finish => "finish",
            Self::Sync => "sync",
            Self::MessageKinds => "message-kinds",
            Self::Sessions => "sessions",
            Self::Identities => "identities",
        }
    }
}

/// A set of features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// No feature: a peer of release 0.1.
    pub const NONE: Self = Self(0);
    /// The features of the link that this build supports, as edge and as core.
    pub const LINK: Self = Self::NONE
        .with(Feature::KeyedPartitions)
        .with(Feature::ClaimTags)
        .with(Feature::MessageKinds)
        .with(Feature::Sessions);
    /// The features of the application API that this build supports, as core and as application SDK.
    pub const APP: Self = Self::NONE
        .with(Feature::ClaimTags)
        .with(Feature::AckTimeout)
        .with(Feature::Finish)
        .with(Feature::Sync)
        .with(Feature::MessageKinds)
        .with(Feature::Sessions)
        .with(Feature::Identities);

    /// Parses the list of a greeting. Unknown names are left out.
    pub fn from_names<T: AsRef<str>>(names: &[T]) -> Self {
        let is_listed =
            |feature: &Feature| names.iter().any(|name| name.as_ref() == feature.name());
        Feature::ALL.into_iter().filter(is_listed).fold(Self::NONE, Self::with)
    }

    /// The list for a greeting.
    pub fn names(self) -> Vec<String> {
        let is_in = |feature: &Feature| self.contains(*feature);
        Feature::ALL.into_iter().filter(is_in).map(|feature| feature.name().to_owned()).collect()
    }

    /// Whether the set contains a feature.
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u32 != 0
    }

    /// This set and one more feature.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u32)
    }
}

/// The features of both sets: those in use between two peers.
impl BitAnd for Features {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The versions of a contract that one side supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    oldest: u32,
    newest: u32,
}

impl Versions {
    /// Versions of this build.
    pub const fn new(oldest: u32, newest: u32) -> Self {
        Self { oldest, newest }
    }

    /// The oldest supported version.
    pub const fn oldest(self) -> u32 {
        self.oldest
    }

    /// The newest supported version.
    pub const fn newest(self) -> u32 {
        self.newest
    }

    /// Versions of a greeting: the fields `version` and `max_version`. Release 0.1 sends `version` only.
    pub fn from_greeting(version: u32, max_version: u32) -> Self {
        Self { oldest: version, newest: max_version.max(version) }
    }

    /// The version that both sides use, the smaller of the newest ones; `None` if it is below the oldest of one side.
    pub fn common(self, other: Self) -> Option<u32> {
        let version = self.newest.min(other.newest);
        (version >= self.oldest.max(other.oldest)).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_harmless() {
        let names = ["from-the-future", "keyed-partitions", "", "Keyed-Partitions"];
        let features = Features::from_names(&names);
        assert_eq!(features, Features::NONE.with(Feature::KeyedPartitions));
        assert_eq!(features.names(), ["keyed-partitions"]);
        assert_eq!(Features::from_names(&["from-the-future"]), Features::NONE);
    }

    #[test]
    fn common_features_are_those_of_both_lists() {
        let (all, none) = (Features::LINK, Features::from_names::<&str>(&[]));
        assert_eq!((all & all, all & none, none & all), (all, none, none));
        assert!(all.contains(Feature::KeyedPartitions) && !none.contains(Feature::KeyedPartitions));
    }

    #[test]
    fn names_are_distinct_and_lower_case_with_dashes() {
        let names = Feature::ALL.map(Feature::name);
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
        }
        assert_eq!(Features::from_names(&names).names(), names);
    }

    /// Oldest and newest version of two sides, and the version in use.
    #[test]
    fn the_smaller_newest_version_is_used_if_both_sides_support_it() {
        for (ours, theirs, common) in [
            ((1, 1), (1, 0), Some(1)),
            ((1, 1), (1, 1), Some(1)),
            ((1, 1), (1, 7), Some(1)),
            ((1, 3), (1, 2), Some(2)),
            ((1, 1), (2, 0), None),
            ((1, 1), (2, 7), None),
            ((2, 3), (1, 0), None),
            ((1, 1), (0, 0), None),
        ] {
            let theirs = Versions::from_greeting(theirs.0, theirs.1);
            let ours = Versions::new(ours.0, ours.1);
            assert_eq!((ours.common(theirs), theirs.common(ours)), (common, common), "{theirs:?}");
        }
    }
}
