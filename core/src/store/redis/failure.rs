//! What an error of Redis means: to the caller, in the words of the store's contract, and to the
//! connection on which it came.

use redis::{ErrorKind, RedisError, ServerError};

use super::super::StoreError;

/// What to do with a connection after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Then {
    /// Nothing: the next command may do better.
    Stay,
    /// The server has forgotten the scripts: load them and send again.
    Load,
    /// This server is not the right one (any more): look for the right one.
    Leave,
}

/// Judges an error reply to one command.
pub(super) fn judge(error: &ServerError) -> (Then, StoreError) {
    let unavailable = |text: &str| StoreError::Unavailable(text.to_owned());
    let details = error.details().unwrap_or_default();
    match error.code() {
        "NOSCRIPT" => (Then::Load, unavailable("Redis has forgotten the scripts")),
        "OOM" => (Then::Stay, unavailable("Redis has no memory left; raise its maxmemory")),
        "MISCONF" => {
            let text = "Redis cannot write to its disk; see the log of Redis and make room there";
            (Then::Stay, unavailable(text))
        }
        "READONLY" => {
            let text = "this Redis is a replica and does not write; name the primary in --store, or \
                        the Sentinels by redis-sentinel://";
            (Then::Leave, unavailable(text))
        }
        "LOADING" => (Then::Leave, unavailable("Redis is still loading its data")),
        "MOVED" | "ASK" | "TRYAGAIN" => {
            let text = "the partition is on another node of the Redis cluster (is --store a \
                        redis-cluster:// address?)";
            (Then::Leave, unavailable(text))
        }
        "CLUSTERDOWN" | "MASTERDOWN" => {
            (Then::Leave, unavailable("the Redis cluster is down or has no owner for this slot"))
        }
        "NOAUTH" | "WRONGPASS" | "NOPERM" => (Then::Leave, refused(details)),
        "WRONGTYPE" => {
            let text =
                "a key of Redis is of a type that is not ours; is the prefix used by others?";
            (Then::Stay, StoreError::Corrupt(text.to_owned()))
        }
        code => (Then::Stay, StoreError::Unavailable(format!("Redis says: {code} {details}"))),
    }
}

/// Judges the failure of a whole connection, or of making one.
pub(super) fn judge_connection(error: &RedisError, place: &str) -> StoreError {
    let is_refused = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    if is_refused {
        return refused(error.detail().unwrap_or_default());
    }
    if error.kind() == ErrorKind::InvalidClientConfig {
        return StoreError::Config(format!("Redis at {place} cannot be used: {error}"));
    }
    if error.is_timeout() {
        return too_slow(place);
    }
    StoreError::Unavailable(format!(
        "Redis at {place} cannot be reached ({error}); is it running, and is --store right?"
    ))
}

/// No answer in time.
pub(super) fn too_slow(place: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "Redis at {place} does not answer in time; if it is only slow, raise response_ms= or connect_ms= \
         in --store"
    ))
}

fn refused(details: &str) -> StoreError {
    StoreError::Config(format!(
        "Redis refuses us ({details}); check the user and password in --store, and that the user may \
         use the keys of the prefix and EVALSHA, SCRIPT LOAD, INFO and WAIT"
    ))
}

/// The Sentinels do not know the primary.
pub(super) fn unknown_primary(name: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the Sentinels know no primary called `{name}`; is the name in --store right?"
    ))
}

/// A lane or the cluster's waiting room is full.
pub(super) fn full() -> StoreError {
    StoreError::Unavailable("too many calls wait for Redis".to_owned())
}

/// The task that should answer is gone.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("the connection to Redis has been given up".to_owned())
}

/// Fewer replicas than wanted have what was written.
pub(super) fn too_few_replicas(confirmed: i64, wanted: usize, ms: u128) -> StoreError {
    StoreError::Unavailable(format!(
        "only {confirmed} of {wanted} replicas confirmed within {ms} ms; are the replicas connected? \
         wait= and wait_ms= in --store say how many and how long"
    ))
}

/// The cluster has nobody for a partition.
pub(super) fn no_owner(slot: u16) -> StoreError {
    StoreError::Unavailable(format!("no node of the Redis cluster owns slot {slot}"))
}
