//! What is known of a stream when it comes, and does not change. Made from Started; knows no state.

use std::time::{Duration, SystemTime};

use minerva_proto::app::Started;
use minerva_proto::{StreamId, stream_id::StreamIdError};

use crate::event::TransportKind;

/// What a stream was started with. The same for every instance that has the stream.
#[derive(Clone, PartialEq)]
pub(crate) struct StreamInfo {
    pub(crate) number: u64,
    pub(crate) id: StreamId,
    pub(crate) resumed: bool,
    pub(crate) next_event: u64,
    pub(crate) next_send: u64,
    pub(crate) credentials: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) peer_address: String,
    pub(crate) transport: TransportKind,
    pub(crate) started_at: SystemTime,
    pub(crate) label: Option<String>,
    pub(crate) groups: Vec<String>,
}

impl StreamInfo {
    pub(crate) fn from_proto(started: &Started) -> Result<Self, StreamIdError> {
        let headers = started.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
        let since_1970 = Duration::from_millis(started.started_at_ms);
        Ok(Self {
            number: started.stream,
            id: StreamId::parse(&started.stream_id)?,
            resumed: started.resumed,
            next_event: started.next_event,
            next_send: started.next_send,
            credentials: started.credentials.clone(),
            headers,
            peer_address: started.peer_address.clone(),
            transport: TransportKind::from_proto(started.transport),
            started_at: SystemTime::UNIX_EPOCH + since_1970,
            label: Some(started.label.clone()).filter(|label| !label.is_empty()),
            groups: started.groups.clone(),
        })
    }
}

/// Leaves out what must not be in logs: the id, credentials and headers.
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
