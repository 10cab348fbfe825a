//! The body of a `W` frame: the server's first answer on a transport.

use super::json_object::{JsonObject, JsonWriter};
use super::{MAX_MESSAGE, StreamCreation};
use crate::json::Value;
use crate::{MAX_NUMBER, MessageNumber};

/// The state of the stream and the abilities of the server. A member is absent where the client has the value from an
/// earlier transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Welcome {
    /// `born`: number of the stream and claim tag of its creation.
    pub born: Option<StreamCreation>,
    /// `max`: longest message in bytes, 1 to [`MAX_MESSAGE`].
    pub max: Option<usize>,
    /// `z`: the server inflates compressed runs.
    pub inflates: bool,
    /// `from`: first message that will be written to a new generation.
    pub from: Option<MessageNumber>,
    /// `own`: first c2s number that the client may assign.
    pub own: Option<MessageNumber>,
}

impl Welcome {
    /// Parses the JSON form; `None` if a member is wrong.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let object = JsonObject::parse(json)?;
        let number = |value: &Value| value.integer(MAX_NUMBER).map(MessageNumber);
        let length = |value: &Value| {
            value.integer(MAX_MESSAGE as u64).filter(|max| *max > 0).map(|max| max as usize)
        };
        Some(Self {
            born: object
                .optional("born", |value| StreamCreation::parse(value.as_text()?.as_bytes()))?,
            max: object.optional("max", length)?,
            inflates: object.optional("z", |value| value.integer(1))? == Some(1),
            from: object.optional("from", number)?,
            own: object.optional("own", number)?,
        })
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> String {
        let mut json = JsonWriter::new();
        if let Some(born) = self.born {
            json.text("born", &born.to_string());
        }
        if let Some(max) = self.max {
            json.raw("max", max);
        }
        if self.inflates {
            json.raw("z", 1);
        }
        for (key, number) in [("from", self.from), ("own", self.own)] {
            if let Some(number) = number {
                json.raw(key, number);
            }
        }
        json.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_optional_and_checked() {
        assert_eq!(Welcome::parse(b"{}"), Some(Welcome::default()));
        assert_eq!(Welcome::default().to_json(), "{}");
        assert_eq!(Welcome::parse(br#"{"z":0,"new":{}}"#), Some(Welcome::default()));
        for wrong in [
            "",
            "[]",
            r#"{"born":7}"#,
            r#"{"born":"7"}"#,
            r#"{"z":2}"#,
            r#"{"from":-1}"#,
            r#"{"own":null}"#,
        ] {
            assert_eq!(Welcome::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn the_longest_message_is_bounded() {
        for (max, ok) in [(0, false), (1, true), (MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)] {
            let welcome = Welcome { max: Some(max), ..Welcome::default() };
            assert_eq!(Welcome::parse(welcome.to_json().as_bytes()).is_some(), ok, "{max}");
        }
    }
}
