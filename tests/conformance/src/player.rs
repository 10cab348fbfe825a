//! Plays one vector on one face and returns the first mismatch. Owns the connections of the vector meanwhile; the
//! report classifies mismatches.

mod player_connection;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use self::player_connection::{MAX_SETTLE, PlayerConnection, SETTLE, TIME_FACTOR};
use crate::connection::Connection;
use crate::face::Face;
use crate::http::{self, Response};
use crate::text::{FrameText, Ids};
use crate::vectors::{Expect, ExpectHttp, Norm, Send, Step, Then, Vector};

/// Time limit for the close of a connection after a response.
const CLOSING: Duration = Duration::from_secs(2);

/// Result of one playback.
#[derive(Debug)]
pub(crate) struct Playback {
    /// The first mismatch.
    pub(crate) mismatch: Option<Mismatch>,
    /// False if output was expected and the server neither sent a byte nor closed a connection.
    pub(crate) answered: bool,
}

/// The first step with an unexpected result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Index of the step.
    pub(crate) step: usize,
    pub(crate) text: String,
}

/// Plays a vector.
pub(crate) async fn play(vector: &Vector, face: Face, server: SocketAddr) -> Playback {
    let mut player = Player {
        face,
        server,
        ids: Ids::fresh(&vector.ids),
        connections: BTreeMap::new(),
        wanted: false,
        has_responded: false,
    };
    for (step, action) in vector.steps.iter().enumerate() {
        if let Err(text) = player.perform(action).await {
            return Playback {
                mismatch: Some(Mismatch { step, text }),
                answered: player.answered(),
            };
        }
    }
    Playback { mismatch: None, answered: true }
}

struct Player {
    face: Face,
    server: SocketAddr,
    ids: Ids,
    /// By name in the vector.
    connections: BTreeMap<String, PlayerConnection>,
    /// Whether a step has expected output.
    wanted: bool,
    /// Whether the server has responded on a connection that the client has closed.
    has_responded: bool,
}

/// The description of the mismatch, if there is one.
type StepResult = Result<(), String>;

