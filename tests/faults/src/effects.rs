//! The effects file of a killed application service: append-only, one line per effect.
//!
//! Each line has the event's number, so after a crash the service reads the handled events from the file. The runner
//! tails the file and counts.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use crate::clock;
use crate::ledger::Ledger;
use crate::message::{Direction, Length};

/// Poll interval of the runner; limits the resolution of pauses.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect<'a> {
    /// The event was handled.
    Handled { stream: usize, event: u64, message: &'a [u8] },
    /// The event had been handled before; the new delivery had no effect.
    Redelivered { stream: usize, event: u64 },
    /// Total number of messages sent on the stream, all durable.
    Sent { stream: usize, messages: u64 },
    /// The stream ended, which is a defect.
    Ended { stream: usize },
}

/// The service's side: appends effects and skips handled events.
pub(crate) struct Journal(Mutex<Inner>);

struct Inner {
    file: File,
    /// The last handled event, by stream.
    handled: HashMap<usize, u64>,
}

/// The runner's side: counters beyond those of the ledger.
#[derive(Default)]
pub(crate) struct Counted {
    /// Repeated deliveries without an effect.
    pub(crate) redelivered: AtomicU64,
    /// Streams on which all messages are sent.
    pub(crate) sent: AtomicUsize,
}

impl<'a> Effect<'a> {
    /// Parses a line without the line feed.
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(4, |&byte| byte == b' ');
        let mut next = || words.next();
        let kind = next()?;
        let stream = number(next()?)?.try_into().ok()?;
        Some(match kind {
            b"handled" => Self::Handled { stream, event: number(next()?)?, message: next()? },
            b"redelivered" => Self::Redelivered { stream, event: number(next()?)? },
            b"sent" => Self::Sent { stream, messages: number(next()?)? },
            b"ended" => Self::Ended { stream },
            _ => return None,
        })
    }

    fn line(self) -> Vec<u8> {
        let mut line = match self {
            Self::Handled { stream, event, .. } => format!("handled {stream} {event} "),
            Self::Redelivered { stream, event } => format!("redelivered {stream} {event}"),
            Self::Sent { stream, messages } => format!("sent {stream} {messages}"),
            Self::Ended { stream } => format!("ended {stream}"),
        }
        .into_bytes();
        if let Self::Handled { message, .. } = self {
            line.extend_from_slice(message);
        }
        line.push(b'\n');
        line
    }
}

impl Journal {
    /// Opens the file, reads the handled events, and removes an incomplete last line.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let mut file = file.with_context(|| format!("cannot open {path:?}"))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).context("cannot read the journal")?;
        text.truncate(whole_lines(&text));
        file.set_len(text.len() as u64).context("cannot cut the journal")?;
        let mut handled = HashMap::new();
        for line in text.split(|&byte| byte == b'\n') {
            if let Some(Effect::Handled { stream, event, .. }) = Effect::read(line) {
                handled.insert(stream, event);
            }
        }
        Ok(Self(Mutex::new(Inner { file, handled })))
    }

    /// Handles an event once, and records repeated deliveries.
    pub(crate) fn take(&self, stream: usize, event: u64, message: &[u8]) -> std::io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let effect = match inner.handled.get(&stream) {
            Some(&last) if event <= last => Effect::Redelivered { stream, event },
            Some(_) | None => Effect::Handled { stream, event, message },
        };
        inner.file.write_all(&effect.line())?;
        if let Effect::Handled { .. } = effect {
            inner.handled.insert(stream, event);
        }
        Ok(())
    }

    /// Appends another effect.
    pub(crate) fn add(&self, effect: Effect<'_>) -> std::io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.file.write_all(&effect.line())
    }
}

/// Tails the file for the rest of the process; all messages have the given length.
pub(crate) fn follow(path: PathBuf, ledger: Arc<Ledger>, length: Length) -> Arc<Counted> {
    let counted = Arc::new(Counted::default());
    let counts = Arc::clone(&counted);
    tokio::spawn(async move {
        let mut offset = 0;
        loop {
            // A read error is retried. A permanent one fails the run, since no message arrives.
            offset += read_on(&path, offset, &ledger, length, &counts).unwrap_or(0);
            sleep(POLL_INTERVAL).await;
        }
    });
    counted
}

