//! Classification of Redis errors: the store error for the caller and the action for the connection.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError};

use super::super::StoreError;
use super::replica_set::Unconfirmed;

/// Required action on a connection after an error reply, in rising severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConnectionAction {
    /// Keep the connection.
    Keep,
    /// Load the scripts, which the server has lost, and send the requests again.
    LoadScripts,
    /// Close the connection and locate the right server.
    Reconnect,
}

/// Classifies an error reply to a command.
pub(super) fn classify(error: &ServerError) -> (ConnectionAction, StoreError) {
    let unavailable = |text: &str| StoreError::Unavailable(text.to_owned());
    let details = error.details().unwrap_or_default();
    match error.code() {
        "NOSCRIPT" => (ConnectionAction::LoadScripts, unavailable("Redis has lost the scripts")),
        "OOM" => {
            let text = "Redis is out of memory; raise its maxmemory".to_owned();
            (ConnectionAction::Keep, StoreError::Full(text))
        }
        "MISCONF" => {
            let text = "Redis cannot write to its disk; see the log of Redis and free disk space";
            (ConnectionAction::Keep, unavailable(text))
        }
        "READONLY" => {
            let text = "this Redis is a replica and does not write; name the primary in --store, or \
                        the Sentinels by redis-sentinel://";
            (ConnectionAction::Reconnect, unavailable(text))
        }
        "UNBLOCKED" => {
            (ConnectionAction::Reconnect, unavailable("this Redis has just become a replica"))
        }
        "LOADING" => (ConnectionAction::Reconnect, unavailable("Redis is still loading its data")),
        "MOVED" | "ASK" | "TRYAGAIN" => {
            let text = "the partition is on another node of the Redis cluster (is --store a \
                        redis-cluster:// address?)";
            (ConnectionAction::Reconnect, unavailable(text))
        }
        "CLUSTERDOWN" => (
            ConnectionAction::Reconnect,
            unavailable("the Redis cluster is down or has no owner for this slot"),
        ),
        "MASTERDOWN" => {
            let text = "this Redis is a replica without a connection to its primary";
            (ConnectionAction::Reconnect, unavailable(text))
        }
        "BUSY" => {
            let text = "Redis runs a script of another program; SCRIPT KILL ends the script";
            (ConnectionAction::Keep, unavailable(text))
        }
        code if is_refusal(code) => {
            (ConnectionAction::Reconnect, refused("", code, details, SERVER_FIX))
        }
        "WRONGTYPE" => {
            let text = "a Redis key has a foreign type; does another program use the prefix?";
            (ConnectionAction::Keep, StoreError::Corrupt(text.to_owned()))
        }
        code => (
            ConnectionAction::Keep,
            StoreError::Unavailable(format!("Redis error: {code} {details}")),
        ),
    }
}

/// Classifies the failure of a connection or of a connection attempt.
pub(super) fn classify_connection(error: &RedisError, server: &str) -> StoreError {
    let details = error.detail().unwrap_or_default();
    match error.code() {
        Some(code) if is_refusal(code) => {
            return refused(&format!(" at {server}"), code, details, SERVER_FIX);
        }
        Some(code) => return not_now(server, code, details),
        None => {}
    }
    if error.kind() == ErrorKind::InvalidClientConfig {
        return StoreError::Config(format!("Redis at {server} cannot be used: {error}"));
    }
    if error.is_timeout() {
        return timed_out(server);
    }
    StoreError::Unavailable(format!(
        "Redis at {server} cannot be reached ({error}); is it running, and is --store right?"
    ))
}

/// A response or a connection attempt timed out.
pub(super) fn timed_out(server: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "Redis at {server} did not respond in time; for a slow server, raise response_ms= or connect_ms= \
         in --store"
    ))
}

/// Advice after a refusal by a server with data.
const SERVER_FIX: &str = "check the user and password in --store (percent-encoded) or MINERVA_STORE_PASSWORD, and \
    that the user may use the keys of \
    the prefix and EVALSHA, SCRIPT LOAD, INFO and WAIT";

/// Advice after a refusal by a Sentinel.
const SENTINEL_FIX: &str = "check sentinel_user= and sentinel_password= in --store, and that the user may \
    use SENTINEL";

/// A refused login or command. `details` may be empty.
fn refused(server: &str, code: &str, details: &str, fix: &str) -> StoreError {
    let reason = format!("{code} {details}");
    StoreError::Config(format!("Redis{server} refuses access ({}); {fix}", reason.trim_end()))
}

/// Whether an error code shows a fault of the configuration, which a retry cannot resolve.
fn is_refusal(code: &str) -> bool {
    matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED")
}

/// Parts of the replies with the code `ERR` to AUTH and SELECT that show a fault of the configuration: a password that
/// the server does not need, a missing database, and a proxy without these commands.
const LOGIN_FAULTS: [&str; 4] = ["AUTH", "DB index", "SELECT is not allowed", "unknown command"];

/// A failed AUTH or SELECT. Most failures pass, such as a full table of clients or a server that loads its data.
pub(super) fn failed_login(error: &RedisError, server: &str, is_sentinel: bool) -> StoreError {
    let fix = if is_sentinel { SENTINEL_FIX } else { SERVER_FIX };
    let (code, details) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    let is_fault = code == "ERR" && LOGIN_FAULTS.iter().any(|part| details.contains(part));
    if is_refusal(code) || is_fault {
        return refused(&format!(" at {server}"), code, details, fix);
    }
    not_now(server, code, details)
}

/// An error reply that may pass.
fn not_now(server: &str, code: &str, details: &str) -> StoreError {
    let reply = format!("{code} {details}");
    StoreError::Unavailable(format!("Redis at {server} replies {}", reply.trim()))
}

