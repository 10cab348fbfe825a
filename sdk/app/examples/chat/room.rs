//! The chat: rooms, their members and their recent lines. `README.md` in this directory specifies the
//! protocol.
//!
//! [`serve`] takes a registered service and runs until the service is stopped; options, ports and logs belong
//! to the caller. The example's `main.rs` calls [`serve`], and the standalone program includes this file for the
//! demo. Rooms live in memory: after a restart clients are asked to rejoin.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use minerva_app::{AppStream, SendError, Sender, Service, StreamNumber, TrySendError, Utf8Bytes};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Lines remembered per room: a screenful or two.
const MAX_LINES: usize = 50;
/// Most rooms. An empty room is removed for a new one.
const MAX_ROOMS: usize = 256;
/// Most members of a room. Each line costs one send per member.
const MAX_MEMBERS: usize = 500;
/// Most characters in the name of a room.
const MAX_ROOM_NAME: usize = 32;
/// Most characters in the name of a member.
const MAX_NAME: usize = 24;
/// Most characters in a line.
const MAX_TEXT: usize = 1000;

/// Serves the chat to every stream of `service` until the service is stopped.
pub(crate) async fn serve(service: Service) {
    let rooms = Arc::new(Mutex::new(Rooms::default()));
    service.run(move |stream| attend(stream, Arc::clone(&rooms))).await;
}

/// Serves one client from the start of the stream to the end.
async fn attend(stream: AppStream, rooms: Arc<Mutex<Rooms>>) -> Result<(), SendError> {
    let resumed = stream.is_resumed();
    let (mut messages, sender) = stream.split();
    let mut client = Client { rooms, sender, missed: Arc::default(), room: None };
    if resumed {
        client.reply(&json!({"t": "rejoin"})).await?;
    }
    let missed = Arc::clone(&client.missed);
    loop {
        tokio::select! {
            encoded = messages.recv() => match encoded {
                Some(encoded) => client.on_message(encoded.as_bytes()).await?,
                None => return Ok(()),
            },
            () = missed.notified() => client.send_missed().await?,
        }
    }
}

/// The state of one client, owned by the client's task. A drop leaves the room.
struct Client {
    rooms: Arc<Mutex<Rooms>>,
    sender: Sender,
    /// Notified when [`Member::missed`] leaves zero.
    missed: Arc<Notify>,
    room: Option<String>,
}

impl Client {
    async fn on_message(&mut self, encoded: &[u8]) -> Result<(), SendError> {
        let Ok(message) = serde_json::from_slice::<Value>(encoded) else {
            return self.refuse("not a JSON object").await;
        };
        let outcome = match text(&message, "t") {
            "join" => return self.join(&message).await,
            "say" => self.post_line(&message),
            "ping" if message["n"].is_number() => {
                return self.reply(&json!({"t": "pong", "n": message["n"]})).await;
            }
            "ping" => Err("ping needs a number `n`"),
            _ => Err("unknown `t`: use join, say or ping"),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(problem) => self.refuse(problem).await,
        }
    }

    async fn join(&mut self, message: &Value) -> Result<(), SendError> {
        let room = text(message, "room").to_owned();
        let name = text(message, "name").trim().to_owned();
        if !is_room_name(&room) {
            return self.refuse("a room is 1 to 32 of a-z, 0-9, - and _").await;
        }
        if !is_text(&name, MAX_NAME) {
            return self.refuse("a name is 1 to 24 characters").await;
        }
        self.leave();
        loop {
            // With half of the outbox free the answers fit, unless lines of other members arrive first.
            self.sender.ready().await?;
            let outcome = self.lock().join(&room, &name, &self.sender, &self.missed);
            match outcome {
                Ok(()) => {
                    self.room = Some(room);
                    return Ok(());
                }
                Err(JoinError::Busy) => {}
                Err(JoinError::Ended(error)) => return Err(error),
                Err(JoinError::Refused(problem)) => return self.refuse(problem).await,
            }
        }
    }

    fn post_line(&self, message: &Value) -> Result<(), &'static str> {
        let Some(room) = &self.room else { return Err("join a room first") };
        let line = text(message, "text").trim();
        if !is_text(line, MAX_TEXT) {
            return Err("a line is 1 to 1000 characters");
        }
        self.lock().post_line(room, self.sender.number(), line);
        Ok(())
    }

    async fn send_missed(&self) -> Result<(), SendError> {
        self.sender.ready().await?;
        if let Some(room) = &self.room {
            self.lock().send_missed(room, self.sender.number());
        }
        Ok(())
    }

    async fn refuse(&self, problem: &str) -> Result<(), SendError> {
        self.reply(&json!({"t": "error", "message": problem})).await
    }

    async fn reply(&self, message: &Value) -> Result<(), SendError> {
        self.sender.send(encode(message)).await
    }

    fn leave(&mut self) {
        if let Some(room) = self.room.take() {
            self.lock().leave(&room, self.sender.number());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.leave();
    }
}

/// All rooms. No operation waits, so no member delays another.
#[derive(Default)]
struct Rooms {
    rooms: HashMap<String, Room>,
}

/// A client did not join a room.
enum JoinError {
    /// The outbox of the client is full: try again.
    Busy,
    Ended(SendError),
    Refused(&'static str),
}

impl Rooms {
    fn join(
        &mut self,
        room: &str,
        name: &str,
        sender: &Sender,
        missed: &Arc<Notify>,
    ) -> Result<(), JoinError> {
        self.make_room_for(room)?;
        self.rooms.entry(room.to_owned()).or_default().join(room, name, sender, missed)
    }

