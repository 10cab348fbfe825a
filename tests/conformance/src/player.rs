//! Plays one vector on one face and says where it first differs.
//!
//! Owns the vector's connections while it runs. Decides nothing about what a difference means.

mod line;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use self::line::Line;
use crate::connection::Connection;
use crate::face::Face;
use crate::http::{self, Response};
use crate::text::{FrameText, Ids};
use crate::vectors::{Expect, ExpectHttp, Norm, Send, Step, Then, Vector};

/// Silence after which nothing more is expected to come. It was 120 ms when the vectors were recorded.
const QUIET: Duration = Duration::from_millis(120);
/// Longest wait for that silence.
const QUIET_AT_MOST: Duration = Duration::from_secs(1);
/// Recorded time limits are multiplied by this: they were measured on an idle machine, and waiting ends
/// as soon as what is expected has come.
const PATIENCE: u32 = 3;
/// Time for a connection to be closed after a response.
const CLOSING: Duration = Duration::from_secs(2);

/// How one performance ended.
#[derive(Debug)]
pub(crate) struct Performance {
    /// Where it first differed; `None`: it matched.
    pub(crate) fault: Option<Fault>,
    /// False if something was expected and the server neither sent a byte nor closed a connection.
    pub(crate) answered: bool,
}

/// A difference.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Index of the step.
    pub(crate) step: usize,
    pub(crate) what: String,
}

/// Plays a vector.
pub(crate) async fn play(vector: &Vector, face: Face, server: SocketAddr) -> Performance {
    let mut player = Player {
        face,
        server,
        ids: Ids::fresh(&vector.ids),
        lines: BTreeMap::new(),
        wanted: false,
        reacted: false,
    };
    for (step, action) in vector.steps.iter().enumerate() {
        if let Err(what) = player.perform(action).await {
            return Performance { fault: Some(Fault { step, what }), answered: player.answered() };
        }
    }
    Performance { fault: None, answered: true }
}

struct Player {
    face: Face,
    server: SocketAddr,
    ids: Ids,
    /// Connections by their name in the vector.
    lines: BTreeMap<String, Line>,
    /// Something was expected to come so far.
    wanted: bool,
    /// The server did something on a connection that the client has closed since.
    reacted: bool,
}

/// Matched, or what differs.
type Judged = Result<(), String>;

impl Player {
    async fn perform(&mut self, step: &Step) -> Judged {
        match step {
            Step::Open { conn } => self.open(conn, self.face).await,
            Step::Send(send) => self.send(send).await,
            Step::SendFrames { conn, frames } => {
                let frames = self.expand(frames)?;
                self.line(conn)?.connection.send_frames(&frames).await;
                Ok(())
            }
            Step::Expect(expect) => self.expect(expect).await,
            Step::ExpectRaw { conn, hex, then } => self.expect_raw(conn, hex, *then).await,
            Step::Request(request) => {
                if !self.lines.contains_key(&request.conn) {
                    self.open(&request.conn, Face::Http).await?;
                }
                let host = self.server.to_string();
                let bytes = http::request(request, &host, &self.ids).ok_or_else(not_bytes)?;
                let line = self.line(&request.conn)?;
                line.heads.push(request.method == "HEAD");
                line.connection.send(&bytes).await;
                Ok(())
            }
            Step::ExpectHttp(expect) => self.expect_http(expect).await,
            Step::Close { conn } => {
                if let Some(line) = self.lines.remove(conn) {
                    self.reacted |= line.reacted();
                }
                Ok(())
            }
            Step::HalfClose { conn } => {
                self.line(conn)?.connection.half_close();
                Ok(())
            }
            Step::Pause { ms } => {
                sleep(Duration::from_millis(*ms)).await;
                Ok(())
            }
        }
    }

    async fn open(&mut self, name: &str, face: Face) -> Judged {
        let connection = match face {
            Face::Tcp | Face::Http => Connection::tcp(self.server).await,
            Face::WebSocket => Connection::websocket(self.server).await,
        };
        let connection = connection.map_err(|error| {
            self.wanted = true;
            format!("no connection: {error}")
        })?;
        self.lines.insert(name.to_owned(), Line::new(connection));
        Ok(())
    }

