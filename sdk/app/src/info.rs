//! The constant properties of an assigned stream, decoded from the first `Started` event. Holds no state.

use std::time::{Duration, SystemTime};

use minerva_proto::app::Started;
use minerva_proto::stream_id::StreamIdError;
use minerva_proto::{EventNumber, Identity, MessageNumber, StreamId, StreamNumber, TransportKind};

use crate::accepts::Accepts;

/// The properties of a stream when assigned.
#[derive(Clone, PartialEq)]
pub(crate) struct StreamInfo {
    pub(crate) number: StreamNumber,
    /// Counts the assignments of streams to this instance, from 1; set by the session.
    pub(crate) assignment: u64,
    pub(crate) id: StreamId,
    pub(crate) resumed: bool,
    pub(crate) next_event: EventNumber,
    /// Deliveries of `next_event`; `None` if unknown.
    pub(crate) attempts: Option<u32>,
    pub(crate) next_send: MessageNumber,
    pub(crate) credentials: String,
    pub(crate) identity: Option<Identity>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) peer_address: String,
    pub(crate) transport: Option<TransportKind>,
    pub(crate) started_at: SystemTime,
    pub(crate) label: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) accepts: Accepts,
}

impl StreamInfo {
    pub(crate) fn from_proto(started: &Started) -> Result<Self, StreamIdError> {
        let headers = started.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
        let since_1970 = Duration::from_millis(started.started_at_ms);
        Ok(Self {
            number: StreamNumber(started.stream),
            assignment: 0,
            id: StreamId::parse(&started.stream_id)?,
            resumed: started.resumed,
            next_event: EventNumber(started.next_event),
            attempts: known(started.attempts),
            next_send: MessageNumber(started.next_send),
            credentials: started.credentials.clone(),
            identity: started.identity.clone().map(Into::into),
            headers,
            peer_address: started.peer_address.clone(),
            transport: started.transport().into(),
            started_at: SystemTime::UNIX_EPOCH + since_1970,
            label: Some(started.label.clone()).filter(|label| !label.is_empty()),
            groups: started.groups.clone(),
            accepts: Accepts::from_proto(started.accepts()),
        })
    }
}

/// A count of deliveries; 0 stands for an unknown one.
pub(crate) fn known(attempts: u32) -> Option<u32> {
    (attempts > 0).then_some(attempts)
}

/// Omits id, credentials and headers, which must not appear in logs.
impl std::fmt::Debug for StreamInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamInfo")
            .field("number", &self.number)
            .field("id", &self.id)
            .field("resumed", &self.resumed)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
