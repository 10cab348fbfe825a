//! The verified identity of the client: one event for each change that the handler has not received otherwise.

use minerva_proto::Identity;

use super::Stream;

impl Stream {
    /// Queues an event for a new identity of the client. Returns whether a reader can read the event.
    pub(in crate::session) fn update_identity(&mut self, identity: Option<Identity>) -> bool {
        let Some(identity) = identity.filter(|new| self.identity.as_ref() != Some(new)) else {
            return false;
        };
        self.identity = Some(identity.clone());
        if self.ended.is_none() {
            self.incoming.on_renewed(identity);
        }
        self.discard_if_abandoned()
    }

    /// Notes the identity in a Rejoined event.
    pub(super) fn note_identity(&mut self, identity: Option<&Identity>) {
        if let Some(identity) = identity {
            self.identity = Some(identity.clone());
        }
    }
}
