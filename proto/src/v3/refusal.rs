//! Refusals of version 3: the one table of codes, HTTP statuses and client actions, and the JSON form. A refusal is the
//! body of an `R` frame or of an HTTP error (`application/problem+json`, RFC 9457).
//!
//! Edges make refusals from codes. Clients act on [`ClientAction`], so that an unknown code is harmless.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::json_object::{JsonObject, JsonWriter};
use crate::MAX_NUMBER;

/// Longest title, in bytes; longer ones are cut.
pub const MAX_TITLE: usize = 300;
/// Longest code, in bytes.
const MAX_CODE: usize = 32;
/// First close code of a WebSocket that applications may use; the status is added.
pub const CLOSE_CODE: u16 = 4000;

/// The reaction of a client to a refusal, the key `do`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientAction {
    /// `retry`: open another transport after the usual back-off, and not before [`Refusal::after`].
    Retry,
    /// `end`: end this stream.
    End,
    /// `halt`: open another transport after five minutes at the earliest.
    Halt,
    /// `fallback`: continue with the previous version of the protocol.
    Fallback,
}

impl ClientAction {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Retry, Self::End, Self::Halt, Self::Fallback];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::End => "end",
            Self::Halt => "halt",
            Self::Fallback => "fallback",
        }
    }

    /// Parses the text of an action. An unknown action is read as [`Self::Halt`], which neither loses the stream nor
    /// loads the server.
    fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|action| action.as_str() == text).unwrap_or(Self::Halt)
    }
}

/// A cause of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// The server or the stream does not have this version of the protocol.
    Version,
    /// The hello is invalid; the title names the key.
    Hello,
    /// The page's origin may not use the service.
    Origin,
    /// The service name is invalid, or the service is not offered.
    Service,
    /// The service has no application instance at present.
    Unserved,
    /// A quota of streams or transports is exceeded.
    Busy,
    /// The bytes are not frames: a damaged transport.
    Frame,
    /// A text message is not UTF-8.
    Message,
    /// A message or a frame is longer than allowed.
    TooLarge,
    /// More messages behind a gap than the receive window holds.
    Window,
    /// A SACK names messages that were never sent.
    AckedUnsent,
    /// A newer page has adopted the stream.
    Superseded,
    /// The stream is unknown or over, or the key is wrong.
    Gone,
    /// The server is about to stop.
    Draining,
    /// The server failed.
    Unavailable,
}

/// One line of the table of refusals.
struct Row {
    name: &'static str,
    status: u16,
    action: ClientAction,
    /// The second refusal in a row with this code ends the stream.
    ends_when_repeated: bool,
    title: &'static str,
}

const fn row(name: &'static str, status: u16, action: ClientAction, title: &'static str) -> Row {
    Row { name, status, action, ends_when_repeated: false, title }
}

const fn ends_when_repeated(row: Row) -> Row {
    Row { ends_when_repeated: true, ..row }
}

