//! Receiving files: recognizes the messages of the file layer and checks lengths and order. Pure.

use bytes::Bytes;
use minerva_proto::{MAX_NUMBER, Message};

use super::MAX_PART;
use super::header::{FileHeader, FileText, parse};

/// Recognizes the files among the messages of one client. See the [module](super) for an example.
///
/// After an error the assembler has no file under way.
#[derive(Debug)]
pub struct FileAssembler {
    max_size: u64,
    under_way: Option<Progress>,
}

/// A file under way.
#[derive(Debug)]
struct Progress {
    size: u64,
    received: u64,
}

/// A message, as part of a file or not. See the [module](super) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEvent {
    /// A file begins. A file of 0 bytes has no part.
    Begun(FileHeader),
    /// The next bytes of the file.
    Part {
        /// The bytes.
        bytes: Bytes,
        /// Received bytes of the file, these included.
        received: u64,
        /// Whether the file is complete.
        is_last: bool,
    },
    /// The sender does not send the rest of the file, for this reason.
    GivenUp(String),
    /// The message does not belong to a file.
    Other(Message),
}

/// The sender broke the format, or the file is too long. See the [module](super) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileAssemblyError {
    /// The file is longer than the limit.
    #[error("a file of {size} bytes exceeds the limit of {max}")]
    TooLong {
        /// Announced length, in bytes.
        size: u64,
        /// Longest accepted file, in bytes.
        max: u64,
    },
    /// A file began before the end of the one under way.
    #[error("a file begins before the end of another one")]
    Nested,
    /// A part is empty, too long, or exceeds the announced length.
    #[error("a part of {length} bytes, where {left} are left")]
    Part {
        /// Length of the part, in bytes.
        length: usize,
        /// Bytes to the end of the file.
        left: u64,
    },
}

impl FileAssembler {
    /// Accepts files of at most `max_size` bytes. See the [module](super) for an example.
    pub fn new(max_size: u64) -> Self {
        Self { max_size: max_size.min(MAX_NUMBER), under_way: None }
    }

    /// Takes the next message of the client. See the [module](super) for an example.
    ///
    /// # Errors
    /// If the message breaks the format, or the file is too long.
    pub fn on_message(&mut self, message: Message) -> Result<FileEvent, FileAssemblyError> {
        match message {
            Message::Text(text) => match parse(&text) {
                Some(FileText::Header(header)) => self.begin(header),
                Some(FileText::GivenUp(end)) => {
                    self.under_way = None;
                    Ok(FileEvent::GivenUp(end.error))
                }
                None => Ok(FileEvent::Other(Message::Text(text))),
            },
            Message::Binary(bytes) => match self.under_way.take() {
                Some(progress) => self.part(progress, bytes),
                None => Ok(FileEvent::Other(Message::Binary(bytes))),
            },
        }
    }

    fn begin(&mut self, header: FileHeader) -> Result<FileEvent, FileAssemblyError> {
        if self.under_way.take().is_some() {
            return Err(FileAssemblyError::Nested);
        }
        let (size, max) = (header.size, self.max_size);
        if size > max {
            return Err(FileAssemblyError::TooLong { size, max });
        }
        self.under_way = (size > 0).then_some(Progress { size, received: 0 });
        Ok(FileEvent::Begun(header))
    }

