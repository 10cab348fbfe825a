//! A client for each kind of transport: sends messages, records received ones, and fails the test on duplicates,
//! reordering and protocol violations.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, ID, Rig};

/// Maximum number of messages in flight.
const WINDOW: usize = 5;

/// Messages per SACK.
const LAG: usize = 7;

/// Progress of a client.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Messages for the server, from number 0.
    pub(crate) total: usize,
    /// Number of acknowledged and of sent messages.
    acked: usize,
    sent: usize,
    /// Number of received messages.
    pub(crate) received: usize,
}

pub(crate) type Shared = Arc<Mutex<Progress>>;

impl Progress {
    pub(crate) fn shared(total: usize) -> Shared {
        Arc::new(Mutex::new(Self { total, ..Self::default() }))
    }

    fn has_all(&self) -> bool {
        self.received == self.total
    }

    /// Handles a frame of a transport whose output started at `next`; `again` allows repeated messages.
    fn take(&mut self, frame: &str, next: &mut usize, again: bool) {
        let (body, kind) = frame.split_at(frame.len() - 1);
        match kind {
            "N" => *next = body.parse().unwrap(),
            " " => {
                assert_eq!(body, format!("s{next}"), "the wrong message");
                assert!(*next <= self.received, "{next} after {}", self.received);
                assert!(again || *next == self.received, "{next} came twice");
                *next += 1;
                self.received = self.received.max(*next);
            }
            "A" => {
                let acked: i64 = body.strip_prefix('|').unwrap().parse().unwrap();
                self.acked = self.acked.max(usize::try_from(acked + 1).unwrap());
                assert!(self.acked <= self.sent, "acknowledged before it was sent");
            }
            "^" => {}
            _ => panic!("{frame:?} came"),
        }
    }

    /// New messages and a SACK, and whether both directions are complete.
    fn more(&mut self) -> (Vec<String>, bool) {
        let until = (self.acked + WINDOW).min(self.total);
        let mut frames: Vec<_> = (self.sent..until).map(|number| format!("c{number} ")).collect();
        self.sent = self.sent.max(until);
        // Delayed, so that a new owner always has messages to repeat.
        let all = self.has_all();
        let seen = if all { self.received } else { self.received / LAG * LAG };
        if seen > 0 {
            frames.push(format!("|{}A", seen - 1));
        }
        (frames, self.acked == self.total && all)
    }
}

fn hello(tnum: usize, keys: &str) -> String {
    format!("{{\"tnum\":{tnum},\"ver\":2,\"id\":\"{ID}\",\"maxia\":0,\"seenack\":\"|-1\",{keys}}}H")
}

const DUPLEX: &str = "\"ming\":true,\"eeds\":null";

pub(crate) async fn tcp(rig: &Rig, progress: Shared) {
    let mut client = rig.tcp(&[&hello(0, DUPLEX)]).await;
    let mut next = 0;
    loop {
        let (frames, done) = progress.lock().unwrap().more();
        client.frames(&frames.iter().map(String::as_str).collect::<Vec<_>>()).await;
        if done {
            return;
        }
        let frame = client.frame().await;
        progress.lock().unwrap().take(&frame, &mut next, false);
    }
}

pub(crate) async fn websocket(rig: &Rig, progress: Shared) {
    let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let url = format!("ws://{}/_minerva/ws", rig.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    socket.send(Message::text(format!("{}\n", hello(0, DUPLEX)))).await.unwrap();
    let mut next = 0;
    loop {
        let (frames, done) = progress.lock().unwrap().more();
        if !frames.is_empty() {
            socket.send(Message::text(format!("{}\n", frames.join("\n")))).await.unwrap();
        }
        if done {
            return;
        }
        let message = socket.next().await.unwrap().unwrap().into_text().unwrap();
        for frame in message.lines() {
            progress.lock().unwrap().take(frame, &mut next, false);
        }
    }
}

pub(crate) async fn http_stream(rig: &Rig, progress: Shared) {
    let mut client = rig.post(&[&hello(0, DUPLEX)]).await;
    let download = async {
        client.until(";)]}^\n").await;
        let mut next = 0;
        while !progress.lock().unwrap().has_all() {
            let line = client.until("\n").await;
            // HTTP chunks end between frames.
            let line = line.trim_end_matches('\n');
            if !line.ends_with('\r') {
                progress.lock().unwrap().take(line, &mut next, false);
            }
        }
    };
    tokio::join!(download, upload(rig, &progress));
}

pub(crate) async fn long_poll(rig: &Rig, progress: Shared) {
    let polling = async {
        let mut client = rig.connect().await;
        for poll in 0.. {
            if progress.lock().unwrap().has_all() {
                break;
            }
            let received = progress.lock().unwrap().received;
            let sack = i64::try_from(received).unwrap() - 1;
            let keys = format!("\"ming\":false,\"eeds\":null,\"sack\":\"|{sack}\"");
            client.post("/_minerva/io/", &[&hello(2 * poll, &keys)], "").await;
            take_answer(&mut client, &progress).await;
        }
    };
    tokio::join!(polling, upload(rig, &progress));
}

/// Uploads in sequence until every message is acknowledged.
async fn upload(rig: &Rig, progress: &Shared) {
    let mut client = rig.connect().await;
    for upload in 0.. {
        let (frames, done) = {
            let mut progress = progress.lock().unwrap();
            let first = progress.sent;
            let mut frames = vec![hello(2 * upload + 1, "\"ming\":false"), format!("{first}N")];
            let (more, done) = progress.more();
            frames.extend(more);
            (frames, done)
        };
        let frames: Vec<_> = frames.iter().map(String::as_str).collect();
        client.post("/_minerva/io/", &frames, "").await;
        take_answer(&mut client, progress).await;
        if done {
            return;
        }
    }
}

async fn take_answer(client: &mut Client, progress: &Shared) {
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut next = 0;
    for frame in answer.body.lines() {
        progress.lock().unwrap().take(frame, &mut next, true);
    }
}
