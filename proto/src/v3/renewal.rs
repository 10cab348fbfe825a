//! The body of a `t` frame: renewal of a client's credentials on a stream.

use std::fmt;
use std::time::Duration;

use super::json_object::{JsonObject, JsonWriter};
use crate::MAX_NUMBER;
use crate::hello::MAX_CRED;

/// A request for new credentials, or the answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Renewal {
    /// From the server: new credentials are wanted within this time, in whole seconds.
    Wanted(Duration),
    /// From the client: the new credentials, at most [`MAX_CRED`] bytes; a secret.
    Credentials(String),
}

impl Renewal {
    /// Parses the JSON form; `None` unless exactly one of `by` and `cred` is present and valid.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let object = JsonObject::parse(json)?;
        let by = object.optional("by", |value| value.integer(MAX_NUMBER))?;
        let cred = object.optional("cred", |value| value.as_text().map(str::to_owned))?;
        match (by, cred) {
            (Some(seconds), None) => Some(Self::Wanted(Duration::from_secs(seconds))),
            (None, Some(cred)) if cred.len() <= MAX_CRED => Some(Self::Credentials(cred)),
            (None, Some(_) | None) | (Some(_), Some(_)) => None,
        }
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> String {
        let mut json = JsonWriter::new();
        match self {
            Self::Wanted(by) => json.raw("by", by.as_secs()),
            Self::Credentials(cred) => json.text("cred", cred),
        };
        json.finish()
    }
}

impl fmt::Debug for Renewal {
    /// Omits the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted(by) => f.debug_tuple("Wanted").field(by).finish(),
            Self::Credentials(_) => f.write_str("Credentials(secret)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_a_request_or_an_answer() {
        let parse = |json: &str| Renewal::parse(json.as_bytes());
        assert_eq!(parse(r#"{"by":60}"#), Some(Renewal::Wanted(Duration::from_secs(60))));
        assert_eq!(parse(r#"{"cred":"é"}"#), Some(Renewal::Credentials("é".to_owned())));
        for wrong in ["{}", "7", r#"{"by":-1}"#, r#"{"by":1,"cred":""}"#, r#"{"cred":7}"#] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn credentials_are_bounded_and_secret() {
        for (length, ok) in [(MAX_CRED - 1, true), (MAX_CRED, true), (MAX_CRED + 1, false)] {
            let renewal = Renewal::Credentials("c".repeat(length));
            assert_eq!(Renewal::parse(renewal.to_json().as_bytes()).is_some(), ok, "{length}");
            assert!(!format!("{renewal:?}").contains("ccc"));
        }
    }
}