    async fn send(&mut self, send: &Send) -> Judged {
        if self.face == Face::WebSocket {
            // Only the magic gets here; a WebSocket has none.
            return Ok(());
        }
        let bytes = match (&send.hex, &send.text) {
            (Some(hex), _) => unhex(hex)?,
            (None, Some(text)) => self.ids.bytes(text).ok_or_else(not_bytes)?,
            (None, None) => return Err("the vector sends neither text nor hex".to_owned()),
        };
        let connection = &mut self.line(&send.conn)?.connection;
        if send.dribble {
            connection.dribble(&bytes).await;
        } else {
            connection.send(&bytes).await;
        }
        Ok(())
    }

    async fn expect(&mut self, expect: &Expect) -> Judged {
        let want = normal(self.expand(&expect.frames)?, expect.norm);
        self.wanted |= !want.is_empty() || expect.then == Then::Closed;
        let line = self.line(&expect.conn)?;
        let connection = &line.connection;
        let closing = expect.then == Then::Closed;
        let within = Duration::from_millis(expect.within_ms) * PATIENCE;
        connection
            .wait(within, |arrived| {
                let got = normal(connection.cut(&arrived.bytes).0, expect.norm);
                let enough = match expect.norm {
                    Some(_) => got == want,
                    None => got.len() >= want.len(),
                };
                arrived.closed || enough && !closing
            })
            .await;
        connection.wait_quiet(QUIET, QUIET_AT_MOST).await;
        let got = normal(connection.take_frames(), expect.norm);
        let (closed, oddity) = {
            let arrived = connection.arrived();
            (arrived.closed, arrived.oddity.clone())
        };
        if let Some(oddity) = oddity {
            return Err(oddity);
        }
        self.compare_frames(&got, &want)?;
        compare_then(closed, expect.then)
    }

    async fn expect_raw(&mut self, conn: &str, hex: &str, then: Then) -> Judged {
        let want = unhex(hex)?;
        self.wanted |= !want.is_empty() || then == Then::Closed;
        let connection = &self.line(conn)?.connection;
        let within = Duration::from_secs(3) * PATIENCE;
        connection
            .wait(within, |arrived| {
                arrived.closed || arrived.bytes.len() >= want.len() && then == Then::Open
            })
            .await;
        connection.wait_quiet(QUIET, QUIET_AT_MOST).await;
        let (got, closed) = {
            let mut arrived = connection.arrived();
            (std::mem::take(&mut arrived.bytes), arrived.closed)
        };
        if got != want {
            return Err(format!("got  {}\nwant {}", self.ids.show(&got), self.ids.show(&want)));
        }
        compare_then(closed, then)
    }

    async fn expect_http(&mut self, expect: &ExpectHttp) -> Judged {
        self.wanted |= expect.status.is_some();
        let want = match &expect.frames {
            Some(frames) => Some(normal(self.expand(frames)?, expect.norm)),
            None => None,
        };
        let line = self.line(&expect.conn)?;
        line.wait_for_response(expect, want.as_ref().map_or(0, Vec::len)).await;
        let (response, closed) = line.response()?;
        let (frames, rest) = http::lines(&response.body);
        let got = normal(frames.get(line.taken..).unwrap_or_default().to_vec(), expect.norm);
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
    ) -> Judged {
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

    async fn expect_connection(&mut self, conn: &str, then: Then) -> Judged {
        let connection = &self.line(conn)?.connection;
        if then == Then::Closed {
            connection.wait(CLOSING, |arrived| arrived.closed).await;
        }
        let closed = connection.arrived().closed;
        compare_then(closed, then)
    }

    fn compare_frames(&self, got: &[Vec<u8>], want: &[Vec<u8>]) -> Judged {
        if got == want {
            return Ok(());
        }
        Err(format!("got  {}\nwant {}", self.ids.show_all(got), self.ids.show_all(want)))
    }

    fn expand(&self, frames: &[FrameText]) -> Result<Vec<Vec<u8>>, String> {
        frames.iter().map(|frame| self.ids.frame(frame).ok_or_else(not_bytes)).collect()
    }

    fn line(&mut self, name: &str) -> Result<&mut Line, String> {
        self.lines.get_mut(name).ok_or_else(|| format!("the vector has no connection {name}"))
    }

    fn answered(&self) -> bool {
        !self.wanted || self.reacted || self.lines.values().any(Line::reacted)
    }
}

fn compare_then(closed: bool, want: Then) -> Judged {
    if closed == (want == Then::Closed) {
        return Ok(());
    }
    let got = if closed { Then::Closed } else { Then::Open };
    Err(format!("the connection is {got:?}, want {want:?}"))
}

/// Leaves out what does not count.
fn normal(mut frames: Vec<Vec<u8>>, norm: Option<Norm>) -> Vec<Vec<u8>> {
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
