//! What several instances of an application service did: one file that only grows, to which all of them
//! append whole lines, so that it has an order that is true for all.
//!
//! A line begins and ends with a line end: what a process could not write to its end before it was killed
//! stays a line of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// One line. `instance` is a process: one that was started again is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// An instance got a stream, with the first event and the first number to send.
    Began { instance: u64, stream: usize, first_event: u64, first_send: u64 },
    /// It handled the string of an event.
    Took { instance: u64, stream: usize, event: u64, string: Vec<u8> },
    /// The stream is over.
    Ended { instance: u64, stream: usize, reason: String },
    /// The service found something that must not be.
    Wrong { instance: u64, stream: usize, what: String },
}

/// A service's side. Appending is one call to the system, so lines of several processes do not mix.
pub(crate) struct Notebook(File);

/// The runner's side.
pub(crate) struct Reader {
    path: PathBuf,
    /// All before was read.
    offset: u64,
}

impl Note {
    pub(crate) fn stream(&self) -> usize {
        match *self {
            Self::Began { stream, .. }
            | Self::Took { stream, .. }
            | Self::Ended { stream, .. }
            | Self::Wrong { stream, .. } => stream,
        }
    }

    /// Reads a line without its end.
    fn read(line: &[u8]) -> Option<Self> {
        let mut words = line.splitn(5, |&byte| byte == b' ');
        let (kind, end) = (words.next()?, line.last()?);
        let instance = number(words.next()?)?;
        let stream = number(words.next()?)?.try_into().ok()?;
        let text = || Some(String::from_utf8_lossy(rest(line, 3)?).into_owned());
        // The last byte proves that the line was written to its end.
        match (kind, end) {
            (b"began", b'.') => {
                let (first_event, first_send) = (number(words.next()?)?, words.next()?);
                let first_send = number(first_send.strip_suffix(b".")?)?;
                Some(Self::Began { instance, stream, first_event, first_send })
            }
            (b"took", b'.') => {
                let event = number(words.next()?)?;
                let string = rest(line, 4)?.to_vec();
                Some(Self::Took { instance, stream, event, string })
            }
            (b"ended", b'.') => Some(Self::Ended { instance, stream, reason: text()? }),
            (b"wrong", b'.') => Some(Self::Wrong { instance, stream, what: text()? }),
            _ => None,
        }
    }

    fn line(&self) -> Vec<u8> {
        let mut line = match self {
            Self::Began { instance, stream, first_event, first_send } => {
                format!("\nbegan {instance} {stream} {first_event} {first_send}")
            }
            Self::Took { instance, stream, event, .. } => {
                format!("\ntook {instance} {stream} {event} ")
            }
            Self::Ended { instance, stream, reason } => {
                format!("\nended {instance} {stream} {reason}")
            }
            Self::Wrong { instance, stream, what } => format!("\nwrong {instance} {stream} {what}"),
        }
        .into_bytes();
        if let Self::Took { string, .. } = self {
            line.extend_from_slice(string);
        }
        line.extend_from_slice(b".\n");
        line
    }
}

impl Notebook {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(file.with_context(|| format!("cannot open {path:?}"))?))
    }

    pub(crate) fn add(&self, note: &Note) -> std::io::Result<()> {
        (&self.0).write_all(&note.line())
    }
}

impl Reader {
    /// Reads a file that need not be there yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// The whole lines that have come since the last call, and what was no note.
    pub(crate) fn read(&mut self) -> std::io::Result<Vec<Result<Note, String>>> {
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
        Ok(lines.map(|line| Note::read(line).ok_or_else(|| torn(line))).collect())
    }
}

/// What stands behind so many words, without the dot at the end.
fn rest(line: &[u8], words: usize) -> Option<&[u8]> {
    line.splitn(words + 1, |&byte| byte == b' ').nth(words)?.strip_suffix(b".")
}

fn number(word: &[u8]) -> Option<u64> {
    str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Vec<Note> {
        vec![
            Note::Began { instance: 4, stream: 0, first_event: 0, first_send: 12 },
            Note::Took { instance: 4, stream: 2, event: 3, string: b"a  b. c. ".to_vec() },
            Note::Took { instance: 4, stream: 2, event: 4, string: Vec::new() },
            Note::Ended { instance: 5, stream: 1, reason: "state lost, by Core".to_owned() },
            Note::Wrong { instance: 5, stream: 1, what: "1 and 2".to_owned() },
        ]
    }

    #[test]
    fn what_was_appended_is_read_back_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        let mut reader = Reader::new(path.clone());
        assert!(reader.read().unwrap().is_empty());
        let books = [Notebook::open(&path).unwrap(), Notebook::open(&path).unwrap()];
        for (note, book) in notes().iter().zip(books.iter().cycle()) {
            book.add(note).unwrap();
        }
        let read: Vec<_> = reader.read().unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(read, notes());
        assert!(reader.read().unwrap().is_empty());
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        for note in notes() {
            let line = note.line();
            for length in 2..line.len() - 1 {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("notes");
                std::fs::write(&path, &line[..length]).unwrap();
                Notebook::open(&path).unwrap().add(&note).unwrap();
                let read = Reader::new(path).read().unwrap();
                let whole: Vec<_> = read.iter().filter_map(|read| read.as_ref().ok()).collect();
                assert_eq!(whole.last(), Some(&&note));
                let torn = String::from_utf8_lossy(&line[1..length]);
                // Only a text that happens to end with the mark can be taken for a whole one.
                assert!(whole.len() == 1 || torn.ends_with('.'), "{torn}");
            }
        }
    }
}
