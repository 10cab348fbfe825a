//! The connection of a client as presence reports it. Derived; nothing here is durable.

use super::Millis;
use super::machine::Stream;

/// A shorter time without transports is no detach: a client of long-polls has none between two requests.
pub const DETACHED_AFTER_MS: u64 = 1_000;
/// Time without transports after which a member of a group is absent. A reload of a page takes less.
pub const ABSENT_AFTER_MS: u64 = 10_000;

/// Whether a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The stream has a transport.
    Attached,
    /// The stream has no transport for a short time.
    Detached,
    /// The stream has no transport for a long time.
    Absent,
    /// The stream was recovered a short time ago and has had no transport since.
    Unknown,
}

/// The connection at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// Whether the client is connected.
    pub connection: Connection,
    /// Begin of the connection, or of the time without.
    pub since: Millis,
    /// Time of the next change without an input.
    pub changes_at: Option<Millis>,
}

impl ConnectionState {
    /// `attached_since` is `None` before the first attach to this owner, `idle_since` while a transport is attached.
    fn at(now: Millis, attached_since: Option<Millis>, idle_since: Option<Millis>) -> Self {
        let state = |connection, since, changes_at| Self { connection, since, changes_at };
        let Some(idle) = idle_since else {
            return state(Connection::Attached, attached_since.unwrap_or(now), None);
        };
        let (detached_at, absent_at) = (idle.after(DETACHED_AFTER_MS), idle.after(ABSENT_AFTER_MS));
        match attached_since {
            _ if now >= absent_at => state(Connection::Absent, idle, None),
            None => state(Connection::Unknown, idle, Some(absent_at)),
            Some(since) if now < detached_at => {
                state(Connection::Attached, since, Some(detached_at))
            }
            Some(_) => state(Connection::Detached, idle, Some(absent_at)),
        }
    }
}

impl Stream {
    /// The connection of the client.
    pub fn connection(&self, now: Millis) -> ConnectionState {
        let idle_since = self.transports.is_empty().then_some(self.idle_since);
        ConnectionState::at(now, self.attached_since, idle_since)
    }

    /// Notes that a transport is to be attached.
    pub(super) fn note_attached(&mut self, now: Millis) {
        if self.attached_since.is_none() || self.connection(now).connection != Connection::Attached
        {
            self.attached_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64, attached: Option<u64>, idle: Option<u64>) -> (Connection, u64, Option<u64>) {
        let state = ConnectionState::at(Millis(now), attached.map(Millis), idle.map(Millis));
        (state.connection, state.since.0, state.changes_at.map(|at| at.0))
    }

    #[test]
    fn a_client_is_detached_after_a_second_and_absent_after_ten() {
        assert_eq!(at(99_000, Some(7), None), (Connection::Attached, 7, None));
        for (idle_ms, expected) in [
            (0, (Connection::Attached, 7, Some(51_000))),
            (999, (Connection::Attached, 7, Some(51_000))),
            (1_000, (Connection::Detached, 50_000, Some(60_000))),
            (9_999, (Connection::Detached, 50_000, Some(60_000))),
            (10_000, (Connection::Absent, 50_000, None)),
        ] {
            assert_eq!(at(50_000 + idle_ms, Some(7), Some(50_000)), expected, "{idle_ms}");
        }
    }

    #[test]
    fn the_connection_of_a_recovered_stream_is_unknown_for_ten_seconds() {
        for (idle_ms, expected) in [
            (0, (Connection::Unknown, 50_000, Some(60_000))),
            (9_999, (Connection::Unknown, 50_000, Some(60_000))),
            (10_000, (Connection::Absent, 50_000, None)),
        ] {
            assert_eq!(at(50_000 + idle_ms, None, Some(50_000)), expected, "{idle_ms}");
        }
    }
}
