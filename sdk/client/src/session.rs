//! Sessions: a stream outlives the process of the client. The public types, and the session of one stream, which passes the
//! changes of the stream machine to the stored state. Called by `client.rs` and `stream_state.rs`.

mod journal;
mod record;
pub(crate) mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::Journal;
use minerva_proto::{Message, MessageNumber, ServiceName};
use record::Record;
use state::{AfterEnd, Fresh, Opened, SessionState};
use tracing::warn;

use crate::error::Ended;
use crate::stream::StreamMachine;

/// A file with the state of a stream, which so survives the process: [`Config::session`](crate::Config::session).
///
/// The file has the id and the key of the stream, which are secrets (mode 0600 on Unix), the unacknowledged messages of this
/// client, and the position in the received ones. A message is stored when [`Stream::queue`](crate::Stream::queue) returns.
/// The file `PATH.lock` beside the file excludes other processes; clones share the file, which one stream at a time uses.
///
/// ```no_run
/// use minerva_client::{Config, SessionFile, Stream, TransportKind};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::new("127.0.0.1:8080", TransportKind::WebSocket);
/// config.session = Some(SessionFile::open("board-7.session")?);
/// let stream = Stream::connect(config)?;
/// if let Some(rejoin) = stream.rejoined().await? {
///     println!("process {} of the stream; it continues at message {}", rejoin.generation, rejoin.from);
/// }
/// stream.queue("survives kill -9").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionFile {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    journal: Journal,
    is_used: bool,
}

impl SessionFile {
    /// Opens the file, and locks it until the last clone is dropped. The file need not exist; its directory must.
    ///
    /// # Errors
    /// [`SessionError::Busy`] if another process, or another `SessionFile`, has the file. Other errors if the file cannot be
    /// read, or is something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SessionError> {
        let shared = Shared { journal: Journal::open(path.as_ref())?, is_used: false };
        Ok(Self { shared: Arc::new(Mutex::new(shared)) })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A poisoned lock is usable: no caller panics in the midst of a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a stream is stored that may continue.
    pub(crate) fn has_stream(&self) -> Result<bool, SessionError> {
        let stored = self.lock().journal.load()?;
        Ok(stored.header.is_some_and(|header| header.born.is_some() && !header.over))
    }

    /// Deletes the stored state.
    pub(crate) fn remove(&self) -> Result<(), SessionError> {
        Ok(self.lock().journal.remove()?)
    }
}

/// Messages that a later process receives again, if the application retains them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rewind {
    /// All messages, for a program that keeps nothing.
    #[default]
    All,
    /// The messages that no process has taken with [`Stream::recv`](crate::Stream::recv).
    Unseen,
    /// The messages that no process has acknowledged.
    New,
    /// The messages from this number on.
    From(MessageNumber),
}

/// Continuation of a session, from [`Stream::rejoined`](crate::Stream::rejoined).
#[derive(Debug, Clone, PartialEq)]
pub struct Rejoin {
    /// Number of the process in the life of the stream, from 1 on; 0 for a new stream.
    pub generation: u32,
    /// Number of the first message that follows.
    pub from: MessageNumber,
    /// Every message that [`Config::rewind`](crate::Config::rewind) asks for follows.
    pub complete: bool,
    /// The stream of the earlier process is over, and a new one begins.
    pub fresh: bool,
    /// Messages of the earlier process that are not sent again, because the stream is over. The application may have received
    /// them.
    pub unsent: Vec<Message>,
}

/// Error of a session file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Another process, or another stream of this process, has the file.
    #[error("the session file {} is in use; a session has one stream at a time", path.display())]
    Busy {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file has other content.
    #[error("{} is not a session file, and is left unchanged; choose another path", path.display())]
    NotASession {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is in a format that this release does not know.
    #[error("{} was written by a later release; update this program, or delete the file", path.display())]
    LaterFormat {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file belongs to another service.
    #[error(
        "the session file belongs to the service {stored}, not to {wanted}; use one file per service"
    )]
    OtherService {
        /// Service of the stored stream.
        stored: String,
        /// Service of the configuration.
        wanted: String,
    },
    /// The file cannot be read or written.
    #[error("the session file cannot be read or written: {reason}")]
    Io {
        /// Kind of the error.
        kind: std::io::ErrorKind,
        /// Text of the system.
        reason: String,
    },
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> Self {
        Self::Io { kind: error.kind(), reason: error.to_string() }
    }
}

