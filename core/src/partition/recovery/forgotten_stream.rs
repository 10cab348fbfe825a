//! A stream whose end was acknowledged after the checkpoint. Its client may not have received the reason yet.

use std::sync::Arc;

use crate::state::{Ended, Origin, StreamProtocol, StreamState};

/// The end of a stream that is in the log, and no longer in the state.
#[derive(Debug)]
pub(crate) struct ForgottenStream {
    pub(in crate::partition) origin: Arc<Origin>,
    pub(in crate::partition) ended: Ended,
    /// Version of the wire protocol, with the last key.
    pub(in crate::partition) protocol: StreamProtocol,
}

impl ForgottenStream {
    /// The end of a stream; `None` if the stream has not ended.
    pub(super) fn of(state: &StreamState) -> Option<Self> {
        let (_, ended) = state.inbox().ended()?;
        let (origin, protocol) = (Arc::clone(state.origin()), state.protocol());
        Some(Self { origin, ended: ended.clone(), protocol })
    }
}
