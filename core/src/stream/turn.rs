//! Input and effects of one turn of the stream machines.

use minerva_proto::link::{CloseCause, CoreFrame, CoreMessage};
use minerva_proto::{ClaimTag, Payload, StreamNumber};

use super::{AppOutput, LinkId, Millis, SessionId, StreamCallId, StreamReply, TransportKey};
use crate::limits::Limits;
use crate::state::{InconsistentError, Record};

/// The context in which a stream machine handles an input.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Time of the whole turn.
    pub now: Millis,
    /// Wall clock in milliseconds since 1970, for the ends of tokens.
    pub wall_ms: u64,
    /// Tag of the owner's claim.
    pub tag: ClaimTag,
    /// Whether the finish of a stream may be stored: every live core reads this content.
    pub stores_finish: bool,
    /// Limits of the core; a stream may have limits of its own.
    pub limits: &'a Limits,
    /// C2s messages that the budgets outside of the stream admit.
    pub intake: Intake,
    /// Collects the effects of all streams of the turn.
    pub effects: &'a mut Effects,
}

/// The c2s messages that a stream may take by the budgets of address, service and process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Intake {
    /// None: the batches wait at their transports.
    Nothing,
    /// The messages in order. A transport with a message beyond a gap is closed, so that the client repeats the message.
    InOrder,
    /// All messages within the limits of the stream.
    #[default]
    All,
}

/// Records to append, and outputs to release when these records are durable; both in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Changes of durable state, each with the number of its stream.
    pub records: Vec<(StreamNumber, Record)>,
    /// Outputs to edges, app instances and callers.
    pub outputs: Vec<Output>,
    /// An edge or an app instance has proven that the store lost acknowledged writes. A report of a client is no proof.
    pub proves_rollback: bool,
    /// Number of transports that replaced an open one.
    pub takeovers: u64,
    /// Records that contradict the state of their stream, by a defect of this program. They are not appended.
    pub dropped: Vec<(StreamNumber, InconsistentError)>,
    /// Bytes of messages in `records`.
    record_bytes: usize,
}

/// An output with the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// For the edge at the other end of the link.
    Edge(LinkId, CoreFrame),
    /// For the app instance of the session.
    App(SessionId, AppOutput),
    /// For the caller of a stream call.
    Reply(StreamCallId, StreamReply),
}

impl Output {
    /// Bytes of messages in the output.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Edge(_, CoreFrame::Transport { message: CoreMessage::Messages(run), .. }) => {
                run.messages.iter().map(Payload::len).sum()
            }
            Self::App(_, AppOutput::Messages { messages, .. }) => {
                messages.iter().map(Payload::len).sum()
            }
            Self::Edge(..) | Self::App(..) | Self::Reply(..) => 0,
        }
    }
}

impl Effects {
    /// Adds a record. Received messages with consecutive numbers share one record.
    pub fn record(&mut self, stream: StreamNumber, record: Record) {
        self.record_bytes += record.bytes();
        if let Some((last_stream, last)) = self.records.last_mut()
            && *last_stream == stream
            && last.extend(&record)
        {
            return;
        }
        self.records.push((stream, record));
    }

    /// Adds a message to the edge of a transport.
    pub fn edge(&mut self, key: TransportKey, message: CoreMessage) {
        let frame = CoreFrame::Transport { transport: key.transport, message };
        self.outputs.push(Output::Edge(key.link, frame));
    }

    /// Closes a transport with the cause alone.
    pub fn close(&mut self, key: TransportKey, cause: CloseCause) {
        self.outputs.push(Output::Edge(key.link, CoreFrame::close(key.transport, cause)));
    }

    /// Adds an output for an app instance.
    pub fn app(&mut self, session: SessionId, output: AppOutput) {
        self.outputs.push(Output::App(session, output));
    }

    /// Bytes of messages in the records.
    pub fn bytes(&self) -> usize {
        self.record_bytes
    }
}
