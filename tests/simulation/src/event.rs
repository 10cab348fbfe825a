//! The events of the event queue, and the contents of connections.

use bytes::Bytes;
use minerva_proto::TransportNumber;
use minerva_proto::app::{Command, Event as AppEvent};
use minerva_proto::link::pb::{CoreFrame, EdgeFrame};
use minerva_proto::v3::Refusal;

use crate::connection::{ConnId, Side};
use crate::faults::Fault;
use crate::push::{PushAttempt, PushOutcomes};
use crate::store::{Call, PendingReply};

/// Count of starts of a process, to discard events of an earlier life.
pub(crate) type Life = u64;

/// One event.
#[derive(Debug)]
pub(crate) enum Event {
    /// Data arrives at one end of a connection.
    Deliver {
        conn: ConnId,
        to: Side,
        content: Content,
    },
    /// One end notices the loss of its connection.
    Lost {
        conn: ConnId,
        at: Side,
    },
    /// A client's attempt to open a transport completes.
    ClientDials {
        client: usize,
        transport: TransportNumber,
    },
    /// Timer of a client's machine.
    ClientTimer {
        client: usize,
        stamp: u64,
    },
    /// The application of a client sends and receives messages.
    ClientWorks {
        client: usize,
    },
    /// A client is online again, or its application receives again.
    ClientWakes {
        client: usize,
    },
    /// Timer of a transport machine.
    EdgeTimer {
        edge: usize,
        life: Life,
        transport: u64,
        stamp: u64,
    },
    /// The socket of a transport has written a chunk.
    EdgeWrote {
        edge: usize,
        life: Life,
        transport: u64,
    },
    /// An edge dials a core.
    EdgeDials {
        edge: usize,
        life: Life,
        core: usize,
    },
    EdgeStarts {
        edge: usize,
    },
    /// A draining edge stops.
    EdgeStops {
        edge: usize,
        life: Life,
    },
    CoreStarts {
        core: usize,
    },
    /// The end of a core's pause.
    CoreResumes {
        core: usize,
        life: Life,
    },
    /// An instance dials a core.
    AppDials {
        app: usize,
        life: Life,
        core: usize,
    },
    AppStarts {
        app: usize,
        keeps_name: bool,
    },
    /// The handler of a stream resumes.
    AppWorks {
        app: usize,
        life: Life,
        stream: u64,
    },
    /// A caller begins a push.
    PushStart {
        api_caller: usize,
    },
    /// A program outside the services changes a stream.
    ChangeStart,
    /// A stranger tries to take over a stream.
    Theft,
    /// A caller sends a request to a partition.
    PushAttempt {
        api_caller: usize,
        push: u64,
        partition: u32,
    },
    /// A caller receives the reply; `None`: the call was interrupted or has timed out.
    ApiCallReply {
        attempt: PushAttempt,
        outcomes: Option<PushOutcomes>,
    },
    /// A store call takes effect.
    StorePerforms(Box<Call>),
    /// The reply of a store call arrives.
    StoreReplies(Box<PendingReply>),
    /// The store loses its last writes.
    StoreRollback {
        owners_die: bool,
    },
    /// Blobs of a partition are damaged.
    BlobDamage {
        partition: u32,
    },
    /// A fault occurs.
    Fault(Fault),
    /// All clients reconnect; the hellos reveal lost state.
    Reconnect,
    /// All faults end.
    Heal,
}

/// Content of a connection.
#[derive(Debug)]
pub(crate) enum Content {
    /// Bytes of a client; `last`: end of the HTTP body.
    ToEdge {
        bytes: Bytes,
        last: bool,
    },
    /// Bytes of an edge.
    ToClient {
        bytes: Bytes,
    },
    /// End of the HTTP response: `complete`, or an error or abort.
    ResponseEnd {
        complete: bool,
    },
    /// An HTTP error that contains a refusal.
    Refused(Box<Refusal>),
    /// The other end has closed the connection.
    Closed,
    ToCore(Vec<EdgeFrame>),
    FromCore(Vec<CoreFrame>),
    Commands(Vec<Command>),
    Events(Vec<AppEvent>),
}