/// A Sentinel refused the query.
pub(super) fn classify_sentinel(error: &RedisError, server: &str) -> StoreError {
    if let Some(code @ ("NOAUTH" | "NOPERM")) = error.code() {
        let server = format!(" Sentinel at {server}");
        return refused(&server, code, error.detail().unwrap_or_default(), SENTINEL_FIX);
    }
    classify_connection(error, server)
}

/// No Sentinel knows the primary.
pub(super) fn unknown_primary(name: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the Sentinels know no primary called `{name}`; is the name in --store right?"
    ))
}

/// Too few Sentinels have the newest configuration to exclude a failover.
pub(super) fn sentinels_disagree(primary: &str, agreeing: usize, total: usize) -> StoreError {
    StoreError::Unavailable(format!(
        "only {agreeing} of {total} Sentinels name {primary} as the primary; with wait= in --store, half of \
         them must, so that no failover goes unseen"
    ))
}

/// A request queue is full.
pub(super) fn queue_full() -> StoreError {
    StoreError::Unavailable("too many requests wait for Redis".to_owned())
}

/// The task of the connection has ended.
pub(super) fn connection_closed() -> StoreError {
    StoreError::Unavailable("the connection to Redis is closed".to_owned())
}

/// The server does not prove that the appends are durable. `wait` is the deadline of the replicas.
pub(super) fn unconfirmed(reason: &Unconfirmed, server: &str, wait: Duration) -> StoreError {
    StoreError::Unavailable(match reason {
        Unconfirmed::NotPrimary => format!("Redis at {server} is no longer the primary"),
        Unconfirmed::FailingOver => format!("Redis at {server} hands over to a replica"),
        Unconfirmed::Disconnected(replica) => format!(
            "replica {replica} is disconnected from Redis at {server}; a failover may have promoted it, so \
             appends pause for at least hold_ms="
        ),
        Unconfirmed::TooFew { confirmed, required } => format!(
            "only {confirmed} of {required} replicas confirmed within {} ms; are the replicas connected? \
             wait= and wait_ms= in --store set the least number and the timeout",
            wait.as_millis()
        ),
        Unconfirmed::NoReply => format!("Redis at {server} did not reply to WAIT"),
    })
}

/// The Sentinels name another primary.
pub(super) fn replaced_primary(old: &str, new: &str) -> StoreError {
    StoreError::Unavailable(format!("the Sentinels name {new} as the primary instead of {old}"))
}

/// A replica has disconnected, and too few Sentinels confirm the primary.
pub(super) fn may_be_replaced(server: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "a replica has left Redis at {server}, and the Sentinels report a failover or too few of them reply"
    ))
}

/// Another connection has found that the server is no longer the primary.
pub(super) fn connection_replaced() -> StoreError {
    StoreError::Unavailable("the primary of Redis has changed".to_owned())
}

/// No node of the cluster owns a slot.
pub(super) fn no_slot_owner(slot: u16) -> StoreError {
    StoreError::Unavailable(format!("no node of the Redis cluster owns slot {slot}"))
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, Value};

    use super::*;

    fn reply(line: &str) -> ServerError {
        let reply = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = reply else { panic!("{reply:?}") };
        error
    }

    fn is_config(error: &StoreError) -> bool {
        let is_config = matches!(error, StoreError::Config(_));
        let may_pass = matches!(error, StoreError::Unavailable(_) | StoreError::Full(_));
        assert!(is_config || may_pass, "{error:?}");
        is_config
    }

    /// Only a fault that a retry cannot resolve may end the program.
    #[test]
    fn only_faults_of_the_configuration_are_configuration_errors() {
        for (line, expected) in [
            ("NOAUTH Authentication required.", true),
            ("WRONGPASS invalid username-password pair or user is disabled.", true),
            ("NOPERM this user has no permissions to run the 'info' command", true),
            ("DENIED Redis is running in protected mode", true),
            ("ERR max number of clients reached", false),
            ("ERR max number of clients + cluster connections reached", false),
            ("LOADING Redis is loading the dataset in memory", false),
            ("BUSY Redis is busy running a script.", false),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                false,
            ),
            ("CLUSTERDOWN The cluster is down", false),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
            ("MISCONF Redis is configured to save RDB snapshots", false),
            ("READONLY You can't write against a read only replica.", false),
            ("TRYAGAIN Multiple keys request during rehashing of slot", false),
            ("ERR internal error", false),
        ] {
            let error = RedisError::from(reply(line));
            assert_eq!(is_config(&classify(&reply(line)).1), expected, "{line}");
            assert_eq!(is_config(&classify_connection(&error, "h:1")), expected, "{line}");
            assert_eq!(is_config(&failed_login(&error, "h:1", false)), expected, "{line}");
            assert_eq!(is_config(&classify_sentinel(&error, "h:1")), expected, "{line}");
        }
    }

    #[test]
    fn a_useless_password_or_database_is_a_configuration_error() {
        for line in [
            "ERR AUTH <password> called without any password configured for the default user.",
            "ERR Client sent AUTH, but no password is set",
            "ERR DB index is out of range",
            "ERR invalid DB index",
            "ERR SELECT is not allowed in cluster mode",
            "ERR unknown command 'AUTH'",
        ] {
            let error = failed_login(&RedisError::from(reply(line)), "h:1", false);
            assert!(is_config(&error), "{line}");
        }
    }

    #[test]
    fn a_lost_connection_is_no_configuration_error() {
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(!is_config(&failed_login(&lost, "h:1", true)));
        assert!(!is_config(&classify_connection(&lost, "h:1")));
        let invalid = RedisError::from((ErrorKind::InvalidClientConfig, "certificate"));
        assert!(is_config(&classify_connection(&invalid, "h:1")));
    }
}
