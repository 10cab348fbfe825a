//! The text messages of the file layer: the header that begins a file, and the end of a file that is given up.

use serde::{Deserialize, Serialize};

/// First characters of a header.
const PREFIX: &str = "{\"file\":";

/// The description of a file. See the [module](super) for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileHeader {
    /// The name at the sender. Not trustworthy: never a path at the receiver.
    #[serde(rename = "file")]
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// The media type, such as `image/png`; may be empty.
    #[serde(rename = "type", default)]
    pub media_type: String,
}

/// The end of a file that the sender does not send to its end.
#[derive(Serialize, Deserialize)]
pub(super) struct GivenUp {
    file: String,
    pub(super) error: String,
}

/// A text message of the file layer.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum FileText {
    GivenUp(GivenUp),
    Header(FileHeader),
}

impl FileHeader {
    /// Describes a file of `size` bytes. See the [module](super) for an example.
    pub fn new(name: impl Into<String>, size: u64, media_type: impl Into<String>) -> Self {
        Self { name: name.into(), size, media_type: media_type.into() }
    }

    pub(super) fn given_up(&self, reason: &str) -> GivenUp {
        GivenUp { file: self.name.clone(), error: reason.to_owned() }
    }
}

/// Parses a message of the file layer; `None` for other text.
pub(super) fn parse(text: &str) -> Option<FileText> {
    if !text.starts_with(PREFIX) {
        return None;
    }
    serde_json::from_str(text).ok()
}
