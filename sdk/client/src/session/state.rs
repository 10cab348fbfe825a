//! State of a session in one process: generation, keys, positions and own messages. Pure: inputs return the records to store.
//! Used by `session.rs`.
//!
//! A crash loses the last records, but none before a synchronised one. Then the next process finds a prefix, which these rules
//! make safe: a generation is stored before its hello, and messages are stored in the order of their numbers.

use minerva_proto::v3::{MAX_GENERATION, ResumeKey};
use minerva_proto::{Message, MessageNumber, StreamId};

use super::record::{Header, Record, Stored};
use super::{Rejoin, Rewind};
use crate::stream::{Adopted, SessionStart};

/// Identity of a new stream, and the key of a new generation; all are random.
pub(crate) struct Fresh {
    pub(crate) id: StreamId,
    pub(crate) key: ResumeKey,
    pub(crate) next: ResumeKey,
}

/// State of a session; see the module documentation.
#[derive(Debug)]
pub(crate) struct SessionState {
    header: Header,
    rewind: Rewind,
    /// Position at the start, for [`Rewind::Unseen`].
    position: MessageNumber,
    /// The server has accepted the stream, or the generation.
    begun: bool,
    /// First own message that is not acknowledged, and the first that is not stored.
    acknowledged: MessageNumber,
    stored_to: MessageNumber,
}

/// Beginning of a session in a process.
pub(crate) struct Opened {
    pub(crate) state: SessionState,
    /// State to store before the first hello.
    pub(crate) stored: Stored,
    /// Start of a later generation; none for a new stream.
    pub(crate) start: Option<SessionStart>,
    /// Report of a new stream behind one that is over.
    pub(crate) rejoin: Option<Rejoin>,
}

/// Consequence of the end of a stream for the stored state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AfterEnd {
    /// The stored state is deleted.
    Delete,
    /// A copy of the file continues the stream elsewhere.
    Keep,
    /// The own messages remain for the next stream.
    Store(Record),
}

impl SessionState {
    /// Begins with the stored state, if any.
    pub(crate) fn open(stored: Stored, service: &str, rewind: Rewind, fresh: Fresh) -> Opened {
        let position = stored.position;
        let (own, acknowledged) = (stored.own, stored.acknowledged);
        match stored.header {
            // A stream that the server has not confirmed may not exist.
            Some(header)
                if header.born.is_some() && !header.over && header.generation < MAX_GENERATION =>
            {
                let next = header.next.clone().unwrap_or(fresh.next);
                let generation = header.generation + 1;
                let header = Header { next: Some(next.clone()), generation, ..header };
                let end = own.keys().next_back().map_or(acknowledged, |last| last.next());
                let start = SessionStart {
                    generation,
                    next,
                    born: header.born,
                    rewind: rewind.wanted(position),
                    acknowledged,
                    own: own.iter().map(|(number, message)| (*number, message.clone())).collect(),
                };
                let stored = Stored { header: Some(header.clone()), own, acknowledged, position };
                let state =
                    Self { header, rewind, position, begun: false, acknowledged, stored_to: end };
                Opened { state, stored, start: Some(start), rejoin: None }
            }
            former => {
                let unsent: Vec<Message> = own.into_values().collect();
                let none = MessageNumber(0);
                let rejoin =
                    Rejoin { generation: 0, from: none, complete: false, fresh: true, unsent };
                let rejoin = (former.is_some_and(|former| former.over)
                    || !rejoin.unsent.is_empty())
                .then_some(rejoin);
                let Fresh { id, key, .. } = fresh;
                let service = service.to_owned();
                let header =
                    Header { service, id, key, next: None, generation: 0, born: None, over: false };
                let stored = Stored { header: Some(header.clone()), ..Stored::default() };
                let state = Self {
                    header,
                    rewind,
                    position: none,
                    begun: false,
                    acknowledged: none,
                    stored_to: none,
                };
                Opened { state, stored, start: None, rejoin }
            }
        }
    }

    /// Identity of the stream: the id, and the key of the first hello.
    pub(crate) fn identity(&self) -> (StreamId, ResumeKey) {
        (self.header.id.clone(), self.header.key.clone())
    }

    /// The server has accepted the stream or the generation. Returns nothing for a repetition.
    pub(crate) fn begin(&mut self, adopted: &Adopted) -> Option<(Vec<Record>, Option<Rejoin>)> {
        if std::mem::replace(&mut self.begun, true) {
            return None;
        }
        let is_resumed = self.header.generation > 0;
        self.header.born = self.header.born.or(adopted.born);
        if let Some(next) = self.header.next.take() {
            self.header.key = next;
        }
        let mut records = vec![Record::Header(self.header.clone())];
        let rejoin = is_resumed.then(|| {
            records.push(Record::Position(adopted.from));
            let complete = self.rewind.is_complete(self.position, adopted.from);
            let generation = self.header.generation;
            Rejoin { generation, from: adopted.from, complete, fresh: false, unsent: Vec::new() }
        });
        Some((records, rejoin))
    }

    /// Stores the queued messages that are not stored yet, and frees acknowledged ones; `queued` has the messages from a number on.
    pub(crate) fn update<'a, I: Iterator<Item = (MessageNumber, &'a Message)>>(
        &mut self,
        acknowledged: MessageNumber,
        next: MessageNumber,
        queued: impl FnOnce(MessageNumber) -> I,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        if acknowledged > self.acknowledged {
            self.acknowledged = acknowledged;
            records.push(Record::Acknowledged(acknowledged));
        }
        if next > self.stored_to {
            let new = queued(self.stored_to.max(acknowledged));
            records.extend(new.map(|(number, message)| Record::Message(number, message.clone())));
            self.stored_to = next;
        }
        records
    }

    /// Decides about the stored state when the stream has ended with a reason.
    pub(crate) fn end(&self, reason: &str) -> AfterEnd {
        match reason {
            "superseded" => AfterEnd::Keep,
            "gone" if self.header.generation > 0 && !self.begun => {
                AfterEnd::Store(Record::Header(Header { over: true, ..self.header.clone() }))
            }
            _ => AfterEnd::Delete,
        }
    }
}

impl Rewind {
    /// The first wanted message in the hello.
    fn wanted(self, position: MessageNumber) -> minerva_proto::Rewind {
        match self {
            Self::All => minerva_proto::Rewind::All,
            Self::New => minerva_proto::Rewind::New,
            Self::Unseen => minerva_proto::Rewind::From(position),
            Self::From(first) => minerva_proto::Rewind::From(first),
        }
    }

    /// Whether every wanted message follows from `from` on.
    fn is_complete(self, position: MessageNumber, from: MessageNumber) -> bool {
        match self {
            Self::All => from == MessageNumber(0),
            Self::New => true,
            Self::Unseen => from <= position,
            Self::From(first) => from <= first,
        }
    }
}

#[cfg(test)]
mod tests;
