//! Admission of a transport whose hello is known: limits of the client's address and of the stream. Called by `session.rs`.

use minerva_proto::link::Attach;

use crate::admission::{AddressPermit, PrimaryPermit};
use crate::shared::Shared;
use crate::transport::Input;

/// Checks the limits of the client's address and of the stream.
pub(super) fn admit(
    attach: &Attach,
    may_create: bool,
    address: &AddressPermit,
    shared: &Shared,
) -> Result<Option<PrimaryPermit>, Input> {
    let stream = &attach.stream_id;
    if let Some(retry_after) = (!may_create).then(|| address.unknown_stream_wait(stream)).flatten()
    {
        let reason = "too many requests of this address for streams that do not exist";
        return Err(Input::Limited { reason, retry_after });
    }
    if !attach.wants_messages {
        return Ok(None);
    }
    match shared.admission.open_primary(&attach.stream_id) {
        Ok(permit) => Ok(Some(permit)),
        Err(retry_after) => {
            let reason = "this stream changes its transport too often";
            Err(Input::Limited { reason, retry_after })
        }
    }
}
