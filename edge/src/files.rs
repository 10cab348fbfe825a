//! The process limit of open files (RLIMIT_NOFILE); each connection needs one. Raised once by `edge.rs`
//! before the first connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files reserved for purposes other than client connections: links, application services, the store, the
/// admin port.
const RESERVED: u64 = 256;

/// Number of open files that `connections` need.
pub(crate) fn needed(connections: u32) -> u64 {
    u64::from(connections) + RESERVED
}

/// Raises the limit for `connections` as far as the system allows; returns the number that fits.
pub(crate) fn raise_limit(connections: u32) -> u32 {
    let wanted = needed(connections);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let mut limit = current.unwrap_or(u64::MAX);
    if limit < wanted {
        let raised = wanted.min(maximum.unwrap_or(u64::MAX));
        let new = Rlimit { current: Some(raised), maximum };
        if setrlimit(Resource::Nofile, new).is_ok() {
            limit = raised;
        }
    }
    let fitting = fitting(limit, connections);
    if fitting < connections {
        tracing::info!(
            connections = fitting,
            files = limit,
            "fewer connections than --max-connections: raise the limit of open files (ulimit -n)"
        );
    }
    fitting
}

/// Number of connections that fit under `limit`, from 1 to `connections`.
fn fitting(limit: u64, connections: u32) -> u32 {
    // Of a tiny limit, half is reserved.
    let rest = limit - RESERVED.min(limit / 2);
    u32::try_from(rest).unwrap_or(u32::MAX).clamp(1, connections.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_reserved_below_the_limit() {
        assert_eq!(fitting(1255, 1000), 999);
        assert_eq!(fitting(1256, 1000), 1000);
        assert_eq!(fitting(1257, 1000), 1000);
        assert_eq!(fitting(u64::MAX, 4_000_000), 4_000_000);
        assert_eq!((fitting(64, 1000), fitting(1, 1000), fitting(0, 1000)), (32, 1, 1));
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_limit() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise_limit(1), 1);
        let most = before.maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_limit(u32::MAX), fitting(most, u32::MAX));
        let after = getrlimit(Resource::Nofile);
        assert!(after.current.unwrap_or(u64::MAX) >= before.current.unwrap_or(u64::MAX));
        assert_eq!(after.maximum, before.maximum);
    }
}
