//! The hello, the first frame of every transport: its JSON keys and their valid values. Clients encode, edges parse;
//! the effect of each key is the responsibility of edge and core.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::json::{self, Value};
use crate::{MAX_NUMBER, Sack, StreamId, TransportNumber};

/// Version of the wire protocol.
const VERSION: u64 = 2;
/// Greatest `maxia`, in seconds.
const MAX_MAXIA: u64 = 600;
/// Greatest `beat`, in seconds.
const MAX_BEAT: u64 = 600;
/// Greatest `pad`; the key is checked like in the original protocol and has no effect.
const MAX_PAD: u64 = 16 * 1024;
/// Formats of the original protocol; the key has no effect.
const FORMATS: std::ops::RangeInclusive<u64> = 2..=3;
/// Longest `cred`, in bytes: enough for a large token.
pub const MAX_CRED: usize = 8 * 1024;
/// Longest `why`, in bytes.
pub const MAX_WHY: usize = 100;

/// The identity of a client and the capabilities of a new transport.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Number of the transport, chosen by the client in ascending order; at most 2^53.
    pub tnum: TransportNumber,
    /// The secret that names the stream.
    pub id: StreamId,
    /// Creates the stream if it does not exist.
    pub new: bool,
    /// The response may be streamed (HTTP only).
    pub ming: bool,
    /// Idle time after which the server writes a heartbeat, 0 to 600 s; zero disables heartbeats.
    pub maxia: Duration,
    /// Longest pause between two frames of the client, 0 to 600 s; zero makes no promise (sockets only).
    pub beat: Duration,
    /// The last SACK of c2s messages received by the client.
    pub seenack: Sack,
    /// The SACK of s2c messages by the client.
    pub sack: Option<Sack>,
    /// Whether the transport carries s2c messages, and which primary transport it succeeds.
    pub eeds: Eeds,
    /// Time after which the server ends the response, in whole seconds (HTTP only).
    pub maxt: Option<Duration>,
    /// Credentials for the application, at most [`MAX_CRED`] bytes; a secret.
    pub cred: Option<String>,
    /// Cause for which the client opened the transport, for metrics, at most [`MAX_WHY`] bytes.
    pub why: Option<String>,
}

/// The key `eeds`: whether a transport carries s2c messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eeds {
    /// Upload only: the transport carries c2s messages.
    Absent,
    /// The transport becomes the primary transport.
    Null,
    /// The transport becomes the primary transport and succeeds the transport with this number.
    Number(TransportNumber),
}

/// The hello is invalid; the transport is killed with [`crate::KillReason::InvalidFrameTypeOrArguments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The text is not a JSON object, or nested too deep.
    #[error("the hello is not a JSON object")]
    Json,
    /// A required key is missing.
    #[error("the hello lacks `{0}`")]
    Missing(&'static str),
    /// The value of a key has the wrong type or is out of range.
    #[error("the hello's `{0}` is wrong")]
    Wrong(&'static str),
    /// The value of the first key is impossible together with the second key.
    #[error("the hello's `{0}` excludes `{1}`")]
    Excluded(&'static str, &'static str),
    /// A character outside ASCII in a text other than `cred` and `why`.
    #[error("the hello is not ASCII")]
    NotAscii,
}

impl Hello {
    /// Parses the JSON text of a hello.
    ///
    /// Unknown keys are ignored. As in the original protocol, every text that is the value of a key must be ASCII, those
    /// of unknown keys included, but neither the keys nor the content of lists and objects. `cred` and `why` may have
    /// other characters.
    ///
    /// # Errors
    /// If a key is missing, or a value has the wrong type or range.
    pub fn parse(json: &[u8]) -> Result<Self, HelloError> {
        Self::read(&Members::parse(json)?)
    }

    /// Reads the members of a hello of version 2.
    pub(crate) fn read(members: &Members) -> Result<Self, HelloError> {
        members.check_ascii()?;
        members.required("ver", |value| value.integer(VERSION).filter(|&ver| ver == VERSION))?;
        Self::read_common(members)
    }

    /// Reads the keys that all versions have, except `ver`.
    pub(crate) fn read_common(members: &Members) -> Result<Self, HelloError> {
        members.check_without_effect()?;
        Ok(Self {
            tnum: members.required("tnum", transport_number)?,
            id: members.required("id", stream_id)?,
            new: members.optional("new", flag)?.unwrap_or(false),
            ming: members.required("ming", flag)?,
            maxia: members.required("maxia", |value| seconds(value, MAX_MAXIA))?,
            beat: members.optional("beat", |value| seconds(value, MAX_BEAT))?.unwrap_or_default(),
            seenack: members.required("seenack", sack)?,
            sack: members.optional("sack", sack)?,
            eeds: members.optional("eeds", eeds)?.unwrap_or(Eeds::Absent),
            maxt: members.optional("maxt", |value| seconds(value, MAX_NUMBER))?,
            cred: members.optional("cred", |value| short(value, MAX_CRED))?,
            why: members.optional("why", |value| short(value, MAX_WHY))?,
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
    /// Omits the stream id and the credentials.
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

/// The members of the JSON object.
pub(crate) struct Members(BTreeMap<String, Value>);

impl Members {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, HelloError> {
        match json::parse(json) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) | Err(_) => Err(HelloError::Json),
        }
    }

    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, HelloError> {
        self.optional(key, read)?.ok_or(HelloError::Missing(key))
    }

    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, HelloError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or(HelloError::Wrong(key))
    }

    /// Checks the keys that have no effect; a wrong value is an error all the same.
    fn check_without_effect(&self) -> Result<(), HelloError> {
        self.optional("maxb", |value| value.integer(MAX_NUMBER))?;
        self.optional("pad", |value| value.integer(MAX_PAD))?;
        self.optional("format", |value| value.integer(MAX_NUMBER).filter(|n| FORMATS.contains(n)))?;
        Ok(())
    }

    /// Checks that the texts of all keys are ASCII, except those of `cred` and `why`.
    fn check_ascii(&self) -> Result<(), HelloError> {
        let may_be_unicode = |key: &str| matches!(key, "cred" | "why");
        let is_ascii = |value: &Value| value.as_text().is_none_or(str::is_ascii);
        let ascii = self.0.iter().all(|(key, value)| may_be_unicode(key) || is_ascii(value));
        if ascii { Ok(()) } else { Err(HelloError::NotAscii) }
    }
}

fn stream_id(value: &Value) -> Option<StreamId> {
    StreamId::parse(value.as_text()?).ok()
}

/// A bool, or 0 or 1.
pub(crate) fn flag(value: &Value) -> Option<bool> {
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

/// Parses a SACK; one trailing line feed is tolerated, as in the original protocol.
fn sack(value: &Value) -> Option<Sack> {
    let text = value.as_text()?;
    Sack::parse(text.strip_suffix('\n').unwrap_or(text).as_bytes()).ok()
}

fn short(value: &Value, max: usize) -> Option<String> {
    value.as_text().filter(|text| text.len() <= max).map(str::to_owned)
}

fn push_string(text: &mut String, key: &str, value: &str) {
    let _ = write!(text, ",\"{key}\":");
    json::write_string(value, text);
}

#[cfg(test)]
mod tests;
