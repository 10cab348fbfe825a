//! Errors in the fields of requests and commands, and the checks that several calls of the application API share.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::labels::{MAX_GROUP, MAX_LABEL, is_group, is_label};
use minerva_proto::{MAX_MESSAGE, MAX_REASON, Payload, Reset, ServiceName, is_message_allowed};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// An invalid field of a request; becomes INVALID_ARGUMENT. The text names the field and the rule, never the value,
/// which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct FieldError {
    field: &'static str,
    problem: String,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, problem: impl ToString) -> Self {
        Self { field, problem: problem.to_string() }
    }
}

impl From<FieldError> for Status {
    fn from(error: FieldError) -> Self {
        let text = error.to_string();
        let details = ErrorDetails::with_bad_request_violation(error.field, error.problem);
        Self::with_error_details(Code::InvalidArgument, text, details)
    }
}

/// Checks the bytes and sizes of messages of version 2, and that their numbers fit 64 bits.
pub(crate) fn ascii_messages(
    field: &'static str,
    first: u64,
    messages: Vec<Bytes>,
) -> Result<Vec<Payload>, FieldError> {
    if first.checked_add(messages.len() as u64).is_none() {
        return Err(FieldError::new(field, "the numbers do not fit 64 bits"));
    }
    let payload = |message: Bytes| {
        if message.len() > MAX_MESSAGE {
            return Err(FieldError::new(field, format!("longer than {MAX_MESSAGE} bytes")));
        }
        if !is_message_allowed(&message) {
            return Err(FieldError::new(field, "only bytes 0x20-0x7E are allowed"));
        }
        Ok(Payload::ascii_text(message))
    };
    messages.into_iter().map(payload).collect()
}

/// Checks the reason of a reset.
pub(crate) fn reset(
    field: &'static str,
    reason: String,
    application_level: bool,
) -> Result<Reset, FieldError> {
    if reason.len() > MAX_REASON {
        return Err(FieldError::new(field, format!("longer than {MAX_REASON} bytes")));
    }
    if !is_message_allowed(reason.as_bytes()) {
        return Err(FieldError::new(field, "only bytes 0x20-0x7E are allowed"));
    }
    Ok(Reset { reason, application_level })
}

/// Checks a label: up to 256 bytes of 0x20-0x7E. An empty text means no label.
pub(crate) fn label(field: &'static str, label: String) -> Result<Option<Arc<str>>, FieldError> {
    if !is_label(&label) {
        return Err(FieldError::new(field, format!("must be up to {MAX_LABEL} of 0x20-0x7E")));
    }
    Ok((!label.is_empty()).then(|| label.into()))
}

/// Checks the name of a group: 1 to 128 bytes of 0x21-0x7E.
pub(crate) fn group(field: &'static str, group: String) -> Result<Arc<str>, FieldError> {
    if !is_group(&group) {
        return Err(FieldError::new(field, format!("must be 1 to {MAX_GROUP} of 0x21-0x7E")));
    }
    Ok(group.into())
}

/// Checks a service name; see [`ServiceName`].
pub(crate) fn service(field: &'static str, name: &str) -> Result<Arc<str>, FieldError> {
    match ServiceName::parse(name) {
        Ok(name) => Ok(name.into()),
        Err(error) => Err(FieldError::new(field, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_in_length_and_in_bytes() {
        for (length, ok) in [(MAX_MESSAGE - 1, true), (MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)]
        {
            let message = Bytes::from(vec![b'x'; length]);
            assert_eq!(ascii_messages("messages", 0, vec![message]).is_ok(), ok, "{length}");
        }
        for byte in 0..=255u8 {
            let ok = (0x20..=0x7E).contains(&byte);
            let message = Bytes::from(vec![byte]);
            assert_eq!(ascii_messages("messages", 0, vec![message]).is_ok(), ok);
        }
    }

    #[test]
    fn the_last_number_of_a_send_fits_64_bits() {
        let one = || vec![Bytes::new()];
        assert!(ascii_messages("messages", u64::MAX - 1, one()).is_ok());
        assert!(ascii_messages("messages", u64::MAX, one()).is_err());
    }

    #[test]
    fn reasons_are_bounded() {
        for (length, ok) in [(254, true), (255, true), (256, false)] {
            assert_eq!(reset("reason", "x".repeat(length), true).is_ok(), ok, "{length}");
        }
        assert!(reset("reason", "tab\t".to_owned(), true).is_err());
    }

    #[test]
    fn labels_and_groups_are_bounded() {
        for (length, ok) in [(0, true), (255, true), (256, true), (257, false)] {
            assert_eq!(label("label", "x".repeat(length)).is_ok(), ok, "{length}");
        }
        for (length, ok) in [(0, false), (1, true), (127, true), (128, true), (129, false)] {
            assert_eq!(group("group", "x".repeat(length)).is_ok(), ok, "{length}");
        }
        assert_eq!(label("label", String::new()), Ok(None));
        assert!(
            label("label", "a b".to_owned()).is_ok()
                && label("label", "\u{7f}".to_owned()).is_err()
        );
        assert!(group("group", "a b".to_owned()).is_err());
    }

    #[test]
    fn an_invalid_service_name_is_reported_with_its_field() {
        assert_eq!(service("service", "a-_9").as_deref(), Ok("a-_9"));
        let error = service("service", "a.b").unwrap_err().to_string();
        assert!(error.starts_with("service: ") && error.contains("'.'"), "{error}");
    }
}
