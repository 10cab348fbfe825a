//! Identities of connections, their ends and the processes behind the ends.

use minerva_proto::TransportNumber;

use crate::clock::Time;

/// Identity of a connection, unique in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u64);

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that dialled.
    Caller,
    /// The end that listens.
    Callee,
}

/// The user of one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// A transport of a client.
    Client { client: usize, transport: TransportNumber },
    /// A stranger with the id of a client.
    Thief { client: usize },
    /// A transport of an edge.
    EdgeTransport { edge: usize, transport: u64 },
    /// The edge's end of a link.
    EdgeLink { edge: usize, core: usize },
    /// The core's end of a link.
    CoreLink { core: usize, link: u64 },
    /// The instance's end of a call.
    App { app: usize, core: usize },
    /// The core's end of the call of an instance.
    CoreSession { core: usize, session: u64 },
}

/// The process of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Client(usize),
    Edge(usize),
    Core(usize),
    App(usize),
}

/// Times of a connection loss, relative to the cut; index 0 is the caller, 1 the callee.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Data in flight is delivered for this long.
    pub(crate) arrives: [Time; 2],
    /// The end notices the loss after this time, never before the last delivery.
    pub(crate) noticed: [Time; 2],
}

impl Node {
    pub(crate) fn process(self) -> Process {
        match self {
            Self::Client { client, .. } | Self::Thief { client } => Process::Client(client),
            Self::EdgeTransport { edge, .. } | Self::EdgeLink { edge, .. } => Process::Edge(edge),
            Self::CoreLink { core, .. } | Self::CoreSession { core, .. } => Process::Core(core),
            Self::App { app, .. } => Process::App(app),
        }
    }
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}
