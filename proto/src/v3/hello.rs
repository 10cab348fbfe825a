//! The hello of version 3: the keys of version 2 and those of ownership, generations, claim tags and compression.
//!
//! Clients encode; edges parse with [`AnyHello::parse`].

use std::fmt;

use super::json_object::JsonWriter;
use super::tags::{format_tags, parse_tags};
use super::{Refusal, RefusalCode, StreamCreation};
use crate::hello::{Members, flag};
use crate::json::Value;
use crate::{Eeds, HelloError, MAX_NUMBER, MessageNumber, ReceivedTags, Rewind};

/// The version of the protocol that this hello requests.
const VERSION: u64 = 3;
/// Length of a resume key, in characters: 128 random bits in base64url.
const KEY_LENGTH: usize = 22;
/// Greatest generation: a transport number holds 32 bits of count and 21 bits of generation.
pub const MAX_GENERATION: u32 = (1 << 21) - 1;

/// The proof that a client owns a stream, a secret: 22 base64url characters.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeKey(String);

impl ResumeKey {
    /// Parses a key.
    pub fn parse(text: &str) -> Option<Self> {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == KEY_LENGTH && text.bytes().all(is_base64url)).then(|| Self(text.to_owned()))
    }

    /// The secret text; to be hashed, never to be logged or stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeKey(secret)")
    }
}

/// The hello of version 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The keys that version 2 has, too.
    pub common: crate::Hello,
    /// `key`: proof of ownership.
    pub key: ResumeKey,
    /// `next`: replaces the key when the generation is adopted.
    pub next: Option<ResumeKey>,
    /// `gen`: number of the page load, at most [`MAX_GENERATION`]; 0 for the first one.
    pub generation: u32,
    /// `rew`: the messages that a new generation requests.
    pub rewind: Option<Rewind>,
    /// `own`: first c2s number that is not in the stored state of the client.
    pub own: Option<MessageNumber>,
    /// `born`: creation of the stream, as received in a welcome.
    pub born: Option<StreamCreation>,
    /// `line`: claim tags of the received messages.
    pub tags: ReceivedTags,
    /// `z`: the client inflates compressed runs.
    pub inflates: bool,
}

impl Hello {
    /// Reads the members of a hello of version 3.
    fn read(members: &Members) -> Result<Self, HelloError> {
        let generation = |value: &Value| {
            value.integer(MAX_GENERATION.into()).and_then(|number| u32::try_from(number).ok())
        };
        let creation = |value: &Value| StreamCreation::parse(value.as_text()?.as_bytes());
        let hello = Self {
            common: crate::Hello::read_common(members)?,
            key: members.required("key", key)?,
            next: members.optional("next", key)?,
            generation: members.optional("gen", generation)?.unwrap_or(0),
            rewind: members.optional("rew", rewind)?,
            own: members.optional("own", number)?,
            born: members.optional("born", creation)?,
            tags: members
                .optional("line", |value| parse_tags(value.as_text()?.as_bytes()))?
                .unwrap_or_default(),
            inflates: members.optional("z", flag)?.unwrap_or(false),
        };
        if hello.common.new && hello.born.is_some() {
            return Err(HelloError::Excluded("born", "new"));
        }
        if hello.generation == 0 && hello.next.is_some() {
            return Err(HelloError::Missing("gen"));
        }
        Ok(hello)
    }

    /// The JSON text, on one line.
    pub fn to_json(&self) -> String {
        let mut json = JsonWriter::new();
        json.raw("ver", VERSION);
        self.write_identity(&mut json);
        self.write_transport(&mut json);
        json.finish()
    }

    fn write_identity(&self, json: &mut JsonWriter) {
        json.raw("tnum", self.common.tnum).text("id", self.common.id.as_str());
        json.text("key", self.key.as_str());
        if let Some(next) = &self.next {
            json.text("next", next.as_str());
        }
        if self.generation > 0 {
            json.raw("gen", self.generation);
        }
        if let Some(born) = self.born {
            json.text("born", &born.to_string());
        }
        if self.common.new {
            json.raw("new", true);
        }
    }

    fn write_transport(&self, json: &mut JsonWriter) {
        let common = &self.common;
        json.raw("ming", common.ming).raw("maxia", common.maxia.as_secs());
        if !common.beat.is_zero() {
            json.raw("beat", common.beat.as_secs());
        }
        json.text("seenack", &common.seenack.to_string());
        if let Some(sack) = &common.sack {
            json.text("sack", &sack.to_string());
        }
        if !self.tags.is_empty() {
            json.text("line", &format_tags(&self.tags));
        }
        match self.rewind {
            None => &mut *json,
            Some(Rewind::All) => json.text("rew", "all"),
            Some(Rewind::New) => json.text("rew", "new"),
            Some(Rewind::From(first)) => json.raw("rew", first),
        };
        if let Some(own) = self.own {
            json.raw("own", own);
        }
        match common.eeds {
            Eeds::Absent => &mut *json,
            Eeds::Null => json.raw("eeds", "null"),
            Eeds::Number(number) => json.raw("eeds", number),
        };
        if let Some(maxt) = common.maxt {
            json.raw("maxt", maxt.as_secs());
        }
        for (key, value) in [("cred", &common.cred), ("why", &common.why)] {
            if let Some(value) = value {
                json.text(key, value);
            }
        }
        if self.inflates {
            json.raw("z", 1);
        }
    }
}

/// A hello of any supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyHello {
    /// Version 2.
    V2(crate::Hello),
    /// Version 3.
    V3(Hello),
}

impl AnyHello {
    /// Parses the JSON text of a hello. With 2 as `newest` version the result is that of [`crate::Hello::parse`].
    ///
    /// Version 3 ignores unknown keys entirely, also those with characters outside ASCII.
    ///
    /// # Errors
    /// If a key is missing, or a value has the wrong type or range; the error names the key.
    pub fn parse(json: &[u8], newest: u64) -> Result<Self, HelloError> {
        let members = Members::parse(json)?;
        let is_v3 = |value: &Value| value.integer(newest).filter(|&version| version == VERSION);
        if matches!(members.optional("ver", is_v3), Ok(Some(_))) {
            return Hello::read(&members).map(Self::V3);
        }
        crate::Hello::read(&members).map(Self::V2)
    }
}

/// Whether the JSON text of a hello requests version 3; for an invalid hello, to refuse the hello in the framing of the
/// requested version.
pub fn requests_version_3(json: &[u8]) -> bool {
    let is_v3 = |value: &Value| value.integer(VERSION).filter(|&version| version == VERSION);
    Members::parse(json).is_ok_and(|members| matches!(members.optional("ver", is_v3), Ok(Some(_))))
}

impl From<HelloError> for Refusal {
    fn from(error: HelloError) -> Self {
        let code = match error {
            HelloError::Wrong("ver") => RefusalCode::Version,
            HelloError::Json
            | HelloError::Missing(_)
            | HelloError::Wrong(_)
            | HelloError::Excluded(..)
            | HelloError::NotAscii => RefusalCode::Hello,
        };
        Self::with_title(code, error)
    }
}

fn key(value: &Value) -> Option<ResumeKey> {
    ResumeKey::parse(value.as_text()?)
}

fn number(value: &Value) -> Option<MessageNumber> {
    value.integer(MAX_NUMBER).map(MessageNumber)
}

fn rewind(value: &Value) -> Option<Rewind> {
    match value.as_text() {
        Some("all") => Some(Rewind::All),
        Some("new") => Some(Rewind::New),
        Some(_) => None,
        None => number(value).map(Rewind::From),
    }
}

#[cfg(test)]
mod tests;
