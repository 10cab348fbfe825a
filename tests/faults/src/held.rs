//! The numbers of streams that a Redis holds, read from checkpoints and logs.
//!
//! Pure, and independent of the core: only the field numbers of the stored form are shared. `reset_proofs` compares the
//! result with the history of the clients and applications.

use std::collections::{BTreeMap, BTreeSet};

use crate::damage::image::{Image, Owner};

/// The numbers of one stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The stream of the run, from its credentials.
    pub(crate) stream: Option<usize>,
    /// Number of received c2s messages.
    pub(crate) c2s: u64,
    /// Number of accepted s2c messages.
    pub(crate) s2c: u64,
    /// Whether the stream has ended.
    pub(crate) ended: bool,
    /// First log index that is not included.
    pub(crate) as_of: u64,
}

/// The streams of all partitions of a Redis, by stream number.
pub(crate) fn held(image: &Image) -> BTreeMap<u64, Held> {
    let mut streams: BTreeMap<u64, Held> = BTreeMap::new();
    let mut first: BTreeMap<Owner, u64> = BTreeMap::new();
    for (row, value) in &image.0 {
        let number = || str::from_utf8(&row.key).ok()?.parse().ok();
        if row.table.ends_with(b"}:streams") {
            let Some(number) = number() else { continue };
            streams.insert(number, of_snapshot(value));
        } else if row.table.ends_with(b"}:head") && row.key == b"first" {
            let value = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            first.insert(row.owner(), value.unwrap_or(0));
        }
    }
    for (row, value) in image.0.iter().filter(|(row, _)| row.table.ends_with(b"}:log")) {
        let Some(place) = row.key.first_chunk() else { continue };
        let index = first.get(&row.owner()).copied().unwrap_or(0) + u64::from_be_bytes(*place);
        for (field, record) in fields(value) {
            if let (2, Value::Bytes(record)) = (field, record) {
                apply(record, index, &mut streams);
            }
        }
    }
    streams
}

fn of_snapshot(blob: &[u8]) -> Held {
    let mut held = Held::default();
    for field in fields(blob) {
        match field {
            (2, Value::Bytes(origin)) => held.stream = stream_of(origin),
            (7, Value::Number(next)) => held.c2s = next,
            (10, Value::Number(next)) => held.s2c = next,
            (12, Value::Bytes(_)) => held.ended = true,
            (13, Value::Number(index)) => held.as_of = index,
            _ => {}
        }
    }
    held
}

/// The streams with a record in a log entry.
pub(crate) fn streams_in(entry: &[u8]) -> BTreeSet<u64> {
    let records = fields(entry).filter_map(|field| match field {
        (2, Value::Bytes(record)) => Some(record),
        _ => None,
    });
    records.flat_map(numbers).collect()
}

/// Applies a stored record to its streams.
fn apply(record: &[u8], index: u64, streams: &mut BTreeMap<u64, Held>) {
    for number in numbers(record) {
        let held = streams.entry(number).or_default();
        if index >= held.as_of {
            fields(record).for_each(|(field, value)| held.apply(field, value));
        }
    }
}

/// The numbers of the streams of a record.
fn numbers(record: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for (field, value) in fields(record) {
        match (field, value) {
            (1, Value::Number(stream)) => numbers.push(stream),
            // Differences from the stream before.
            (14, Value::Bytes(packed)) => {
                let mut packed = packed;
                while let Some(step) = varint(&mut packed) {
                    numbers.push(numbers.last().copied().unwrap_or(0).wrapping_add(step));
                }
            }
            (14, Value::Number(step)) => {
                numbers.push(numbers.last().copied().unwrap_or(0).wrapping_add(step));
            }
            _ => {}
        }
    }
    numbers
}

impl Held {
    fn apply(&mut self, field: u64, value: Value<'_>) {
        let Value::Bytes(content) = value else { return };
        match field {
            // Opened.
            2 => {
                let origin = fields(content).find(|(field, _)| *field == 1);
                if let Some((_, Value::Bytes(origin))) = origin {
                    self.stream = stream_of(origin);
                }
            }
            // Received: the number of the first message, and messages.
            4 => {
                let first = fields(content).find_map(|field| match field {
                    (1, Value::Number(first)) => Some(first),
                    _ => None,
                });
                let count = fields(content).filter(|(field, _)| *field == 2).count() as u64;
                self.c2s = self.c2s.max(first.unwrap_or(0) + count);
            }
            // Sent, Pushed.
            6 | 10 => self.s2c += fields(content).filter(|(field, _)| *field == 1).count() as u64,
            // Ended.
            8 => self.ended = true,
            _ => {}
        }
    }
}

