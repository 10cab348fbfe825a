//! The system's limit of open files, of which each connection needs one. Raised once by `edge.rs`,
//! before the first connection; knows no sockets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process needs besides its clients' connections: the link, application services, the
/// store, pages that are asked for by an operator.
const OTHERS: u64 = 256;

/// Files that have to be open for so many connections.
pub(crate) fn needed(connections: u32) -> u64 {
    u64::from(connections) + OTHERS
}

/// Raises the limit so that `connections` fit, as far as the system lets it, and returns how many do.
pub(crate) fn make_room(connections: u32) -> u32 {
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
    let room = room(limit, connections);
    if room < connections {
        tracing::info!(
            connections = room,
            files = limit,
            "fewer connections than --max-connections: raise the limit of open files (ulimit -n)"
        );
    }
    room
}

/// How many of `connections` fit under a limit; at least one.
fn room(limit: u64, connections: u32) -> u32 {
    // A limit that is tiny is shared.
    let rest = limit - OTHERS.min(limit / 2);
    u32::try_from(rest).unwrap_or(u32::MAX).clamp(1, connections.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_leaves_room_for_other_files() {
        assert_eq!(room(1255, 1000), 999);
        assert_eq!(room(1256, 1000), 1000);
        assert_eq!(room(1257, 1000), 1000);
        assert_eq!(room(u64::MAX, 4_000_000), 4_000_000);
        assert_eq!((room(64, 1000), room(1, 1000), room(0, 1000)), (32, 1, 1));
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(make_room(1), 1);
        let most = before.maximum.unwrap_or(u64::MAX);
        assert_eq!(make_room(u32::MAX), room(most, u32::MAX));
        let after = getrlimit(Resource::Nofile);
        assert!(after.current.unwrap_or(u64::MAX) >= before.current.unwrap_or(u64::MAX));
        assert_eq!(after.maximum, before.maximum);
    }
}
