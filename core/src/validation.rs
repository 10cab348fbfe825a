//! Errors in the fields of requests and commands, and the checks that several calls of the application API share.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::app::{ContentError, Message};
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
    /// Position of the invalid message in a list of messages.
    index: Option<u32>,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, problem: impl ToString) -> Self {
        Self { field, problem: problem.to_string(), index: None }
    }

    /// Position of the invalid message, if the error is that of one message.
    pub(crate) fn index(&self) -> Option<u32> {
        self.index
    }
}

impl From<FieldError> for Status {
    fn from(error: FieldError) -> Self {
        let FieldError { field, problem, index } = error;
        let problem = index.map_or(problem.clone(), |index| format!("message {index}: {problem}"));
        let text = format!("{field}: {problem}");
        let details = ErrorDetails::with_bad_request_violation(field, problem);
        Self::with_error_details(Code::InvalidArgument, text, details)
    }
}

/// The fields of a list of messages: text of bytes 0x20-0x7E, or messages of any kind.
pub(crate) struct MessageLists {
    pub(crate) messages: (&'static str, Vec<Bytes>),
    pub(crate) contents: (&'static str, Vec<Message>),
}

impl MessageLists {
    /// Checks kinds and lengths of the messages, that one list is empty, and that numbers from `first` on fit 64 bits.
    pub(crate) fn check(self, first: u64) -> Result<Vec<Payload>, FieldError> {
        let Self { messages: (of_messages, messages), contents: (of_contents, contents) } = self;
        if !messages.is_empty() && !contents.is_empty() {
            return Err(FieldError::new(of_contents, "must be empty beside `messages`"));
        }
        let count = messages.len().max(contents.len());
        if first.checked_add(count as u64).is_none() {
            return Err(FieldError::new(of_messages, "the numbers do not fit 64 bits"));
        }
        match contents.is_empty() {
            true => checked(of_messages, messages, ascii_text),
            false => checked(of_contents, contents, content),
        }
    }
}

fn checked<T>(
    field: &'static str,
    list: Vec<T>,
    check: impl Fn(T) -> Result<Payload, &'static str>,
) -> Result<Vec<Payload>, FieldError> {
    let payload = |(index, message)| {
        let invalid =
            |problem| FieldError { index: Some(index), ..FieldError::new(field, problem) };
        let payload = check(message).map_err(invalid)?;
        if payload.len() > MAX_MESSAGE {
            return Err(FieldError {
                index: Some(index),
                ..FieldError::new(field, format!("longer than {MAX_MESSAGE} bytes"))
            });
        }
        Ok(payload)
    };
    (0..).zip(list).map(payload).collect()
}

fn ascii_text(message: Bytes) -> Result<Payload, &'static str> {
    if !is_message_allowed(&message) {
        return Err("only bytes 0x20-0x7E are allowed");
    }
    Ok(Payload::ascii_text(message))
}

fn content(message: Message) -> Result<Payload, &'static str> {
    message.try_into().map_err(|error| match error {
        ContentError::Unset => "neither text nor binary is set",
        ContentError::Text(_) => "the text is not UTF-8",
    })
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
    use minerva_proto::app::message::Content;

    use super::*;

    fn check(
        first: u64,
        messages: Vec<Bytes>,
        contents: Vec<Message>,
    ) -> Result<Vec<Payload>, FieldError> {
        MessageLists { messages: ("messages", messages), contents: ("contents", contents) }
            .check(first)
    }

    fn message(of_kind: fn(Bytes) -> Content, bytes: impl Into<Bytes>) -> Message {
        Message { content: Some(of_kind(bytes.into())) }
    }

    #[test]
    fn messages_are_bounded_in_length_and_in_bytes() {
        for (length, ok) in [(MAX_MESSAGE - 1, true), (MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)]
        {
            let bytes = Bytes::from(vec![b'x'; length]);
            assert_eq!(check(0, vec![bytes], Vec::new()).is_ok(), ok, "{length}");
        }
        for byte in 0..=255u8 {
            let ok = (0x20..=0x7E).contains(&byte);
            assert_eq!(check(0, vec![Bytes::from(vec![byte])], Vec::new()).is_ok(), ok);
        }
    }

    #[test]
    fn contents_are_bounded_in_bytes_of_utf_8() {
        for (length, ok) in [(MAX_MESSAGE - 1, true), (MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)]
        {
            // Characters of two bytes, and one of one byte in front of an odd number.
            let text = "x".repeat(length % 2) + &"é".repeat(length / 2);
            assert_eq!(text.len(), length);
            for of_kind in [Content::Text, Content::Binary] {
                let contents = vec![message(of_kind, text.clone())];
                assert_eq!(check(0, Vec::new(), contents).is_ok(), ok, "{length}");
            }
        }
    }

    #[test]
    fn text_is_utf_8_and_binary_has_any_bytes() {
        let any = (0..=255).collect::<Vec<u8>>();
        let valid = [Payload::from(""), "é\0".into(), Payload::binary(""), Payload::binary(any)];
        let contents = valid.iter().cloned().map(Message::from).collect();
        assert_eq!(check(0, Vec::new(), contents).as_deref(), Ok(&valid[..]));
        for text in [&b"a\xff"[..], b"\xed\xa0\x80", b"\xc3", b"\xc0\x80", b"\xf4\x90\x80\x80"] {
            let contents = vec![message(Content::Text, "ok"), message(Content::Text, text)];
            let error = check(0, Vec::new(), contents).unwrap_err();
            assert_eq!((error.field, error.index()), ("contents", Some(1)), "{text:?}");
        }
        let unset = check(0, Vec::new(), vec![Message::default()]).unwrap_err();
        assert_eq!(unset.index(), Some(0));
        assert_eq!(
            Status::from(unset).message(),
            "contents: message 0: neither text nor binary is set"
        );
    }

    #[test]
    fn only_one_list_has_messages() {
        let both = check(0, vec!["a".into()], vec![Payload::from("a").into()]).unwrap_err();
        assert_eq!((both.field, both.index()), ("contents", None));
        assert_eq!(check(0, Vec::new(), Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn the_last_number_of_a_send_fits_64_bits() {
        for (first, ok) in [(u64::MAX - 1, true), (u64::MAX, false)] {
            assert_eq!(check(first, vec![Bytes::new()], Vec::new()).is_ok(), ok);
            assert_eq!(check(first, Vec::new(), vec![Payload::from("").into()]).is_ok(), ok);
        }
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
