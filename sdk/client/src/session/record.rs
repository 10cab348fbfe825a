//! Records of a session file and their binary form. Stored by one release and read by later ones: a record keeps its
//! meaning, and new ones get new types. Pure; called by `journal.rs`.
//!
//! A record is its length and CRC-32C, four bytes each in little endian, and the body: a type byte and the content.

use std::collections::BTreeMap;

use minerva_proto::v3::{ResumeKey, StreamCreation};
use minerva_proto::{MAX_NUMBER, Message, MessageNumber, StreamId, Utf8Bytes};

/// First bytes of a session file of format 1.
pub(super) const MAGIC: &[u8] = b"minerva session 1\n";
/// First bytes of a session file of any format.
pub(super) const ANY_MAGIC: &[u8] = b"minerva session ";
/// Length and checksum in front of a body.
const HEAD_BYTES: usize = 8;
/// Longest body: a message with its type and number, or a header.
const MAX_BODY: usize = minerva_proto::v3::MAX_MESSAGE + 64 * 1024;

/// State of a session besides messages and positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) service: String,
    pub(crate) id: StreamId,
    /// Key of the last generation that the server has accepted.
    pub(crate) key: ResumeKey,
    /// Key of the generation that the server has not accepted yet.
    pub(crate) next: Option<ResumeKey>,
    pub(crate) generation: u32,
    /// Creation of the stream; absent before the server has accepted the stream.
    pub(crate) born: Option<StreamCreation>,
    /// The stream is over; the stored messages remain for the application.
    pub(crate) over: bool,
}

/// A change of the stored state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    Header(Header),
    /// An own message under its number.
    Message(MessageNumber, Message),
    /// The own messages below are acknowledged.
    Acknowledged(MessageNumber),
    /// The application has taken all messages below.
    Position(MessageNumber),
}

/// The state that a sequence of records describes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) header: Option<Header>,
    pub(crate) own: BTreeMap<MessageNumber, Message>,
    pub(crate) acknowledged: MessageNumber,
    pub(crate) position: MessageNumber,
}

impl Stored {
    /// Applies a record.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Header(header) => self.header = Some(header),
            Record::Message(number, message) => {
                self.own.insert(number, message);
            }
            Record::Acknowledged(below) => {
                self.acknowledged = self.acknowledged.max(below);
                self.own = self.own.split_off(&self.acknowledged);
            }
            Record::Position(next) => self.position = next,
        }
    }

    /// The shortest sequence of records with this state.
    pub(crate) fn records(&self) -> Vec<Record> {
        let header = self.header.clone().map(Record::Header);
        let own =
            self.own.iter().map(|(number, message)| Record::Message(*number, message.clone()));
        let positions = [Record::Acknowledged(self.acknowledged), Record::Position(self.position)];
        header.into_iter().chain(positions).chain(own).collect()
    }
}

/// Appends the binary form of a record.
pub(super) fn encode(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; HEAD_BYTES]);
    match record {
        Record::Header(header) => {
            out.push(b'H');
            out.extend(header_lines(header).as_bytes());
        }
        Record::Message(number, message) => {
            out.push(if matches!(message, Message::Text(_)) { b'm' } else { b'b' });
            out.extend(number.0.to_le_bytes());
            out.extend(message.as_ref() as &[u8]);
        }
        Record::Acknowledged(below) => {
            out.push(b'A');
            out.extend(below.0.to_le_bytes());
        }
        Record::Position(next) => {
            out.push(b'P');
            out.extend(next.0.to_le_bytes());
        }
    }
    let body = &out[start + HEAD_BYTES..];
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let checksum = crc32c::crc32c(body);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads records up to the first incomplete or damaged one: a crash may lose the last writes.
pub(super) fn decode(mut bytes: &[u8]) -> Stored {
    let mut stored = Stored::default();
    while let Some((record, rest)) = decode_one(bytes) {
        stored.apply(record);
        bytes = rest;
    }
    stored
}

fn decode_one(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, rest) = rest.split_at_checked(length).filter(|_| length <= MAX_BODY)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (kind, content) = body.split_first()?;
    let record = match kind {
        b'H' => Record::Header(header(std::str::from_utf8(content).ok()?)?),
        b'm' => {
            let (number, text) = number(content)?;
            let text = Utf8Bytes::from(std::str::from_utf8(text).ok()?.to_owned());
            Record::Message(number, Message::Text(text))
        }
        b'b' => {
            let (number, data) = number(content)?;
            Record::Message(number, data.to_vec().into())
        }
        b'A' => Record::Acknowledged(number(content)?.0),
        b'P' => Record::Position(number(content)?.0),
        _ => return None,
    };
    Some((record, rest))
}

fn number(content: &[u8]) -> Option<(MessageNumber, &[u8])> {
    let (number, rest) = content.split_first_chunk::<8>()?;
    let number = u64::from_le_bytes(*number);
    (number <= MAX_NUMBER).then_some((MessageNumber(number), rest))
}

