//! JSON objects of version 3: reads the members of a body, and writes members in the order of the calls.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::json::{self, Value};

/// The members of a received object. Unknown keys are ignored; the last of repeated keys counts.
pub(super) struct JsonObject(BTreeMap<String, Value>);

impl JsonObject {
    /// Parses a text that is one object.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        match json::parse(text).ok()? {
            Value::Object(members) => Some(Self(members)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        }
    }

    /// Reads an optional member: `Some(None)` if the key is absent, `None` if the value is wrong.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.0.get(key) {
            None => Some(None),
            Some(value) => read(value).map(Some),
        }
    }

    /// Reads a member that must be present.
    pub(super) fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.0.get(key).and_then(read)
    }
}

/// Writes one object on one line.
pub(super) struct JsonWriter(String);

impl JsonWriter {
    /// An object without members.
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a member whose value is written as it is: a number, a literal.
    pub(super) fn raw(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a String never fails.
        let _ = write!(self.0, "{comma}\"{key}\":{value}");
        self
    }

    /// Adds a member with a text.
    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, "");
        json::write_string(value, &mut self.0);
        self
    }

    /// The text of the object.
    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
