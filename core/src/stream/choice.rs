//! Which service a stream is for, where the client may pick it by its first string. That string is judged
//! here and is no event; the choice is a record. Who may pick what is the partition's business.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::Reset;

use super::{Stream, Turn};
use crate::state::{Ended, EndedBy, Record};

/// What stands in front of the name of a service in a string that picks it.
const PREFIX: &[u8] = b"subprotocol:";

/// Where a stream ends whose first string picks nothing, though it must.
const NOTHING_PICKED: &str = "no subprotocol";
/// Where it picks what it may not; with the name behind it, if that is no longer than one may be.
const NOT_ALLOWED: &str = "subprotocol not allowed";
const MAX_NAME: usize = 64;

/// The services that a client may pick from. If the one that it dialled is among them, it need not pick.
pub type Services = Arc<[Arc<str>]>;

/// What a first string says of the service.
enum Choice {
    /// It picks this one.
    Picks(Arc<str>),
    /// Nothing: it is a string for the service that was dialled.
    Leaves,
    /// Nothing that will do; why.
    Refused(String),
}

impl Stream {
    /// The client may pick one of these by its first string, unless it is too late. Until then the stream is for
    /// no application.
    pub fn offer(&mut self, services: Services) {
        self.choices = Some(services).filter(|_| !self.state.is_settled());
    }

    /// It has no service yet.
    pub fn is_choosing(&self) -> bool {
        self.choices.is_some()
    }

    /// Looks at the first string. `true`: it is one for the application.
    pub(super) fn settle(&mut self, first: &Bytes, turn: &mut Turn<'_>) -> bool {
        let Some(services) = &self.choices else { return true };
        match read(first, services, &self.state.origin().service) {
            Choice::Leaves => {
                self.choices = None;
                true
            }
            Choice::Picks(service) => {
                self.choices = None;
                self.commit(Record::Chosen { service }, turn);
                false
            }
            Choice::Refused(reason) => {
                let reset = Reset { reason, application_level: false };
                self.end(Ended { reset, by: EndedBy::Core }, turn);
                false
            }
        }
    }

    /// A stream that ends without a service has nobody to tell: its end counts as acknowledged.
    pub(super) fn forget_unchosen(&mut self, turn: &mut Turn<'_>) {
        if self.choices.take().is_some()
            && let Some((event, _)) = self.state.inbox().ended()
        {
            self.commit(Record::Acknowledged { event }, turn);
        }
    }
}

fn read(first: &[u8], services: &Services, dialled: &Arc<str>) -> Choice {
    let Some(name) = first.strip_prefix(PREFIX) else {
        return if services.contains(dialled) {
            Choice::Leaves
        } else {
            Choice::Refused(NOTHING_PICKED.to_owned())
        };
    };
    if let Some(service) = services.iter().find(|service| service.as_bytes() == name) {
        return Choice::Picks(service.clone());
    }
    let name = std::str::from_utf8(name).ok().filter(|name| (1..=MAX_NAME).contains(&name.len()));
    Choice::Refused(
        name.map_or_else(|| NOT_ALLOWED.to_owned(), |name| format!("{NOT_ALLOWED}: {name}")),
    )
}
