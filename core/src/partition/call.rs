//! What others than application instances ask of a partition, and what it answers once that is durable. Made by
//! the application API's server, carried out by the owner.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{Reset, StreamId};
use tokio::sync::oneshot;

use crate::stream::{Info, Joined, Pushed};

/// One question to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A question, and where its answer goes. Dropped, it is not answered: nobody knows then what was done.
#[derive(Debug)]
pub struct Call {
    /// Unique in this process.
    pub id: CallId,
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Strings for clients; checked, and no parts of larger messages.
    Push {
        /// To whom.
        to: Target,
        /// The strings.
        strings: Vec<Bytes>,
        /// By which a repetition is known.
        key: Option<Bytes>,
    },
    /// End streams.
    Reset(Target, Reset),
    /// Put streams into a group.
    Join(Target, Arc<str>),
    /// Take streams out of a group.
    Leave(Target, Arc<str>),
    /// Give streams a label, or take it away.
    Label(Target, Option<Arc<str>>),
    /// Tell of streams.
    Get(Target),
    /// Tell of streams of a service, in the order of their numbers.
    List {
        /// The service.
        service: Arc<str>,
        /// Only streams with higher numbers.
        after: u64,
        /// Only so many.
        most: usize,
    },
}

/// Which streams are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those with these numbers.
    Numbers(Vec<u64>),
    /// The one that a client calls so.
    Id(Arc<str>, StreamId),
    /// Those of a service with this label.
    Label(Arc<str>, Arc<str>),
    /// Those of a service in this group.
    Group(Arc<str>, Arc<str>),
}

/// What the partition says, of each stream that it found, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Push`.
    Pushed(Vec<(u64, Pushed)>),
    /// To `Join`.
    Joined(Vec<(u64, Joined)>),
    /// To `Reset`, `Leave` and `Label`: it is done.
    Done(Vec<u64>),
    /// To `Get` and `List`.
    Infos(Vec<Info>),
}

impl Answer {
    /// No stream was found.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pushed(streams) => streams.is_empty(),
            Self::Joined(streams) => streams.is_empty(),
            Self::Done(streams) => streams.is_empty(),
            Self::Infos(streams) => streams.is_empty(),
        }
    }
}

impl Ask {
    /// Bytes of strings in it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Push { strings, .. } => strings.iter().map(Bytes::len).sum(),
            Self::Reset(..)
            | Self::Join(..)
            | Self::Leave(..)
            | Self::Label(..)
            | Self::Get(_)
            | Self::List { .. } => 0,
        }
    }
}