/// The header as lines of a name and a value.
fn header_lines(header: &Header) -> String {
    let Header { service, id, key, next, generation, born, over } = header;
    let mut lines = format!(
        "service {service}\nid {}\nkey {}\ngeneration {generation}\n",
        id.as_str(),
        key.as_str()
    );
    if let Some(next) = next {
        lines += &format!("next {}\n", next.as_str());
    }
    if let Some(born) = born {
        lines += &format!("born {born}\n");
    }
    if *over {
        lines += "over 1\n";
    }
    lines
}

/// Parses the lines of a header; unknown names are skipped.
fn header(lines: &str) -> Option<Header> {
    let members: BTreeMap<&str, &str> =
        lines.lines().filter_map(|line| line.split_once(' ')).collect();
    let optional = |name: &str| members.get(name).copied();
    Some(Header {
        service: optional("service")?.to_owned(),
        id: StreamId::parse(optional("id")?).ok()?,
        key: ResumeKey::parse(optional("key")?)?,
        next: optional("next").and_then(ResumeKey::parse),
        generation: optional("generation")?.parse().ok()?,
        born: optional("born").and_then(|born| StreamCreation::parse(born.as_bytes())),
        over: optional("over") == Some("1"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> Header {
        Header {
            service: "default".into(),
            id: StreamId::parse("d1c7v0q8k2m5x9w3b6n4r7t0az").unwrap(),
            key: ResumeKey::parse("Zk1uQ0pXc3VqV2h5dEJtRQ").unwrap(),
            next: ResumeKey::parse("c0tQbm9yVGl4dXl6QWJjRA"),
            generation: 3,
            born: StreamCreation::parse(b"2251799813685249.00000007b0d88862"),
            over: false,
        }
    }

    fn encoded(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        bytes
    }

    #[test]
    fn the_format_is_readable_by_later_releases() {
        let golden = b"\xb6\0\0\0\x00\x00\x00\x00Hservice default\nid d1c7v0q8k2m5x9w3b6n4r7t0az\nkey Zk1uQ0pXc3VqV2h5dEJtRQ\ngeneration 3\nnext c0tQbm9yVGl4dXl6QWJjRA\nborn 2251799813685249.00000007b0d88862\n";
        let bytes = encoded(&[Record::Header(example())]);
        assert_eq!(&bytes[8..], &golden[8..]);
        assert_eq!(bytes[..4], u32::try_from(golden.len() - 8).unwrap().to_le_bytes());
        // Length, CRC-32C, type, number 7 and the content.
        let message = encoded(&[Record::Message(MessageNumber(7), "é".into())]);
        assert_eq!(message[..4], [11, 0, 0, 0]);
        assert_eq!(message[8..], [b'm', 7, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0xa9]);
        assert_eq!(
            encoded(&[Record::Acknowledged(MessageNumber(2))])[8..],
            [b'A', 2, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            encoded(&[Record::Position(MessageNumber(2))])[8..],
            [b'P', 2, 0, 0, 0, 0, 0, 0, 0]
        );
        let later = example();
        let lines = header_lines(&later) + "added by a later release\n";
        assert_eq!(header(&lines), Some(later));
        assert_eq!(header("service default\n"), None);
    }

    #[test]
    fn the_state_of_records_is_that_of_their_shortest_form() {
        let number = MessageNumber;
        let records = [
            Record::Header(example()),
            Record::Message(number(0), "a".into()),
            Record::Message(number(1), vec![0, 255].into()),
            Record::Message(number(2), "".into()),
            Record::Position(number(5)),
            Record::Acknowledged(number(1)),
            Record::Header(Header { next: None, over: true, ..example() }),
        ];
        let stored = decode(&encoded(&records));
        assert_eq!(stored.own.keys().copied().collect::<Vec<_>>(), [number(1), number(2)]);
        assert_eq!((stored.acknowledged, stored.position), (number(1), number(5)));
        assert!(stored.header.as_ref().is_some_and(|header| header.over));
        assert_eq!(decode(&encoded(&stored.records())), stored);
    }

    proptest! {
        #[test]
        fn a_damaged_file_has_the_records_before_the_damage(
            texts in prop::collection::vec(".{0,20}", 1..10),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
            cuts in any::<bool>(),
        ) {
            let records: Vec<Record> = (0..).map(MessageNumber).zip(&texts)
                .map(|(number, text)| Record::Message(number, text.clone().into()))
                .collect();
            let mut bytes = encoded(&records);
            let at = at.index(bytes.len());
            let whole = (0..=records.len()).rev().find(|&n| encoded(&records[..n]).len() <= at);
            if cuts { bytes.truncate(at) } else { bytes[at] ^= flip }
            prop_assert_eq!(Some(decode(&bytes).own.len()), whole);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
        }
    }
}
