//! The hello: the first frame of every transport. Owns which keys there are and which values each may
//! have. What the server does with them is the matter of edge and core.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::json::{self, Value};
use crate::{MAX_NUMBER, Sack, StreamId, TransportNumber};

/// The version of the wire protocol that this crate speaks.
const VERSION: u64 = 2;
/// Longest silence, in seconds, that a client can ask heartbeats for.
const MAX_MAXIA: u64 = 600;
/// Longest time, in seconds, within which a client can promise a sign of life.
const MAX_BEAT: u64 = 600;
/// Most padding a client can ask for; it has no effect, but the original checks it.
const MAX_PAD: u64 = 16 * 1024;
/// The formats that the original knows; they have no effect.
const FORMATS: std::ops::RangeInclusive<u64> = 2..=3;
/// Longest `cred`, in bytes: what fits a large token, not a document.
pub const MAX_CRED: usize = 8 * 1024;
/// Longest `why`, in bytes.
pub const MAX_WHY: usize = 100;

/// Who a client is and what a transport can do.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Number of the transport, chosen by the client, counting up; at most 2^53.
    pub tnum: TransportNumber,
    /// The stream.
    pub id: StreamId,
    /// Make the stream if there is none.
    pub new: bool,
    /// The response may be streamed (HTTP only).
    pub ming: bool,
    /// Silence after which the server writes a heartbeat, 0 to 600 s; zero: never.
    pub maxia: Duration,
    /// The client says something at least so often, 0 to 600 s; zero: it promises nothing (sockets only).
    pub beat: Duration,
    /// The last SACK of c2s strings that the client has seen.
    pub seenack: Sack,
    /// The client's SACK of s2c strings.
    pub sack: Option<Sack>,
    /// Whether this transport wants strings, and which one it succeeds.
    pub eeds: Eeds,
    /// Close after this long (HTTP only), whole seconds.
    pub maxt: Option<Duration>,
    /// For the application, at most [`MAX_CRED`] bytes; a secret.
    pub cred: Option<String>,
    /// Why the client opened this transport, for metrics, at most [`MAX_WHY`] bytes.
    pub why: Option<String>,
}

/// Whether a transport wants strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eeds {
    /// No: it only brings them.
    Absent,
    /// Yes: it becomes the primary transport.
    Null,
    /// Yes, and it succeeds the transport of this number.
    Number(TransportNumber),
}

/// A hello that is none; answered with [`crate::KillReason::InvalidFrameTypeOrArguments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not a JSON object, or nested too deep.
    #[error("the hello is not a JSON object")]
    Json,
    /// A key that must be there is not.
    #[error("the hello lacks `{0}`")]
    Missing(&'static str),
    /// A value is of the wrong type or out of range.
    #[error("the hello's `{0}` is wrong")]
    Wrong(&'static str),
    /// A character beyond ASCII where none may be.
    #[error("the hello is not ASCII")]
    NotAscii,
}

impl Hello {
    /// Reads the JSON text of a hello. Unknown keys are ignored, though their strings must be ASCII, as
    /// the original has it; only `cred` and `why` may have other characters.
    ///
    /// # Errors
    /// If anything is wrong, missing or out of range.
    pub fn parse(json: &[u8]) -> Result<Self, HelloError> {
        let Ok(Value::Object(members)) = json::parse(json) else {
            return Err(HelloError::Json);
        };
        check_ascii(&members)?;
        let keys = Keys(members);
        keys.check_without_effect()?;
        Ok(Self {
            tnum: keys.required("tnum", transport_number)?,
            id: keys.required("id", stream_id)?,
            new: keys.optional("new", flag)?.unwrap_or(false),
            ming: keys.required("ming", flag)?,
            maxia: keys.required("maxia", |value| seconds(value, MAX_MAXIA))?,
            beat: keys.optional("beat", |value| seconds(value, MAX_BEAT))?.unwrap_or_default(),
            seenack: keys.required("seenack", sack)?,
            sack: keys.optional("sack", sack)?,
            eeds: keys.optional("eeds", eeds)?.unwrap_or(Eeds::Absent),
            maxt: keys.optional("maxt", |value| seconds(value, MAX_NUMBER))?,
            cred: keys.optional("cred", |value| short(value, MAX_CRED))?,
            why: keys.optional("why", |value| short(value, MAX_WHY))?,
        })
    }

    /// The JSON text, on one line.
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\"tnum\":{},\"ver\":{VERSION}", self.tnum);
        push_string(&mut text, "id", self.id.as_str());
        if self.new {
            text.push_str(",\"new\":true");
        }
        // Writing to a String never fails.
        let _ = write!(text, ",\"ming\":{},\"maxia\":{}", self.ming, self.maxia.as_secs());
        if !self.beat.is_zero() {
            let _ = write!(text, ",\"beat\":{}", self.beat.as_secs());
        }
        push_string(&mut text, "seenack", &self.seenack.to_string());
        if let Some(sack) = &self.sack {
            push_string(&mut text, "sack", &sack.to_string());
        }
        match self.eeds {
            Eeds::Absent => {}
            Eeds::Null => text.push_str(",\"eeds\":null"),
            Eeds::Number(number) => {
                let _ = write!(text, ",\"eeds\":{number}");
            }
        }
        if let Some(maxt) = self.maxt {
            let _ = write!(text, ",\"maxt\":{}", maxt.as_secs());
        }
        for (key, value) in [("cred", &self.cred), ("why", &self.why)] {
            if let Some(value) = value {
                push_string(&mut text, key, value);
            }
        }
        text.push('}');
        text
    }
}

