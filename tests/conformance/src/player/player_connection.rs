//! One connection of a vector, with the state of its HTTP exchange.

use std::time::Duration;

use crate::connection::Connection;
use crate::http::{self, Response};
use crate::vectors::ExpectHttp;

/// Silence after which the exchange counts as settled; the recording used 120 ms as well.
pub(super) const SETTLE: Duration = Duration::from_millis(120);

/// Longest wait for that silence.
pub(super) const MAX_SETTLE: Duration = Duration::from_secs(1);

/// Factor of recorded time limits, which were measured on an idle machine. Waits end as soon as the expectation is met.
pub(super) const TIME_FACTOR: u32 = 3;

/// A connection with its pending requests and consumed frames.
pub(super) struct PlayerConnection {
    pub(super) connection: Connection,
    /// Unanswered requests: whether the method is HEAD.
    pub(super) heads: Vec<bool>,
    /// Frames of the current response that earlier expectations consumed.
    pub(super) taken: usize,
}

impl PlayerConnection {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, heads: Vec::new(), taken: 0 }
    }

    /// Waits until the current response is sufficient for the expectation, or the time limit.
    pub(super) async fn wait_for_response(&self, expect: &ExpectHttp, frames: usize) {
        let head_only = self.head_only();
        let within = Duration::from_millis(expect.within_ms) * TIME_FACTOR;
        let waits = expect.done || expect.status.is_some();
        if waits {
            self.connection
                .wait(within, |arrived| {
                    let Ok(response) = Response::parse(&arrived.bytes, head_only, arrived.closed)
                    else {
                        return true;
                    };
                    let have = http::lines(&response.body).0.len();
                    let enough = response.status.is_some() && have >= self.taken + frames;
                    arrived.closed || response.done || enough && !expect.done
                })
                .await;
        }
        if !expect.done {
            self.connection.wait_settled(SETTLE, MAX_SETTLE).await;
        }
    }

    /// The received part of the response, and whether the connection is closed.
    pub(super) fn response(&self) -> Result<(Response, bool), String> {
        let arrived = self.connection.arrived();
        let response = Response::parse(&arrived.bytes, self.head_only(), arrived.closed);
        response.map(|response| (response, arrived.closed)).map_err(|error| error.to_string())
    }

    /// Removes a complete response of `used` bytes.
    pub(super) fn finish_response(&mut self, used: usize) {
        self.connection.arrived().bytes.drain(..used);
        if !self.heads.is_empty() {
            self.heads.remove(0);
        }
        self.taken = 0;
    }

    /// Whether the server has sent bytes or closed the connection.
    pub(super) fn has_responded(&self) -> bool {
        let arrived = self.connection.arrived();
        arrived.total > 0 || arrived.closed
    }

    fn head_only(&self) -> bool {
        self.heads.first().copied().unwrap_or(false)
    }
}
