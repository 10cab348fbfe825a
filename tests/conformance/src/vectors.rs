//! The recorded exchanges: what the file says, as types.
//!
//! Knows nothing of how they are played.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::text::{FrameText, IdShape};

/// The file as it was when this program was built.
pub(crate) const RECORDED: &str = include_str!("../vectors.json");

/// The whole file.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    pub(crate) vectors: Vec<Vector>,
}

/// One exchange.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Vector {
    /// Unique; differences are listed by it.
    pub(crate) name: String,
    pub(crate) class: Class,
    /// Stream ids by the name that stands for them.
    pub(crate) ids: BTreeMap<String, IdShape>,
    pub(crate) steps: Vec<Step>,
}

/// How binding a vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    /// To be matched.
    Protocol,
    /// An accident of the original.
    Quirk,
    /// The habits of the original's web server.
    HttpSurface,
    /// Varies with the original's JSON library.
    Environment,
}

/// What a connection is after an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    Open,
    Closed,
}

/// What is left out of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Norm {
    /// Only the last SACK counts: how many there are depends on TCP segments.
    LastAckOnly,
}

/// One thing that the client does or expects.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Step {
    Open { conn: String },
    Send(Send),
    SendFrames { conn: String, frames: Vec<FrameText> },
    Expect(Expect),
    ExpectRaw { conn: String, hex: String, then: Then },
    Request(Request),
    ExpectHttp(ExpectHttp),
    Close { conn: String },
    HalfClose { conn: String },
    Pause { ms: u64 },
}

/// Raw bytes to send.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Send {
    pub(crate) conn: String,
    /// Present unless `hex` is.
    pub(crate) text: Option<String>,
    pub(crate) hex: Option<String>,
    /// A byte at a time.
    #[serde(default)]
    pub(crate) dribble: bool,
}

/// Frames that the server must have sent since the last expectation: these and no others.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Expect {
    pub(crate) conn: String,
    pub(crate) frames: Vec<FrameText>,
    pub(crate) then: Then,
    pub(crate) norm: Option<Norm>,
    #[serde(default = "default_within")]
    pub(crate) within_ms: u64,
}

/// An HTTP request.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Request {
    /// A known connection is used again.
    pub(crate) conn: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Lines of the body, unless `body` has it.
    pub(crate) frames: Option<Vec<FrameText>>,
    pub(crate) body: Option<FrameText>,
    #[serde(default = "default_eol")]
    pub(crate) eol: String,
    /// Whether the last line is ended, too.
    #[serde(default = "yes")]
    pub(crate) last_eol: bool,
    #[serde(default)]
    pub(crate) chunked: bool,
    /// A null value keeps a header from being sent.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Option<String>>,
    #[serde(default = "default_version")]
    pub(crate) version: String,
}

/// What the next response on a connection must be by now.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ExpectHttp {
    pub(crate) conn: String,
    /// Nothing may have been sent yet, not even the head, if there is none.
    pub(crate) status: Option<u16>,
    /// Frames since the last expectation, the preamble included; unset: the body does not matter.
    pub(crate) frames: Option<Vec<FrameText>>,
    /// The response is complete.
    pub(crate) done: bool,
    pub(crate) norm: Option<Norm>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) conn_then: Option<Then>,
    #[serde(default = "default_within")]
    pub(crate) within_ms: u64,
}

impl Vector {
    /// Opens connections of the socket face.
    pub(crate) fn uses_socket(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Open { .. }))
    }
}

fn default_within() -> u64 {
    3000
}

fn default_eol() -> String {
    "\n".to_owned()
}

fn default_version() -> String {
    "1.1".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_recorded_file_is_whole() {
        let document: Document = serde_json::from_str(RECORDED).unwrap();
        let of = |class| document.vectors.iter().filter(|v| v.class == class).count();
        assert_eq!(document.vectors.len(), 417);
        assert_eq!(of(Class::Protocol), 384);
        let names: BTreeSet<&str> = document.vectors.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names.len(), 417);
    }
}
