//! Selection of the service by the first message, which is then no event of the application.

use minerva_proto::{Payload, Reset};

use super::Turn;
use super::machine::Stream;
use super::subprotocol::{Selection, Services, select};
use crate::state::{Ended, EndedBy, Record};

impl Stream {
    /// Lets the client select one of `services` by the first message, unless the service is final already.
    ///
    /// The stream must not be assigned before the selection.
    pub fn offer_services(&mut self, services: Services) {
        self.services = Some(services).filter(|_| !self.state.is_service_fixed());
    }

    /// Returns true until the client has selected the service.
    pub fn awaits_selection(&self) -> bool {
        self.services.is_some()
    }

    /// Reads the first message; returns true if the message is an event for the application.
    pub(super) fn select_service(&mut self, first: &Payload, turn: &mut Turn<'_>) -> bool {
        let Some(services) = &self.services else { return true };
        match select(first, services, &self.state.origin().service) {
            Selection::Requested => {
                self.services = None;
                true
            }
            Selection::Selected(service) => {
                self.services = None;
                self.commit(Record::ServiceSelected { service }, turn);
                false
            }
            Selection::Refused(reason) => {
                let reset = Reset { reason, application_level: false };
                self.end(Ended { reset, by: EndedBy::Core }, turn);
                false
            }
        }
    }
}
