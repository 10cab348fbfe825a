//! What happens in a run: the entries of the agenda.

use bytes::Bytes;
use minerva_proto::app::{Command, Event as AppEvent};
use minerva_proto::link::pb::{CoreFrame, EdgeFrame};

use crate::faults::Fault;
use crate::network::{ConnId, Side};
use crate::outsider::{Attempt, Said};
use crate::store::{Answered, Call};

/// Which life of a process; a process that starts again has the next one.
pub(crate) type Life = u64;

/// One thing to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something arrives at one end of a connection.
    Deliver {
        conn: ConnId,
        to: Side,
        content: Content,
    },
    /// One end notices that its connection is gone.
    Lost {
        conn: ConnId,
        at: Side,
    },
    /// A client's attempt to open a transport comes to its end.
    ClientDials {
        client: usize,
        transport: u64,
    },
    /// A client's machine wants to be called.
    ClientTimer {
        client: usize,
        stamp: u64,
    },
    /// A client has strings to send, or takes some.
    ClientWorks {
        client: usize,
    },
    /// A client's silence is over, or it takes strings again.
    ClientWakes {
        client: usize,
    },
    /// A transport's machine wants to be called.
    EdgeTimer {
        edge: usize,
        life: Life,
        transport: u64,
        stamp: u64,
    },
    /// A transport's socket took a chunk.
    EdgeWrote {
        edge: usize,
        life: Life,
        transport: u64,
    },
    /// An edge tries to link to a core.
    EdgeDials {
        edge: usize,
        life: Life,
        core: usize,
    },
    EdgeStarts {
        edge: usize,
    },
    /// An edge that drains stops.
    EdgeStops {
        edge: usize,
        life: Life,
    },
    CoreStarts {
        core: usize,
    },
    /// A core that stood still goes on.
    CoreResumes {
        core: usize,
        life: Life,
    },
    /// An instance calls a core.
    AppDials {
        app: usize,
        life: Life,
        core: usize,
    },
    AppStarts {
        app: usize,
        keeps_name: bool,
    },
    /// A handler goes on with its stream.
    AppWorks {
        app: usize,
        life: Life,
        stream: u64,
    },
    /// An outsider looks for somebody to push to.
    OutsiderBegins {
        outsider: usize,
    },
    /// An outsider asks a partition.
    OutsiderAsks {
        outsider: usize,
        push: u64,
        partition: u32,
    },
    /// An outsider is answered; `None`: interrupted, or not in time.
    OutsiderHears {
        attempt: Attempt,
        said: Option<Said>,
    },
    /// The store does what it was asked.
    StoreActs(Box<Call>),
    /// The store's answer arrives.
    StoreAnswers(Box<Answered>),
    /// The store goes back to what it was.
    StoreReturns {
        deadly: bool,
    },
    /// Something goes wrong.
    Fault(Fault),
    /// All clients say hello once more: a loss is noticed then at the latest.
    Hellos,
    /// From now on nothing goes wrong any more.
    Heal,
}

/// What goes over connections.
#[derive(Debug)]
pub(crate) enum Content {
    /// From a client to an edge; `last`: the HTTP body is complete.
    Up { bytes: Bytes, last: bool },
    /// From an edge to a client.
    Down(Bytes),
    /// The HTTP response is complete; or it is an error, or was broken off.
    DownEnd { complete: bool },
    /// The other end has closed.
    Closed,
    /// From an edge to a core.
    ToCore(Vec<EdgeFrame>),
    /// From a core to an edge.
    FromCore(Vec<CoreFrame>),
    /// From an instance to a core.
    Commands(Vec<Command>),
    /// From a core to an instance.
    Events(Vec<AppEvent>),
}
