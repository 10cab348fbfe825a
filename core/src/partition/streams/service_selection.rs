//! Streams whose client has not selected the service yet; they are assigned to no instance.
//!
//! Only the selection itself is durable. Which streams may still select follows from their states.

use std::collections::BTreeSet;

use minerva_proto::StreamNumber;

use super::super::subprotocols::Subprotocols;
use crate::stream::{Services, Stream};

/// The configured services, and the streams without a selection.
pub(super) struct ServiceSelection {
    subprotocols: Subprotocols,
    pending: BTreeSet<StreamNumber>,
}

impl ServiceSelection {
    pub(super) fn new(subprotocols: Subprotocols) -> Self {
        Self { subprotocols, pending: BTreeSet::new() }
    }

    /// Offers the configured services to a stream; returns false if the service of the stream is final.
    pub(super) fn offer(&mut self, stream: &mut Stream) -> bool {
        if let Some(services) = self.services_of(&stream.state().origin().service) {
            stream.offer_services(services.clone());
        }
        stream.awaits_selection() && self.pending.insert(stream.number())
    }

    /// The services that a client of `requested` may select; `None` if there is nothing to select.
    pub(super) fn services_of(&self, requested: &str) -> Option<&Services> {
        self.subprotocols.of(requested)
    }

    pub(super) fn contains(&self, stream: StreamNumber) -> bool {
        self.pending.contains(&stream)
    }

    /// Removes a stream that selected its service or ended; returns false for any other stream.
    pub(super) fn finish(&mut self, stream: StreamNumber) -> bool {
        self.pending.remove(&stream)
    }

    /// Number of streams without a selection.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}