/// The stream of the run, from the credentials in an origin.
fn stream_of(origin: &[u8]) -> Option<usize> {
    fields(origin).find_map(|(field, value)| match value {
        Value::Bytes(text) if field == 3 => {
            str::from_utf8(text).ok()?.strip_prefix("stream ")?.parse().ok()
        }
        Value::Bytes(_) | Value::Number(_) => None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, up to the first malformed one.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    std::iter::from_fn(move || {
        let key = varint(&mut message)?;
        let mut take = |length: usize| {
            let (taken, rest) = message.split_at_checked(length)?;
            message = rest;
            Some(taken)
        };
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)?),
            1 => Value::Bytes(take(8)?),
            2 => {
                let length = varint(&mut message)?;
                let (taken, rest) = message.split_at_checked(usize::try_from(length).ok()?)?;
                message = rest;
                Value::Bytes(taken)
            }
            5 => Value::Bytes(take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::image::{Row, RowKind};

    fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
        [&[(number << 3 | 2) as u8, bytes.len() as u8], bytes].concat()
    }

    fn number(field: u8, value: u8) -> Vec<u8> {
        vec![field << 3, value]
    }

    fn origin(stream: &str) -> Vec<u8> {
        [field(1, b"id"), field(3, stream.as_bytes())].concat()
    }

    fn image(rows: Vec<(&str, RowKind, Vec<u8>, Vec<u8>)>) -> Image {
        let row = |(table, kind, key, value): (&str, _, _, _)| {
            (Row { table: table.into(), kind, key }, value)
        };
        Image(rows.into_iter().map(row).collect())
    }

    #[test]
    fn a_log_continues_a_snapshot() {
        let snapshot = [
            number(1, 1),
            field(2, &origin("stream 5")),
            number(7, 9),
            number(10, 4),
            number(13, 101),
        ];
        let received = |first| [number(1, first), field(2, b"a"), field(2, b"b")].concat();
        let entry =
            |content: Vec<u8>| [number(1, 1), field(2, &[number(1, 7), content].concat())].concat();
        let index = |at: u64| at.to_be_bytes().to_vec();
        let log = "minerva:{p1}:log";
        let image = image(vec![
            ("minerva:{p1}:streams", RowKind::Hash, b"7".to_vec(), snapshot.concat()),
            ("minerva:{p1}:head", RowKind::Hash, b"first".to_vec(), b"100".to_vec()),
            (log, RowKind::List, index(0), entry(field(6, &field(1, b"included in the snapshot")))),
            (log, RowKind::List, index(1), entry(field(4, &received(9)))),
            (
                log,
                RowKind::List,
                index(2),
                entry(field(6, &[field(1, b"x"), field(1, b"y")].concat())),
            ),
        ]);
        let expected = Held { stream: Some(5), c2s: 11, s2c: 6, ended: false, as_of: 101 };
        assert_eq!(held(&image), BTreeMap::from([(7, expected)]));
    }

    #[test]
    fn a_push_counts_for_all_of_its_streams() {
        let opened = |stream: u8, name: &str| {
            field(2, &[number(1, stream), field(2, &field(1, &origin(name)))].concat())
        };
        let push =
            field(2, &[number(1, 3), field(10, &field(1, b"m")), field(14, &[1, 2])].concat());
        let entry = [
            number(1, 1),
            opened(3, "stream 0"),
            opened(4, "stream 1"),
            opened(6, "stream 2"),
            push,
        ];
        assert_eq!(streams_in(&entry.concat()), BTreeSet::from([3, 4, 6]));
        let log = ("minerva:{p1}:log", RowKind::List, vec![0; 8], entry.concat());
        let streams = held(&image(vec![log]));
        let numbers: Vec<_> = streams.values().map(|held| (held.stream, held.s2c)).collect();
        assert_eq!(numbers, [(Some(0), 1), (Some(1), 1), (Some(2), 1)]);
    }

    /// Blobs that cores have written, with their content as text.
    fn golden(kind: &str) -> Vec<(Vec<u8>, String)> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../core/src/state/record/golden");
        let files =
            ["1", "2"].map(|version| std::fs::read_dir(format!("{root}/{version}")).unwrap());
        let paths = files.into_iter().flatten().map(|file| file.unwrap().path());
        let is_kind = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(kind) && name.ends_with(".bin")
        };
        let read = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.with_extension("txt")).unwrap();
            (std::fs::read(path).unwrap(), text)
        };
        paths.filter(is_kind).map(read).collect()
    }

    #[test]
    fn stored_snapshots_of_all_versions_are_read() {
        let snapshots = golden("snapshot");
        assert!(snapshots.len() > 20);
        for (blob, text) in snapshots {
            let number = |name: &str| -> u64 {
                let (_, rest) = text.split_once(name).unwrap();
                let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
                digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
            };
            let held = of_snapshot(&blob);
            let expected = (number("as of "), number("received_next: "), number("outbox_next: "));
            assert_eq!((held.as_of, held.c2s, held.s2c), expected, "{text}");
            assert_eq!(held.ended, text.contains("ended: Some("), "{text}");
        }
    }

    #[test]
    fn stored_entries_of_all_versions_are_read() {
        let entries = golden("entry");
        assert!(entries.len() > 20);
        for (blob, text) in entries {
            let log = ("minerva:{p1}:log", RowKind::List, vec![0; 8], blob);
            let streams = held(&image(vec![log]));
            for part in text.split("stream ").skip(1) {
                let Some((number, record)) = part.split_once(": ") else { continue };
                let Ok(number) = number.parse() else { continue };
                let held = streams.get(&number).unwrap_or_else(|| panic!("{number}: {text}"));
                assert!(held.ended || !record.starts_with("Ended"), "{text}");
                let sends = record.starts_with("Sent") || record.starts_with("Pushed");
                assert!(held.s2c > 0 || !sends, "{text}");
                assert!(held.c2s > 0 || !record.starts_with("Received"), "{text}");
            }
        }
    }

    #[test]
    fn damaged_bytes_end_the_fields() {
        for bytes in [&[0x0A, 0xFF][..], &[0x0B], &[0x80], &[0xFF; 12]] {
            assert_eq!(fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
