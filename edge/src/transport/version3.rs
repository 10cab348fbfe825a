//! State of a transport of version 3, and its welcome.

use minerva_proto::link::Positions;
use minerva_proto::v3::{self, Refusal, StreamCreation, Welcome};
use minerva_proto::{ClaimTag, StreamNumber};

use super::Transport;

/// State that only a transport of version 3 has.
#[derive(Debug, Default)]
pub(super) struct Version3 {
    /// The client has the creation of the stream from the welcome of an earlier transport.
    pub(super) knows_creation: bool,
    /// The violation that has ended reading; the refusal follows when the core has closed the transport.
    pub(super) fault: Option<Refusal>,
    /// The written refusal.
    pub(super) refusal: Option<Refusal>,
}

impl Transport {
    /// The refusal that has ended the transport.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.version3.as_ref()?.refusal.as_ref()
    }

    /// Version of the wire protocol, once selected.
    pub fn wire_version(&self) -> u32 {
        if self.version3.is_some() { 3 } else { 2 }
    }

    /// Writes the welcome of a transport of version 3.
    pub(super) fn put_welcome(
        &mut self,
        stream: StreamNumber,
        created_tag: ClaimTag,
        positions: Option<Positions>,
    ) {
        let Some(version3) = &self.version3 else { return };
        let mut welcome = Welcome {
            from: positions.map(|positions| positions.from),
            own: positions.map(|positions| positions.own),
            ..Welcome::default()
        };
        if !version3.knows_creation && created_tag.is_known() {
            welcome.born = Some(StreamCreation { stream, tag: created_tag });
            self.outbound.set_tag(created_tag);
        }
        // A new generation has not received the limit yet.
        if !version3.knows_creation || positions.is_some() {
            welcome.max = Some(self.inbound.max_message());
            welcome.inflates = true;
        }
        self.wrote = true;
        self.outbound.put_v3(&v3::Frame::Welcome(welcome));
    }
}
