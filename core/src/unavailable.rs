//! The reasons for which a core closes a transport with a request to retry, as the client reads them, and the wait
//! before the next attempt.
//!
//! Used where a transport is refused, and by the counters, which have one entry for each.

use std::time::Duration;

use minerva_proto::link::CloseCause;
pub(crate) use minerva_proto::link::{NO_APPLICATION, UNSERVED};

/// Memory is short, or the stream changes its transport too often.
pub(crate) const BUSY: &str = "busy";
/// The message is behind a gap, and no budget admits it.
pub(crate) const NO_ROOM_BEHIND_GAP: &str = "no room behind a gap";
/// The partition has too many streams.
pub(crate) const TOO_MANY_STREAMS: &str = "too many streams";
/// The address has too many streams.
pub(crate) const ADDRESS_FULL: &str = "too many streams of this address";
/// The stream has too many transports.
pub(crate) const TOO_MANY_TRANSPORTS: &str = "too many transports";
/// Too many Rejoined events of the stream wait for the application.
pub(crate) const TOO_MANY_REJOINS: &str = "too many page loads wait for the application";
/// Too many batches of the transport wait for room.
pub(crate) const TOO_MANY_BATCHES: &str = "too many batches wait";
/// A live core cannot store verified identities.
pub(crate) const OLD_CORES: &str = "a core of an earlier release is live";
/// The keys of the token's issuer are being read.
pub(crate) const KEYS: &str = "the keys of the issuer are being read";
/// The owner does not know yet whether the stream is lost.
pub(crate) const NEW_OWNER: &str = "its owner is new";
/// Too many inputs wait in the partition.
pub(crate) const OVERLOADED: &str = "overloaded";

/// The close of a transport for this reason, with the usual wait before the next attempt.
pub(crate) fn close(reason: &'static str) -> CloseCause {
    close_after(reason, usual_wait(reason))
}

/// As [`close`], for a known wait.
pub(crate) fn close_after(reason: &'static str, retry_after: Duration) -> CloseCause {
    CloseCause::Unavailable { reason: reason.to_owned(), retry_after }
}

fn usual_wait(reason: &str) -> Duration {
    Duration::from_secs(match reason {
        // Streams end only in the course of time.
        ADDRESS_FULL | TOO_MANY_STREAMS => 10,
        // An operator or an application must act, or memory must be released.
        BUSY | UNSERVED | NO_APPLICATION | TOO_MANY_REJOINS | OLD_CORES => 5,
        _ => 1,
    })
}

/// All reasons with the wait in seconds, for tests.
#[cfg(test)]
pub(crate) const WAITS: [(&str, u64); 13] = [
    (BUSY, 5),
    (NO_ROOM_BEHIND_GAP, 1),
    (UNSERVED, 5),
    (NO_APPLICATION, 5),
    (TOO_MANY_STREAMS, 10),
    (ADDRESS_FULL, 10),
    (TOO_MANY_TRANSPORTS, 1),
    (TOO_MANY_REJOINS, 5),
    (TOO_MANY_BATCHES, 1),
    (OLD_CORES, 5),
    (KEYS, 1),
    (NEW_OWNER, 1),
    (OVERLOADED, 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_wait() {
        for (reason, seconds) in WAITS {
            let retry_after = Duration::from_secs(seconds);
            let reason_text = reason.to_owned();
            let expected = CloseCause::Unavailable { reason: reason_text, retry_after };
            assert_eq!(close(reason), expected);
        }
    }
}
