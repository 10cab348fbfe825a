//! The state of a quarantined stream: ended with `state lost`, without messages.
//!
//! The state is an ordinary snapshot, so each later owner of the partition reports the loss as well, until the
//! application acknowledges the end or the retention time of ended streams has passed. If the service and the id of the
//! stream are unknown, a placeholder without a service stands for the number: no session can be assigned to the
//! placeholder, and the partition reports the loss to every session. Pure; used by the recovery and the partition.

use std::sync::Arc;

use minerva_proto::{ClaimTag, Reset, StreamId, StreamNumber};

use crate::state::{Ended, EndedBy, Origin, Record, STATE_LOST, StreamState};

/// The state of the quarantined stream `number`; `known` is the state before the damage.
pub(crate) fn lost_state(number: StreamNumber, known: Option<&StreamState>) -> Option<StreamState> {
    let reset = Reset::new(STATE_LOST, false);
    let ended = Record::Ended(Ended { reset, by: EndedBy::Core });
    let mut lost = match known {
        Some(known) => {
            StreamState::new(known.origin().clone(), known.max_idle_ms(), ClaimTag::UNKNOWN)
        }
        None => StreamState::new(placeholder_origin(number)?, 0, ClaimTag::UNKNOWN),
    };
    let selected = known.map(StreamState::service).filter(|service| *service != lost.service());
    let selected = selected.map(|service| Record::ServiceSelected { service: service.clone() });
    let instance = known.and_then(StreamState::instance);
    let assigned = instance.map(|instance| Record::Assigned { instance: instance.clone() });
    for record in selected.into_iter().chain(assigned).chain([ended]) {
        lost.apply(&record, ClaimTag::UNKNOWN).ok()?;
    }
    Some(lost)
}

/// Returns true for the state of a lost stream whose service and id are unknown.
pub(in crate::partition) fn is_placeholder(state: &StreamState) -> bool {
    // A hello has a service name of at least one character.
    state.origin().service.is_empty()
}

fn placeholder_origin(number: StreamNumber) -> Option<Arc<Origin>> {
    let origin = Origin {
        id: StreamId::parse(&format!("unreadable{number:020}")).ok()?,
        service: "".into(),
        credentials: String::new(),
        headers: Vec::new(),
        peer_address: String::new(),
        kind: None,
        started_at_ms: 0,
    };
    Some(origin.into())
}
