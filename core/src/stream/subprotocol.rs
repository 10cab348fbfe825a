//! The first message of a client as the selection of a service: the text `subprotocol:NAME`. A binary message selects
//! nothing.
//!
//! Pure. Used by the stream machine; the partition decides which services a client may select.

use std::sync::Arc;

use minerva_proto::Payload;

/// Prefix of a message that selects a service.
const PREFIX: &[u8] = b"subprotocol:";

/// Reset reason of a stream whose first message lacks a required selection.
const NO_SUBPROTOCOL: &str = "no subprotocol";
/// Reset reason for a service that the client may not select, followed by a name of valid length.
const NOT_ALLOWED: &str = "subprotocol not allowed";
const MAX_NAME: usize = 64;

/// The services that a client may select. If the requested service is among them, a selection is optional.
pub type Services = Arc<[Arc<str>]>;

/// The meaning of the first message.
pub(super) enum Selection {
    /// The client selects this service.
    Selected(Arc<str>),
    /// The first message is an event of the requested service.
    Requested,
    /// The stream must end with this reason.
    Refused(String),
}

/// Reads the first message of a client that requested a service and may select one of `services`.
pub(super) fn select(first: &Payload, services: &Services, requested: &Arc<str>) -> Selection {
    let Some(name) = first.strip_prefix(PREFIX).filter(|_| !first.is_binary()) else {
        return if services.contains(requested) {
            Selection::Requested
        } else {
            Selection::Refused(NO_SUBPROTOCOL.to_owned())
        };
    };
    if let Some(service) = services.iter().find(|service| service.as_bytes() == name) {
        return Selection::Selected(service.clone());
    }
    // A reset has no other bytes in its reason.
    let is_shown = first.is_ascii_text() && (1..=MAX_NAME).contains(&name.len());
    let name = std::str::from_utf8(name).ok().filter(|_| is_shown);
    Selection::Refused(
        name.map_or_else(|| NOT_ALLOWED.to_owned(), |name| format!("{NOT_ALLOWED}: {name}")),
    )
}
