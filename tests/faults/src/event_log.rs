//! The event log: one append-only file of all application instances, whose order is therefore the same for all.
//!
//! An entry begins and ends with a line feed, so a partial entry of a killed process stays on a separate line.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// One line. `instance` is a process id: a restarted process is another instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A stream was assigned to an instance, with the first event and the number of the next send.
    Started {
        instance: u64,
        stream: usize,
        first_event: u64,
        first_send: u64,
    },
    /// An event was handled.
    Handled {
        instance: u64,
        stream: usize,
        event: u64,
        message: Vec<u8>,
    },
    Ended {
        instance: u64,
        stream: usize,
        reason: String,
    },
    /// The instance detected a violation.
    Violation {
        instance: u64,
        stream: usize,
        what: String,
    },
}

/// Appends entries. An entry is one write, so entries of several processes do not interleave.
pub(crate) struct EventLogWriter(File);

/// Tails the file.
pub(crate) struct EventLogReader {
    path: PathBuf,
    /// Position of the first unread byte.
    offset: u64,
}

impl Entry {
    pub(crate) fn stream(&self) -> usize {
        match *self {
            Self::Started { stream, .. }
            | Self::Handled { stream, .. }
            | Self::Ended { stream, .. }
            | Self::Violation { stream, .. } => stream,
        }
    }

    /// Parses a line without the line feed. `began`, `took` and `wrong` are the words of release 0.1.
    fn read(line: &[u8]) -> Option<Self> {
        let mut words = line.splitn(5, |&byte| byte == b' ');
        let (kind, end) = (words.next()?, line.last()?);
        let instance = number(words.next()?)?;
        let stream = number(words.next()?)?.try_into().ok()?;
        let text = || Some(String::from_utf8_lossy(rest(line, 3)?).into_owned());
        // The last byte marks a complete entry.
        match (kind, end) {
            (b"started" | b"began", b'.') => {
                let (first_event, first_send) = (number(words.next()?)?, words.next()?);
                let first_send = number(first_send.strip_suffix(b".")?)?;
                Some(Self::Started { instance, stream, first_event, first_send })
            }
            (b"handled" | b"took", b'.') => {
                let event = number(words.next()?)?;
                let message = rest(line, 4)?.to_vec();
                Some(Self::Handled { instance, stream, event, message })
            }
            (b"ended", b'.') => Some(Self::Ended { instance, stream, reason: text()? }),
            (b"violation" | b"wrong", b'.') => {
                Some(Self::Violation { instance, stream, what: text()? })
            }
            _ => None,
        }
    }

    fn line(&self) -> Vec<u8> {
        let mut line = match self {
            Self::Started { instance, stream, first_event, first_send } => {
                format!("\nstarted {instance} {stream} {first_event} {first_send}")
            }
            Self::Handled { instance, stream, event, .. } => {
                format!("\nhandled {instance} {stream} {event} ")
            }
            Self::Ended { instance, stream, reason } => {
                format!("\nended {instance} {stream} {reason}")
            }
            Self::Violation { instance, stream, what } => {
                format!("\nviolation {instance} {stream} {what}")
            }
        }
        .into_bytes();
        if let Self::Handled { message, .. } = self {
            line.extend_from_slice(message);
        }
        line.extend_from_slice(b".\n");
        line
    }
}

impl EventLogWriter {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(file.with_context(|| format!("cannot open {path:?}"))?))
    }

    pub(crate) fn append(&self, entry: &Entry) -> std::io::Result<()> {
        (&self.0).write_all(&entry.line())
    }
}

impl EventLogReader {
    /// The file may be created later.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// Returns the complete lines since the last call; `Err` is a line that is not an entry.
    pub(crate) fn read(&mut self) -> std::io::Result<Vec<Result<Entry, String>>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        text.truncate(text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1));
        self.offset += text.len() as u64;
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let torn = |line| String::from_utf8_lossy(line).into_owned();
        Ok(lines.map(|line| Entry::read(line).ok_or_else(|| torn(line))).collect())
    }
}

/// Returns the text after the given number of words, without the final dot.
fn rest(line: &[u8], words: usize) -> Option<&[u8]> {
    line.splitn(words + 1, |&byte| byte == b' ').nth(words)?.strip_suffix(b".")
}

fn number(word: &[u8]) -> Option<u64> {
    str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Started { instance: 4, stream: 0, first_event: 0, first_send: 12 },
            Entry::Handled { instance: 4, stream: 2, event: 3, message: b"a  b. c. ".to_vec() },
            Entry::Handled { instance: 4, stream: 2, event: 4, message: Vec::new() },
            Entry::Ended { instance: 5, stream: 1, reason: "state lost, by Core".to_owned() },
            Entry::Violation { instance: 5, stream: 1, what: "1 and 2".to_owned() },
        ]
    }

    #[test]
    fn appended_entries_are_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let mut reader = EventLogReader::new(path.clone());
        assert!(reader.read().unwrap().is_empty());
        let writers = [EventLogWriter::open(&path).unwrap(), EventLogWriter::open(&path).unwrap()];
        for (entry, writer) in entries().iter().zip(writers.iter().cycle()) {
            writer.append(entry).unwrap();
        }
        let read: Vec<_> = reader.read().unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(read, entries());
        assert!(reader.read().unwrap().is_empty());
    }

    #[test]
    fn a_partial_line_does_not_affect_others() {
        for entry in entries() {
            let line = entry.line();
            for length in 2..line.len() - 1 {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("events");
                std::fs::write(&path, &line[..length]).unwrap();
                EventLogWriter::open(&path).unwrap().append(&entry).unwrap();
                let read = EventLogReader::new(path).read().unwrap();
                let whole: Vec<_> = read.iter().filter_map(|read| read.as_ref().ok()).collect();
                assert_eq!(whole.last(), Some(&&entry));
                let torn = String::from_utf8_lossy(&line[1..length]);
                // A partial entry is accepted only if its text ends with the mark.
                assert!(whole.len() == 1 || torn.ends_with('.'), "{torn}");
            }
        }
    }
}
