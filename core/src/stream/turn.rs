//! What a machine is given for a turn, and what it gives back.

use bytes::Bytes;

use super::{AppOutput, EdgeOutput, LinkId, Millis, SessionId, TransportKey};
use crate::limits::Limits;
use crate::partition::{Answer, CallId};
use crate::state::Record;

/// What the machine is given: the time, the limits, and where its effects go.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The time of the whole turn.
    pub now: Millis,
    /// The limits.
    pub limits: &'a Limits,
    /// Collects the effects of all streams of the turn.
    pub effects: &'a mut Effects,
}

/// Facts to store, and what may be told once they are stored; both in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Changes of durable state, each with its stream's number.
    pub records: Vec<(u64, Record)>,
    /// What to say.
    pub outputs: Vec<Output>,
    /// Bytes of strings in `records`.
    record_bytes: usize,
}

/// One thing to say, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the edge at the other end of a link.
    Edge(LinkId, EdgeOutput),
    /// To an application session.
    App(SessionId, AppOutput),
    /// To a call from outside.
    Answer(CallId, Answer),
}

impl Output {
    /// Bytes of strings in it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Edge(_, EdgeOutput::Messages { messages, .. })
            | Self::App(_, AppOutput::Messages { messages, .. }) => {
                messages.iter().map(Bytes::len).sum()
            }
            Self::Edge(..) | Self::App(..) | Self::Answer(..) => 0,
        }
    }
}

impl Effects {
    /// Notes a fact. Strings that follow one another become one record.
    pub fn record(&mut self, stream: u64, record: Record) {
        self.record_bytes += record.bytes();
        if let Some((last_stream, last)) = self.records.last_mut()
            && *last_stream == stream
            && last.extend(&record)
        {
            return;
        }
        self.records.push((stream, record));
    }

    /// Says something to the edge of a transport.
    pub fn edge(&mut self, key: TransportKey, output: EdgeOutput) {
        self.outputs.push(Output::Edge(key.link, output));
    }

    /// Says something to a session.
    pub fn app(&mut self, session: SessionId, output: AppOutput) {
        self.outputs.push(Output::App(session, output));
    }

    /// Bytes of strings that are to be stored.
    pub fn bytes(&self) -> usize {
        self.record_bytes
    }
}
