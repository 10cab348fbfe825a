//! The stored version: the newest kind of content that a store may contain. Pure.
//!
//! Every store keeps the version, raises it in heartbeats and refuses programs that cannot read it.

use super::{STORED_VERSION, StoreError};

/// Leases for which the heartbeats of a core must have arrived without a gap before the core raises the version.
///
/// After an outage or a step of the clock all memberships may have expired. The other living cores return within one
/// lease, and the cores claim nothing for two leases.
pub(super) const STEADY_LEASES: u32 = 2;

/// The stored version after a heartbeat: never lower than before, and at most that of each live member.
pub(super) fn raise_version(stored: u32, live: impl IntoIterator<Item = u32>) -> u32 {
    stored.max(live.into_iter().min().unwrap_or(1)).max(1)
}

/// Refuses a store with content that this program cannot read.
pub(crate) fn check_version(stored: u32) -> Result<(), StoreError> {
    if stored <= STORED_VERSION {
        return Ok(());
    }
    Err(StoreError::Config(format!(
        "the store may contain content of stored version {stored}, this program reads up to version \
         {STORED_VERSION}; start a program of the release that reads version {stored}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_version_is_the_lowest_live_version_and_never_falls() {
        for (stored, live, raised) in [
            (0, &[][..], 1),
            (1, &[2, 3], 2),
            (1, &[2, 1, 3], 1),
            (2, &[1], 2),
            (2, &[], 2),
            (2, &[3], 3),
        ] {
            assert_eq!(raise_version(stored, live.iter().copied()), raised, "{stored} {live:?}");
        }
    }

    #[test]
    fn a_store_above_the_readable_version_is_refused() {
        for stored in [0, 1, STORED_VERSION - 1, STORED_VERSION] {
            assert_eq!(check_version(stored), Ok(()));
        }
        let newer = STORED_VERSION + 1;
        let Err(StoreError::Config(text)) = check_version(newer) else { panic!("accepted") };
        let names = |version: u32| text.contains(&format!("version {version}"));
        assert!(names(newer) && names(STORED_VERSION), "{text}");
    }
}