/// Counts the complete lines from `offset` on; returns their length in bytes.
fn read_on(
    path: &Path,
    offset: u64,
    ledger: &Ledger,
    length: Length,
    counts: &Counted,
) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    text.truncate(whole_lines(&text));
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match Effect::read(line).filter(|effect| effect.stream() < ledger.streams()) {
            Some(effect) => count(effect, ledger, length, counts),
            None => println!("not an effect entry: {}", String::from_utf8_lossy(line)),
        }
    }
    Ok(text.len() as u64)
}

fn count(effect: Effect<'_>, ledger: &Ledger, length: Length, counts: &Counted) {
    match effect {
        Effect::Handled { stream, message, .. } => {
            ledger.arrive(Direction::C2s, stream, message, length, clock::now());
        }
        Effect::Redelivered { .. } => drop(counts.redelivered.fetch_add(1, Ordering::Relaxed)),
        Effect::Sent { stream, messages } => {
            ledger.set_sent(Direction::S2c, stream, messages);
            counts.sent.fetch_add(1, Ordering::Relaxed);
        }
        Effect::Ended { stream } => {
            ledger.record_end(stream, "the application's stream ended".to_owned());
        }
    }
}

impl Effect<'_> {
    fn stream(&self) -> usize {
        match *self {
            Self::Handled { stream, .. }
            | Self::Redelivered { stream, .. }
            | Self::Sent { stream, .. }
            | Self::Ended { stream } => stream,
        }
    }
}

/// Length of the text up to its last line feed.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1)
}

fn number(word: &[u8]) -> Option<u64> {
    str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    const LENGTH: Length = Length::UpTo(30);

    #[test]
    fn lines_are_read_back() {
        let message = b"c2s:3:1: with  spaces ".as_slice();
        for effect in [
            Effect::Handled { stream: 3, event: 2, message },
            Effect::Redelivered { stream: 0, event: 7 },
            Effect::Sent { stream: 1, messages: 9 },
            Effect::Ended { stream: 2 },
        ] {
            let line = effect.line();
            assert_eq!(Effect::read(line.strip_suffix(b"\n").unwrap()), Some(effect));
        }
        for wrong in
            ["", "handled", "handled 1 1", "handled x 1 s", "sent 1", "sent 1 -1", "lost 1 1"]
        {
            assert_eq!(Effect::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn an_event_has_one_effect_despite_crashes_and_partial_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("effects");
        let (ledger, counts) = (Ledger::new(1), Counted::default());
        let messages: Vec<_> =
            (0..3).map(|_| ledger.next_message(Direction::C2s, 0, LENGTH)).collect();
        let mut offset = 0;
        let mut poll = || offset += read_on(&path, offset, &ledger, LENGTH, &counts).unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.take(0, 1, &messages[0]).unwrap();
        journal.take(0, 2, &messages[1]).unwrap();
        journal.0.lock().unwrap().file.write_all(b"handled 0 3 c2s:0").unwrap();
        poll();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        for event in 1..=3_u64 {
            journal.take(0, event, &messages[event as usize - 1]).unwrap();
        }
        journal.add(Effect::Sent { stream: 0, messages: 0 }).unwrap();
        poll();
        assert!(ledger.is_drained() && ledger.tally(Direction::C2s, 0).is_clean());
        assert_eq!(counts.redelivered.load(Ordering::Relaxed), 2);
        assert_eq!(counts.sent.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn duplicate_and_missing_effects_are_detected() {
        let ledger = Ledger::new(1);
        let counts = Counted::default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("effects");
        let mut text = Vec::new();
        for (event, number) in [(1, 0), (2, 0), (3, 2)] {
            ledger.next_message(Direction::C2s, 0, LENGTH);
            let message = message::write(Direction::C2s, 0, number, LENGTH);
            text.extend(Effect::Handled { stream: 0, event, message: &message }.line());
        }
        std::fs::write(&path, text).unwrap();
        read_on(&path, 0, &ledger, LENGTH, &counts).unwrap();
        let tally = ledger.tally(Direction::C2s, 0);
        assert_eq!((tally.duplicated, tally.lost), (1, 1));
    }
}