    fn part(
        &mut self,
        Progress { size, received }: Progress,
        bytes: Bytes,
    ) -> Result<FileEvent, FileAssemblyError> {
        let (length, left) = (bytes.len(), size - received);
        if !(1..=MAX_PART).contains(&length) || length as u64 > left {
            return Err(FileAssemblyError::Part { length, left });
        }
        let received = received + length as u64;
        let is_last = received == size;
        if !is_last {
            self.under_way = Some(Progress { size, received });
        }
        Ok(FileEvent::Part { bytes, received, is_last })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn header(size: u64) -> Message {
        format!(r#"{{"file":"a \u00e9","type":"text/plain","size":{size},"later":[1]}}"#).into()
    }

    fn part(length: usize) -> Message {
        vec![7; length].into()
    }

    /// The vectors that the web client shares.
    #[test]
    fn shared_vectors() {
        let vectors = include_str!("../../../../proto/vectors/files.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 8);
        for case in cases {
            let mut files = FileAssembler::new(case["max"].as_u64().unwrap());
            let messages = case["messages"].as_array().unwrap().iter();
            let found: Value = messages.map(|message| outcome(&mut files, message)).collect();
            assert_eq!(found, case["events"], "{}", case["name"]);
        }
    }

    /// The event of a message of the vectors, in their form.
    fn outcome(files: &mut FileAssembler, message: &Value) -> Value {
        let message = match message.as_u64() {
            Some(length) => part(usize::try_from(length).unwrap()),
            None => message.as_str().unwrap().into(),
        };
        match files.on_message(message) {
            Ok(FileEvent::Begun(FileHeader { name, size, media_type })) => {
                json!({ "file": [name, size, media_type] })
            }
            Ok(FileEvent::Part { received, is_last, .. }) => json!({ "part": [received, is_last] }),
            Ok(FileEvent::GivenUp(reason)) => json!({ "given_up": reason }),
            Ok(FileEvent::Other(_)) => Value::Null,
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    #[test]
    fn a_file_ends_with_its_last_byte_and_leaves_other_messages_alone() {
        let mut files = FileAssembler::new(MAX_PART as u64 + 2);
        assert_eq!(files.on_message(part(1)), Ok(FileEvent::Other(part(1))), "no file");
        let begun = files.on_message(header(MAX_PART as u64 + 2));
        let expected = FileHeader::new("a \u{e9}", MAX_PART as u64 + 2, "text/plain");
        assert_eq!(begun, Ok(FileEvent::Begun(expected)));
        for (length, received, is_last) in
            [(1, 1, false), (MAX_PART, MAX_PART as u64 + 1, false), (1, MAX_PART as u64 + 2, true)]
        {
            for text in
                ["", "hello", "{\"file\":1}", "{\"file\":\"x\"}", " {\"file\":\"x\",\"size\":1}"]
            {
                assert_eq!(files.on_message(text.into()), Ok(FileEvent::Other(text.into())));
            }
            let event = FileEvent::Part { bytes: part(length).into_bytes(), received, is_last };
            assert_eq!(files.on_message(part(length)), Ok(event));
        }
        assert_eq!(files.on_message(part(1)), Ok(FileEvent::Other(part(1))), "the file is over");
        assert!(matches!(files.on_message(header(0)), Ok(FileEvent::Begun(_))));
        assert_eq!(files.on_message(part(0)), Ok(FileEvent::Other(part(0))), "no part");
    }

    #[test]
    fn the_length_of_a_file_is_bounded() {
        for (size, is_accepted) in [(9, true), (10, true), (11, false)] {
            let begun = FileAssembler::new(10).on_message(header(size));
            let too_long = Err(FileAssemblyError::TooLong { size, max: 10 });
            assert_eq!(begun == too_long, !is_accepted, "{size}");
        }
    }

    #[test]
    fn wrong_parts_and_nested_files_are_errors() {
        let big = MAX_PART as u64 * 2;
        for (size, message, error) in [
            (big, part(0), FileAssemblyError::Part { length: 0, left: big }),
            (big, part(MAX_PART + 1), FileAssemblyError::Part { length: MAX_PART + 1, left: big }),
            (5, part(6), FileAssemblyError::Part { length: 6, left: 5 }),
            (5, header(1), FileAssemblyError::Nested),
        ] {
            let mut files = FileAssembler::new(u64::MAX);
            files.on_message(header(size)).unwrap();
            assert_eq!(files.on_message(message), Err(error));
            assert_eq!(files.on_message(part(1)), Ok(FileEvent::Other(part(1))));
        }
    }

    #[test]
    fn a_file_that_is_given_up_ends() {
        let mut files = FileAssembler::new(10);
        files.on_message(header(2)).unwrap();
        let end = files.on_message(r#"{"file":"a","error":"no"}"#.into());
        assert_eq!(end, Ok(FileEvent::GivenUp("no".to_owned())));
        assert!(matches!(files.on_message(header(1)), Ok(FileEvent::Begun(_))));
    }
}