impl RefusalCode {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 15] = [
        Self::Version,
        Self::Hello,
        Self::Origin,
        Self::Service,
        Self::Unserved,
        Self::Busy,
        Self::Frame,
        Self::Message,
        Self::TooLarge,
        Self::Window,
        Self::AckedUnsent,
        Self::Superseded,
        Self::Gone,
        Self::Draining,
        Self::Unavailable,
    ];

    /// The table of refusals.
    const fn row(self) -> Row {
        use ClientAction::{End, Fallback, Halt, Retry};
        match self {
            Self::Version => {
                row("version", 426, Fallback, "this protocol version is not available")
            }
            Self::Hello => row("hello", 400, End, "the hello is invalid"),
            Self::Origin => row("origin", 403, Halt, "this origin may not use this service"),
            Self::Service => row("service", 404, Halt, "this service is not offered"),
            Self::Unserved => row("unserved", 503, Retry, "no instance serves this service now"),
            Self::Busy => row("busy", 429, Retry, "too many streams or transports"),
            Self::Frame => ends_when_repeated(row("frame", 400, Retry, "the transport is damaged")),
            Self::Message => row("message", 400, End, "a text message is not UTF-8"),
            Self::TooLarge => row("too_large", 413, End, "a message is too long"),
            Self::Window => {
                ends_when_repeated(row("window", 409, Retry, "too many messages behind a gap"))
            }
            Self::AckedUnsent => {
                let title = "a message was acknowledged that was never sent";
                ends_when_repeated(row("acked_unsent", 409, Retry, title))
            }
            Self::Superseded => row("superseded", 409, End, "a newer page has this stream"),
            Self::Gone => row("gone", 410, End, "the stream does not exist"),
            Self::Draining => row("draining", 503, Retry, "the server is about to stop"),
            Self::Unavailable => row("unavailable", 503, Retry, "the server is not available"),
        }
    }

    /// The text of the code on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// The reaction of a client.
    pub const fn action(self) -> ClientAction {
        self.row().action
    }

    /// Whether a client ends the stream at the second refusal in a row with this code.
    pub const fn ends_when_repeated(self) -> bool {
        self.row().ends_when_repeated
    }

    /// The usual title.
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// Parses the text of a code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal as sent to a client. The code and the action may be those of a newer server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Cow<'static, str>,
    status: u16,
    title: Cow<'static, str>,
    action: ClientAction,
    /// Shortest pause before the next transport, in whole milliseconds.
    pub after: Option<Duration>,
}

impl Refusal {
    /// The refusal with a code and its usual title.
    pub const fn new(code: RefusalCode) -> Self {
        let Row { name, status, action, title, .. } = code.row();
        Self { code: Cow::Borrowed(name), status, title: Cow::Borrowed(title), action, after: None }
    }

    /// The refusal with a code and a title for this case, cut to [`MAX_TITLE`].
    pub fn with_title(code: RefusalCode, title: impl fmt::Display) -> Self {
        Self { title: Cow::Owned(cut_title(title.to_string())), ..Self::new(code) }
    }

    /// The code; `None` if this build does not know the code.
    pub fn code(&self) -> Option<RefusalCode> {
        RefusalCode::parse(&self.code)
    }

    /// The text of the code.
    pub fn code_text(&self) -> &str {
        &self.code
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The code of a WebSocket close frame: 4000 plus the status.
    pub const fn close_code(&self) -> u16 {
        CLOSE_CODE + self.status
    }

    /// The description for developers.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The reaction of the client.
    pub const fn action(&self) -> ClientAction {
        self.action
    }

    /// Parses the JSON form; `None` if a member is missing or wrong.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let object = JsonObject::parse(json)?;
        let text = |value: &crate::json::Value| value.as_text().map(str::to_owned);
        let is_code = |code: &String| (1..=MAX_CODE).contains(&code.len());
        let is_status = |status: &u16| (400..600).contains(status);
        Some(Self {
            code: Cow::Owned(object.required("code", text).filter(is_code)?),
            status: object
                .required("status", |value| u16::try_from(value.integer(999)?).ok())
                .filter(is_status)?,
            title: Cow::Owned(object.optional("title", text)?.map(cut_title).unwrap_or_default()),
            action: object.required("do", |value| value.as_text().map(ClientAction::parse))?,
            after: object
                .optional("after", |value| value.integer(MAX_NUMBER))?
                .map(Duration::from_millis),
        })
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> String {
        let mut json = JsonWriter::new();
        json.raw("status", self.status).text("code", &self.code).text("title", &self.title);
        json.text("do", self.action.as_str());
        if let Some(after) = self.after {
            json.raw("after", after.as_millis());
        }
        json.finish()
    }
}

impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Self::new(code)
    }
}

fn cut_title(mut title: String) -> String {
    let end = (0..=MAX_TITLE.min(title.len())).rev().find(|end| title.is_char_boundary(*end));
    title.truncate(end.unwrap_or(0));
    title
}

#[cfg(test)]
mod tests;
