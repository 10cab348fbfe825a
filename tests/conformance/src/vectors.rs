//! Types of the recorded exchanges in `vectors.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::text::{FrameText, IdShape};

/// The recorded exchanges of the original server.
pub(crate) const RECORDED: &str = include_str!("../vectors.json");
/// Exchanges of the kinds that differed from the original, played to the original server.
const PLAYED: &str = include_str!("../exchanges.json");

/// The built-in vectors of both files.
pub(crate) fn built_in() -> Result<Vec<Vector>, serde_json::Error> {
    Ok(parse(RECORDED)?.into_iter().chain(parse(PLAYED)?).collect())
}

/// The vectors of a file.
pub(crate) fn parse(text: &str) -> Result<Vec<Vector>, serde_json::Error> {
    let document: Document = serde_json::from_str(text)?;
    Ok(document.vectors)
}

/// The whole file.
#[derive(Debug, Deserialize)]
struct Document {
    vectors: Vec<Vector>,
}

/// One exchange.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Vector {
    /// Unique; the list of differences refers to this name.
    pub(crate) name: String,
    pub(crate) class: Class,
    /// Stream ids by placeholder.
    pub(crate) ids: BTreeMap<String, IdShape>,
    pub(crate) steps: Vec<Step>,
}

/// Obligation of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    /// Must match.
    Protocol,
    /// An accident of the original.
    Quirk,
    /// The habits of the original's web server.
    HttpSurface,
    /// Varies with the original's JSON library.
    Environment,
}

/// State of a connection after an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    Open,
    Closed,
}

/// Normalization before a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Norm {
    /// Ignores all SACKs but the last, since their number depends on TCP segments.
    LastAckOnly,
}

/// One action or expectation of the client.
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

/// The exact frames that the server must have sent since the last expectation.
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
    /// An open connection is reused.
    pub(crate) conn: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Lines of the body; alternative to `body`.
    pub(crate) frames: Option<Vec<FrameText>>,
    pub(crate) body: Option<FrameText>,
    #[serde(default = "default_eol")]
    pub(crate) eol: String,
    /// Whether the last line is terminated.
    #[serde(default = "yes")]
    pub(crate) last_eol: bool,
    #[serde(default)]
    pub(crate) chunked: bool,
    /// A null value omits a default header.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Option<String>>,
    #[serde(default = "default_version")]
    pub(crate) version: String,
}

/// Expected state of the next response on a connection.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ExpectHttp {
    pub(crate) conn: String,
    /// `None`: the server must not have sent a head yet.
    pub(crate) status: Option<u16>,
    /// Frames since the last expectation, including the preamble; `None` accepts every body.
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
    /// Whether the vector belongs to the socket face.
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
        let vectors = parse(RECORDED).unwrap();
        let of = |class| vectors.iter().filter(|v| v.class == class).count();
        assert_eq!(vectors.len(), 417);
        assert_eq!(of(Class::Protocol), 384);
        let names: BTreeSet<&str> = vectors.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names.len(), 417);
    }
}