    fn make_room_for(&mut self, room: &str) -> Result<(), JoinError> {
        if self.rooms.contains_key(room) || self.rooms.len() < MAX_ROOMS {
            return Ok(());
        }
        let empty = self.rooms.iter().find(|(_, room)| room.members.is_empty());
        let Some(empty) = empty.map(|(name, _)| name.clone()) else {
            return Err(JoinError::Refused("there are too many rooms"));
        };
        self.rooms.remove(&empty);
        Ok(())
    }

    fn post_line(&mut self, room: &str, stream: StreamNumber, line: &str) {
        if let Some(found) = self.rooms.get_mut(room) {
            found.post_line(room, stream, line);
        }
    }

    fn leave(&mut self, room: &str, stream: StreamNumber) {
        let Some(found) = self.rooms.get_mut(room) else { return };
        if let Some(member) = found.members.remove(&stream) {
            found.broadcast(
                &json!({"t": "left", "room": room, "name": member.name, "at": now_ms()}),
            );
        }
    }

    fn send_missed(&mut self, room: &str, stream: StreamNumber) {
        let Some(found) = self.rooms.get_mut(room) else { return };
        let names = encode(&found.names(room));
        if let Some(member) = found.members.get_mut(&stream) {
            member.send_missed(names);
        }
    }
}

/// One room.
#[derive(Default)]
struct Room {
    /// Recent lines, oldest first; at most [`MAX_LINES`].
    lines: VecDeque<Value>,
    /// Members by stream number; at most [`MAX_MEMBERS`].
    members: BTreeMap<StreamNumber, Member>,
}

/// A member of a room.
struct Member {
    /// Unique in the room.
    name: String,
    sender: Sender,
    /// Messages about the room that did not fit into the outbox and were not reported yet.
    missed: u64,
    /// Wakes the task of the member when `missed` leaves zero.
    wake: Arc<Notify>,
}

impl Room {
    fn join(
        &mut self,
        room: &str,
        name: &str,
        sender: &Sender,
        missed: &Arc<Notify>,
    ) -> Result<(), JoinError> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(JoinError::Refused("the room is full"));
        }
        let name = self.free_name(name);
        let history = json!({"t": "history", "room": room, "name": name, "lines": self.lines});
        match sender.try_send(encode(&history)) {
            Ok(()) => {}
            Err(TrySendError::Full) => return Err(JoinError::Busy),
            Err(TrySendError::Refused(error)) => return Err(JoinError::Ended(error)),
        }
        self.broadcast(&json!({"t": "joined", "room": room, "name": name, "at": now_ms()}));
        let wake = Arc::clone(missed);
        let member = Member { name, sender: sender.clone(), missed: 0, wake };
        self.members.insert(sender.number(), member);
        let names = encode(&self.names(room));
        if let Some(member) = self.members.get_mut(&sender.number()) {
            member.send(names);
        }
        Ok(())
    }

    fn post_line(&mut self, room: &str, stream: StreamNumber, line: &str) {
        let Some(member) = self.members.get(&stream) else { return };
        let (name, at) = (&member.name, now_ms());
        let line_message = json!({"t": "said", "room": room, "name": name, "text": line, "at": at});
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(json!({"name": name, "text": line, "at": at}));
        self.broadcast(&line_message);
    }

    fn broadcast(&mut self, message: &Value) {
        let encoded = encode(message);
        for member in self.members.values_mut() {
            member.send(encoded.clone());
        }
    }

    fn names(&self, room: &str) -> Value {
        let names: BTreeSet<&str> = self.members.values().map(|member| &*member.name).collect();
        json!({"t": "names", "room": room, "names": names})
    }

    /// Returns `name`, or the first unused one of `name-2`, `name-3`…
    fn free_name(&self, name: &str) -> String {
        let taken: BTreeSet<&str> = self.members.values().map(|member| &*member.name).collect();
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !taken.contains(&**name)).unwrap_or_default()
    }
}

impl Member {
    /// Sends a message about the room, or counts a missed one. Missed messages are reported before any later
    /// message about the room, so the position of the gap is visible.
    fn send(&mut self, encoded: Utf8Bytes) {
        if self.missed > 0 || self.sender.try_send(encoded).is_err() {
            self.missed += 1;
            self.wake.notify_one();
        }
    }

    fn send_missed(&mut self, names: Utf8Bytes) {
        if self.missed == 0 {
            return;
        }
        let message = json!({"t": "missed", "count": self.missed});
        if self.sender.try_send(encode(&message)).is_ok() {
            self.missed = 0;
            self.send(names);
        } else {
            self.wake.notify_one();
        }
    }
}

/// Encodes a message once for all members, with characters outside of 0x20-0x7E written as `\uXXXX`: clients of each
/// version accept such text.
fn encode(message: &Value) -> Utf8Bytes {
    let json = message.to_string();
    let mut encoded = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            encoded.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                encoded.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    encoded.into()
}

/// The text of member `key`, empty if absent.
fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message[key].as_str().unwrap_or_default()
}

fn is_room_name(name: &str) -> bool {
    (1..=MAX_ROOM_NAME).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn is_text(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the chat's only clock")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