impl std::fmt::Debug for Hello {
    /// Without the stream id and the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("tnum", &self.tnum)
            .field("id", &self.id)
            .field("new", &self.new)
            .field("ming", &self.ming)
            .field("maxia", &self.maxia)
            .field("beat", &self.beat)
            .field("seenack", &self.seenack)
            .field("sack", &self.sack)
            .field("eeds", &self.eeds)
            .field("maxt", &self.maxt)
            .field("cred", &self.cred.as_ref().map(|_| "(secret)"))
            .field("why", &self.why)
            .finish()
    }
}

/// The hello's members.
struct Keys(BTreeMap<String, Value>);

impl Keys {
    fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, HelloError> {
        self.optional(key, read)?.ok_or(HelloError::Missing(key))
    }

    fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, HelloError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or(HelloError::Wrong(key))
    }

    /// Checks the keys that must be right though nothing comes of them.
    fn check_without_effect(&self) -> Result<(), HelloError> {
        self.required("ver", |value| value.integer(VERSION).filter(|&ver| ver == VERSION))?;
        self.optional("maxb", |value| value.integer(MAX_NUMBER))?;
        self.optional("pad", |value| value.integer(MAX_PAD))?;
        self.optional("format", |value| value.integer(MAX_NUMBER).filter(|n| FORMATS.contains(n)))?;
        Ok(())
    }
}

fn check_ascii(members: &BTreeMap<String, Value>) -> Result<(), HelloError> {
    let ours = |key: &str| matches!(key, "cred" | "why");
    let ascii = members.iter().all(|(key, value)| key.is_ascii() && (ours(key) || is_ascii(value)));
    if ascii { Ok(()) } else { Err(HelloError::NotAscii) }
}

fn is_ascii(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_ascii(),
        Value::Array(items) => items.iter().all(is_ascii),
        Value::Object(members) => {
            members.iter().all(|(key, value)| key.is_ascii() && is_ascii(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn stream_id(value: &Value) -> Option<StreamId> {
    StreamId::parse(string(value)?).ok()
}

/// A bool, or 0 or 1.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(_) => value.integer(1).map(|number| number == 1),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn seconds(value: &Value, max: u64) -> Option<Duration> {
    value.integer(max).map(Duration::from_secs)
}

fn transport_number(value: &Value) -> Option<TransportNumber> {
    value.integer(MAX_NUMBER).map(TransportNumber)
}

fn eeds(value: &Value) -> Option<Eeds> {
    if *value == Value::Null {
        return Some(Eeds::Null);
    }
    transport_number(value).map(Eeds::Number)
}

/// A SACK's text; one line feed behind it is tolerated, as the original does.
fn sack(value: &Value) -> Option<Sack> {
    let text = string(value)?;
    Sack::parse(text.strip_suffix('\n').unwrap_or(text).as_bytes()).ok()
}

fn short(value: &Value, max: usize) -> Option<String> {
    string(value).filter(|text| text.len() <= max).map(str::to_owned)
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn push_string(text: &mut String, key: &str, value: &str) {
    let _ = write!(text, ",\"{key}\":");
    json::write_string(value, text);
}

#[cfg(test)]
mod tests;