/// The session of one stream; see the module documentation.
pub(crate) struct Session {
    file: SessionFile,
    state: SessionState,
    rejoin: Option<Rejoin>,
    /// All changes were stored.
    pub(crate) is_stored: bool,
}

/// A session and the start of its stream.
pub(crate) struct Started {
    pub(crate) session: Session,
    pub(crate) start: Option<crate::stream::SessionStart>,
}

impl Session {
    /// Reads the stored state and stores the next generation, durably. Blocks for some milliseconds.
    pub(crate) fn start(
        file: SessionFile,
        service: &ServiceName,
        rewind: Rewind,
        fresh: Fresh,
    ) -> Result<Started, SessionError> {
        let mut shared = file.lock();
        if shared.is_used {
            return Err(SessionError::Busy { path: shared.journal.path().to_owned() });
        }
        let stored = shared.journal.load()?;
        let wanted = service.as_str();
        if let Some(header) = stored.header.as_ref().filter(|header| header.service != wanted) {
            let (stored, wanted) = (header.service.clone(), wanted.to_owned());
            return Err(SessionError::OtherService { stored, wanted });
        }
        let Opened { state, stored, start, rejoin } =
            SessionState::open(stored, wanted, rewind, fresh);
        shared.journal.replace(&stored)?;
        shared.is_used = true;
        drop(shared);
        Ok(Started { session: Self { file, state, rejoin, is_stored: true }, start })
    }

    /// Identity of the stream.
    pub(crate) fn identity(&self) -> (minerva_proto::StreamId, minerva_proto::v3::ResumeKey) {
        self.state.identity()
    }

    /// Takes the report of a continuation.
    pub(crate) fn take_rejoin(&mut self) -> Option<Rejoin> {
        self.rejoin.take()
    }

    /// Stores the changes of the machine.
    pub(crate) fn update(&mut self, machine: &mut StreamMachine) {
        if let Some(adopted) = machine.take_adopted()
            && let Some((records, rejoin)) = self.state.begin(&adopted)
        {
            self.rejoin = self.rejoin.take().or(rejoin);
            // Before new numbers are given.
            self.store(&records, true);
        }
        let (acknowledged, next) = (machine.acknowledged(), machine.next_sent());
        let records = self.state.update(acknowledged, next, |first| machine.queued(first));
        if !records.is_empty() {
            self.store(&records, false);
        }
    }

    /// The application has taken all messages below.
    pub(crate) fn on_taken(&mut self, next: MessageNumber) {
        self.store(&[Record::Position(next)], false);
    }

    /// Handles the end of the stream.
    pub(crate) fn on_ended(&mut self, ended: &Ended) {
        match self.state.end(&ended.reason) {
            AfterEnd::Keep => {}
            AfterEnd::Store(record) => self.store(&[record], true),
            AfterEnd::Delete => {
                if let Err(error) = self.file.lock().journal.remove() {
                    warn!(%error, "the session file of an ended stream is not deleted");
                }
            }
        }
    }

    /// Stores records. After a failure nothing more is stored, because a later message must not follow a gap.
    fn store(&mut self, records: &[Record], sync: bool) {
        if !self.is_stored {
            return;
        }
        let mut shared = self.file.lock();
        let journal = &mut shared.journal;
        let mut stored = journal.append(records, sync);
        if stored.is_ok() && journal.is_long() {
            stored = match journal.load() {
                Ok(state) => journal.replace(&state),
                Err(error) => Err(std::io::Error::other(error)),
            };
        }
        if let Err(error) = stored {
            warn!(%error, "the session is not stored any more: a later process repeats or misses messages");
            self.is_stored = false;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.file.lock().is_used = false;
    }
}