impl Player {
    async fn perform(&mut self, step: &Step) -> StepResult {
        match step {
            Step::Open { conn } => self.open(conn, self.face).await,
            Step::Send(send) => self.send(send).await,
            Step::SendFrames { conn, frames } => {
                let frames = self.expand(frames)?;
                self.connection(conn)?.connection.send_frames(&frames).await;
                Ok(())
            }
            Step::Expect(expect) => self.expect(expect).await,
            Step::ExpectRaw { conn, hex, then } => self.expect_raw(conn, hex, *then).await,
            Step::Request(request) => {
                if !self.connections.contains_key(&request.conn) {
                    self.open(&request.conn, Face::Http).await?;
                }
                let host = self.server.to_string();
                let bytes = http::request(request, &host, &self.ids).ok_or_else(not_bytes)?;
                let line = self.connection(&request.conn)?;
                line.heads.push(request.method == "HEAD");
                line.connection.send(&bytes).await;
                Ok(())
            }
            Step::ExpectHttp(expect) => self.expect_http(expect).await,
            Step::Close { conn } => {
                if let Some(line) = self.connections.remove(conn) {
                    self.has_responded |= line.has_responded();
                }
                Ok(())
            }
            Step::HalfClose { conn } => {
                self.connection(conn)?.connection.half_close();
                Ok(())
            }
            Step::Pause { ms } => {
                sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
        }
    }

    async fn open(&mut self, name: &str, face: Face) -> StepResult {
        let connection = match face {
            Face::Tcp | Face::Http => Connection::tcp(self.server).await,
            Face::WebSocket => Connection::websocket(self.server).await,
        };
        let connection = connection.map_err(|error| {
            self.wanted = true;
            format!("no connection: {error}")
        })?;
        self.connections.insert(name.to_owned(), PlayerConnection::new(connection));
        Ok(())
    }

    async fn send(&mut self, send: &Send) -> StepResult {
        if self.face == Face::WebSocket {
            // Only the magic bytes reach this point; a WebSocket has none.
            return Ok(());
        }
        let bytes = match (&send.hex, &send.text) {
            (Some(hex), _) => unhex(hex)?,
            (None, Some(text)) => self.ids.bytes(text).ok_or_else(not_bytes)?,
            (None, None) => return Err("the vector sends neither text nor hex".to_owned()),
        };
        let connection = &mut self.connection(&send.conn)?.connection;
        if send.dribble {
            connection.dribble(&bytes).await;
        } else {
            connection.send(&bytes).await;
        }
        Ok(())
    }

    async fn expect(&mut self, expect: &Expect) -> StepResult {
        let want = normalize(self.expand(&expect.frames)?, expect.norm);
        self.wanted |= !want.is_empty() || expect.then == Then::Closed;
        let line = self.connection(&expect.conn)?;
        let connection = &line.connection;
        let closing = expect.then == Then::Closed;
        let within = Duration::from_millis(expect.within_ms) * TIME_FACTOR;
        connection
            .wait(within, |arrived| {
                let got = normalize(connection.cut(&arrived.bytes).0, expect.norm);
                let enough = match expect.norm {
                    Some(_) => got == want,
                    None => got.len() >= want.len(),
                };
                arrived.closed || enough && !closing
            })
            .await;
        connection.wait_settled(SETTLE, MAX_SETTLE).await;
        let got = normalize(connection.take_frames(), expect.norm);
        let (closed, violation) = {
            let arrived = connection.arrived();
            (arrived.closed, arrived.violation.clone())
        };
        if let Some(violation) = violation {
            return Err(violation);
        }
        self.compare_frames(&got, &want)?;
        compare_then(closed, expect.then)
    }

    async fn expect_raw(&mut self, conn: &str, hex: &str, then: Then) -> StepResult {
        let want = unhex(hex)?;
        self.wanted |= !want.is_empty() || then == Then::Closed;
        let connection = &self.connection(conn)?.connection;
        let within = Duration::from_secs(3) * TIME_FACTOR;
        connection
            .wait(within, |arrived| {
                arrived.closed || arrived.bytes.len() >= want.len() && then == Then::Open
            })
            .await;
        connection.wait_settled(SETTLE, MAX_SETTLE).await;
        let (got, closed) = {
            let mut arrived = connection.arrived();
            (std::mem::take(&mut arrived.bytes), arrived.closed)
        };
        if got != want {
            return Err(format!("got  {}\nwant {}", self.ids.show(&got), self.ids.show(&want)));
        }
        compare_then(closed, then)
    }

    async fn expect_http(&mut self, expect: &ExpectHttp) -> StepResult {
        self.wanted |= expect.status.is_some();
        let want = match &expect.frames {
            Some(frames) => Some(normalize(self.expand(frames)?, expect.norm)),
            None => None,
        };
        let line = self.connection(&expect.conn)?;
        line.wait_for_response(expect, want.as_ref().map_or(0, Vec::len)).await;
        let (response, closed) = line.response()?;
        let (frames, rest) = http::lines(&response.body);
        let got = normalize(frames.get(line.taken..).unwrap_or_default().to_vec(), expect.norm);
        let (all, rest) = (frames.len(), rest.to_vec());
        if response.done {
            line.finish_response(response.used);
        } else {
            line.taken = all;
        }
        self.compare_response(&response, &got, want.as_deref(), expect, closed)?;
        if want.is_some() && !rest.is_empty() {
            return Err(format!("the body ends inside a frame: {}", self.ids.show(&rest)));
        }
        match expect.conn_then {
            Some(then) => self.expect_connection(&expect.conn, then).await,
            None => Ok(()),
        }
    }

    fn compare_response(
        &self,
        response: &Response,
        got: &[Vec<u8>],
        want: Option<&[Vec<u8>]>,
        expect: &ExpectHttp,
        closed: bool,
    ) -> StepResult {
        if response.status != expect.status {
            let got = self.ids.show_all(got);
            return Err(format!(
                "status {:?}, want {:?} (connection closed: {closed}; frames {got})",
                response.status, expect.status
            ));
        }
        if let Some(want) = want {
            self.compare_frames(got, want)?;
        }
        if response.done != expect.done {
            return Err(format!(
                "response done: {}, want {} (connection closed: {closed})",
                response.done, expect.done
            ));
        }
        for name in ["content-type", "cache-control", "location"] {
            let Some(want) = expect.headers.get(name) else { continue };
            let got = response.header(name);
            if got != Some(want) {
                return Err(format!("header {name}: got {got:?}, want {want:?}"));
            }
        }
        Ok(())
    }

    async fn expect_connection(&mut self, conn: &str, then: Then) -> StepResult {
        let connection = &self.connection(conn)?.connection;
        if then == Then::Closed {
            connection.wait(CLOSING, |arrived| arrived.closed).await;
        }
        let closed = connection.arrived().closed;
        compare_then(closed, then)
    }

    fn compare_frames(&self, got: &[Vec<u8>], want: &[Vec<u8>]) -> StepResult {
        if got == want {
            return Ok(());
        }
        Err(format!("got  {}\nwant {}", self.ids.show_all(got), self.ids.show_all(want)))
    }

    fn expand(&self, frames: &[FrameText]) -> Result<Vec<Vec<u8>>, String> {
        frames.iter().map(|frame| self.ids.frame(frame).ok_or_else(not_bytes)).collect()
    }

    fn connection(&mut self, name: &str) -> Result<&mut PlayerConnection, String> {
        self.connections.get_mut(name).ok_or_else(|| format!("the vector has no connection {name}"))
    }

    fn answered(&self) -> bool {
        !self.wanted
            || self.has_responded
            || self.connections.values().any(PlayerConnection::has_responded)
    }
}

fn compare_then(closed: bool, want: Then) -> StepResult {
    if closed == (want == Then::Closed) {
        return Ok(());
    }
    let got = if closed { Then::Closed } else { Then::Open };
    Err(format!("the connection is {got:?}, want {want:?}"))
}

/// Removes frames that the comparison ignores.
fn normalize(mut frames: Vec<Vec<u8>>, norm: Option<Norm>) -> Vec<Vec<u8>> {
    match norm {
        None => frames,
        Some(Norm::LastAckOnly) => {
            let last = frames.iter().rposition(|frame| frame.ends_with(b"A"));
            let mut index = 0;
            frames.retain(|frame| {
                let keep = !frame.ends_with(b"A") || Some(index) == last;
                index += 1;
                keep
            });
            frames
        }
    }
}

fn unhex(hex: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| "the vector's hex is not hex".to_owned())?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn not_bytes() -> String {
    "the vector has a character that is not one byte".to_owned()
}

#[cfg(test)]
mod tests;
