//! One connection of a vector and what was taken of it so far.

use std::time::Duration;

use crate::connection::Connection;
use crate::http::{self, Response};
use crate::vectors::ExpectHttp;

use super::{PATIENCE, QUIET, QUIET_AT_MOST};

/// A connection and what was taken of it.
pub(super) struct Line {
    pub(super) connection: Connection,
    /// For each request that is not answered yet: it was HEAD.
    pub(super) heads: Vec<bool>,
    /// Frames of the response under way that earlier expectations have taken.
    pub(super) taken: usize,
}

impl Line {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, heads: Vec::new(), taken: 0 }
    }

    /// Waits until the response under way may be judged.
    pub(super) async fn wait_for_response(&self, expect: &ExpectHttp, frames: usize) {
        let head_only = self.head_only();
        let within = Duration::from_millis(expect.within_ms) * PATIENCE;
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
            self.connection.wait_quiet(QUIET, QUIET_AT_MOST).await;
        }
    }

    /// The response as far as it has come, and whether the connection is closed.
    pub(super) fn response(&self) -> Result<(Response, bool), String> {
        let arrived = self.connection.arrived();
        let response = Response::parse(&arrived.bytes, self.head_only(), arrived.closed);
        response.map(|response| (response, arrived.closed)).map_err(|error| error.to_string())
    }

    /// Goes on to the next response.
    pub(super) fn finish_response(&mut self, used: usize) {
        self.connection.arrived().bytes.drain(..used);
        if !self.heads.is_empty() {
            self.heads.remove(0);
        }
        self.taken = 0;
    }

    /// The server has sent something or closed the connection.
    pub(super) fn reacted(&self) -> bool {
        let arrived = self.connection.arrived();
        arrived.total > 0 || arrived.closed
    }

    fn head_only(&self) -> bool {
        self.heads.first().copied().unwrap_or(false)
    }
}
