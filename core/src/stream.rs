//! The stream machine: pure. Inputs with the time in, records and outputs out.
//!
//! Called by the partition that owns the stream. Knows no clock, no store, no link and no application
//! session beyond what is told to it.

mod input;
mod output;

pub use input::{Attach, Batch, End, Resume, Run, TransportId, TransportKind};
pub use output::{
    AppOutput, CloseCause, EdgeOutput, Ended, EndedBy, Origin, RefusedReason, SendState, Started,
    TransportChange,
};

/// Wall-clock milliseconds since 1970: the only time that is persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);
